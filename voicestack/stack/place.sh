# Has the staged files read by the programs that will read them, then moves them over. The old ones stay until then.
# Arguments: the home | the staging directory | files | images of Caddy and LiveKit (space-separated list).
home=$1 staged=$2 files=$3
read -r caddy livekit <<<"$4"

# Compose resolves env_file beside compose.yml; the secrets are made on the host and are not part of the set.
ln -s "$home/secrets" "$staged/secrets"
docker compose --project-directory "$staged" -f "$staged/compose.yml" config --quiet
docker run --rm --network none -v "$staged/caddy:/etc/caddy:ro" "$caddy" \
    caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile >"$staged/caddy.log" 2>&1 || {
    echo "Caddy refuses its new Caddyfile; the old one stays:" >&2
    tail -n 5 "$staged/caddy.log" >&2
    exit 1
}
# livekit-server ends with status 0 whatever happens: its words must be read.
livekit_says=$(docker run --rm --network none -v "$staged/livekit:/etc/livekit:ro" "$livekit" \
    --config /etc/livekit/livekit.yaml ports 2>&1) || true
if grep -qiE 'could not|error|invalid|unmarshal' <<<"$livekit_says"; then
    printf 'LiveKit refuses its new livekit.yaml; the old one stays:\n%s\n' "$livekit_says" >&2
    exit 1
fi

# A container that started after a file was edited by hand has read the edit, and to Compose nothing changes when it is
# mended. Such a file gets this moment as its time of change (rendered ones have 1970): later than the container's start,
# which start.py sees.
# shellcheck disable=SC2016 # the dollar is Docker's
mounts=$(docker ps -q --filter label=com.docker.compose.project=voice |
    xargs -r docker inspect -f '{{$started := .State.StartedAt}}{{range .Mounts}}{{println .Source $started}}{{end}}')
was_read() { # $1: a file below the home
    local source started
    while read -r source started; do
        if [ "$source" = "$home/$(dirname "$1")" ] && [ -e "$home/$1" ] &&
            [ "$(date -d "$started" +%s)" -ge "$(stat -c %Z "$home/$1")" ]; then
            return 0
        fi
    done <<<"$mounts"
    return 1
}

for file in $files; do
    mkdir -p "$home/$(dirname "$file")"
    cp -p "$staged/$file" "$home/$file.new"
    # Caddy's may have been read at any time: `caddy reload` by hand.
    if [ "$file" = caddy/Caddyfile ] || was_read "$file"; then touch "$home/$file.new"; fi
    mv -f "$home/$file.new" "$home/$file"
done
rm -rf "$staged"
