# What a host has of what the deploys make, and what beside it is not ours, in one round trip; changes nothing. Prints
# TAB-separated lines: KEY VALUE..., what may be empty not last. Judges nothing; needs no Docker, no Python.
# Arguments: directories of the stack | trees in them that go as a whole | other paths (patterns) | the weights' directory |
# where things are kept aside | images of the settings (all but the fourth and fifth are lists).
roots=$1 trees=$2 others=$3 weights=$4 aside=$5 images=$6
set +e

say() {
    local IFS=$'\t'
    printf '%s\n' "$*"
}

prune=()
for tree in $trees; do prune+=(-path "${tree%/}" -prune -printf '%p/\0' -o); done
for root in $roots; do
    [ -d "$root" ] && find -H "$root" -xdev "${prune[@]}" \( ! -type d -o -empty \) -printf '%p\0'
done | tr '\t\n\0' '??\n' | sed 's/^/path\t/'
for path in $others; do
    if [ -e "$path" ]; then say path "$path"; fi
done
find "$aside" -mindepth 1 -maxdepth 1 -type d -name '2*Z' -printf 'aside\t%p\n' 2>/dev/null

if [ -d "$weights" ]; then
    mountpoint -q "$weights" && say mounted yes
    for path in "$weights"/* "$weights"/.staging "$weights"/.replaced/* "$weights"/.lock; do
        if [ ! -e "$path" ] && [ ! -L "$path" ] || [ "$path" = "$weights/lost+found" ]; then continue; fi
        whose=stranger
        # The fetcher's names; what is in them must be its own too: NAME-REVISION12, and a lock without content.
        if [ "$path" = "$weights/.staging" ]; then
            foreign=$(find "$path" -mindepth 1 -maxdepth 1 -regextype posix-extended ! -regex '.*-[0-9a-f]{12}')
            [ -n "$foreign" ] || whose=ours
        elif [ "$path" = "$weights/.lock" ] && [ ! -s "$path" ]; then
            whose=ours
        fi
        if [ ! -L "$path" ] && [ -f "$path/.provenance.json" ]; then whose=ours; fi
        say weights "$(du -sB1 "$path" | cut -f 1)" "$whose" "$(printf %s "${path#"$weights/"}" | tr '\t\n' '??')"
    done
fi

docker_says() {
    local id ids name root project='{{index .Config.Labels "com.docker.compose.project"}}'
    local place='{{index .Config.Labels "com.docker.compose.project.working_dir"}}'
    local service='{{index .Config.Labels "com.docker.compose.service"}}'
    ids=$(docker ps -aq --no-trunc)
    # shellcheck disable=SC2086 # a list of ids
    [ -z "$ids" ] || docker inspect -f "container	$project	$place	$service	{{.Image}}	{{.Config.Image}}	{{.Id}}	{{slice .Name 1}}" $ids
    # Docker 29 hides images without a name from a list that is not of all (docker/cli#6574).
    docker image ls --all --no-trunc --format 'image	{{.ID}}	{{.Repository}}:{{.Tag}}'
    for root in $roots; do
        images="$images $(cat "$root"/compose.yml "$root"/releases/*/compose.yml 2>/dev/null | sed -n 's/^ *image: //p')"
        grep -ohE 'sha256:[0-9a-f]{64}' "$root"/releases/*/release.json 2>/dev/null | sed 's/^/released\t/'
    done
    for name in $images; do
        id=$(docker image inspect -f '{{.Id}}' "$name" 2>/dev/null) && say named "$id" "$name"
    done
    docker network ls --format 'network	{{.Label "com.docker.compose.project"}}	{{.Name}}'
    docker volume ls --format 'volume	{{.Label "com.docker.compose.project"}}	{{.Name}}'
}
if ! command -v docker >/dev/null || ! systemctl cat docker.service >/dev/null 2>&1; then
    if [ -d /var/lib/docker ]; then say docker gone; else say docker absent; fi
elif docker version >/dev/null 2>&1; then
    say docker answers
    docker_says
else
    say docker silent
fi
exit 0
