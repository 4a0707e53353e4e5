# Removes images, and strikes those that are gone from the ledger. One that something still uses stays, and is told.
# Arguments: the ledger | "cache": the build cache too, or "" | the images.
ledger=$1 cache=$2
shift 2
for image; do
    if said=$(docker image rm "$image" 2>&1); then
        echo "$image: removed"
    else
        echo "$image: stays: $(tail -n 1 <<<"$said")"
    fi
done
if [ "$cache" = cache ]; then
    # Buildx keeps notes in root's home otherwise.
    BUILDX_CONFIG=$(mktemp -d)
    export BUILDX_CONFIG
    # The images are gone by now, so the next run would not come here again.
    docker builder prune --all --force | tail -n 1 | sed 's/^/build cache removed: /' ||
        echo "the build cache stays (see above); docker builder prune --all removes it"
    rm -rf "$BUILDX_CONFIG"
else
    echo "the build cache stays, because others use this Docker; docker builder prune --all removes it"
fi
if [ -e "$ledger" ]; then
    while read -r kind name; do
        if [ "$kind" != image ] || docker image inspect "$name" >/dev/null 2>&1; then echo "$kind $name"; fi
    done <"$ledger" >"$ledger.new"
    if [ -s "$ledger.new" ]; then mv "$ledger.new" "$ledger"; else rm "$ledger.new" "$ledger"; fi
fi
