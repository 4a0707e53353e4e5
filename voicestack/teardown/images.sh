# Removes images; one that something still uses stays, and is told.
# Argument: "cache": the build cache too, or "". Stdin: names or ids, a line each.
while read -r image; do
    if ! said=$(docker image rm "$image" 2>&1) && docker image inspect "$image" >/dev/null 2>&1; then
        echo "$image: stays: ${said##*$'\n'}"
    fi
done
if [ "$1" = cache ]; then
    # Buildx keeps notes in root's home otherwise. The images are gone by now: the next run would not come here again.
    BUILDX_CONFIG=$(mktemp -d)
    export BUILDX_CONFIG
    docker builder prune --all --force >/dev/null || echo "the build cache stays; docker builder prune --all removes it"
    rm -rf "$BUILDX_CONFIG"
else
    echo "the build cache stays, because others use this Docker; docker builder prune --all removes it"
fi
