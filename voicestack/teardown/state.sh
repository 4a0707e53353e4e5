# What a host has of what the deploys make, and what beside it is not ours, in one round trip; changes nothing. Prints
# TAB-separated lines: KEY VALUE...; judges nothing but what of apt's packages others need. Needs no Docker, no Python.
# Arguments: directories of the stack | trees in them that go as a whole | other paths | the weights' directory | where
# things are kept aside | the ledger | apt's directory | "yes": also try what purging packages would take (the first
# three are lists).
roots=$1 trees=$2 others=$3 weights=$4 aside=$5 ledger=$6 apt=$7 try=$8
set +e

say() {
    local IFS=$'\t'
    printf '%s\n' "$*"
}
lines() { tr '\t\n\0' '??\n' | sed "s/^/$1\t/"; } # $1: the key; names on stdin, each ended by NUL

prune=()
for tree in $trees; do prune+=(-path "${tree%/}" -prune -printf '%p/\0' -o); done
for root in $roots; do
    [ -d "$root" ] && find -H "$root" -xdev "${prune[@]}" \( ! -type d -o -empty \) -printf '%p\0'
done | lines path
for path in $others; do
    if [ -e "$path" ]; then say path "$path"; fi
done

[ -e "$ledger" ] && sed -E 's/^([a-z]+) /ledger\t\1\t/' "$ledger"
find "$aside" -mindepth 1 -maxdepth 1 -type d -name '2*Z' -printf 'aside\t%p\n' 2>/dev/null
for path in "$apt"/sources.list.before-voice "$apt"/sources.list.d/*.before-voice; do
    [ -e "$path" ] || continue
    again=${path%.before-voice}
    if [ -e "$again" ] && ! cmp -s "$path" "$again"; then say rival_again "$path"; else say rival "$path"; fi
done
[ -e /proc/driver/nvidia/version ] && say driver loaded
for file in /etc/docker/daemon.json /etc/docker/daemon.json.before-voice; do
    [ -e $file ] && say "$(basename $file)" "$(base64 -w 0 $file)"
done

for path in "$weights" /var/lib/docker /var/lib/containerd; do
    if [ -d "$path" ]; then say directory "$path" "$(mountpoint -q "$path" && echo mounted)"; fi
done
if [ -d "$weights" ]; then
    for path in "$weights"/* "$weights"/.staging "$weights"/.replaced/* "$weights"/.lock; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        [ "$path" != "$weights/lost+found" ] || continue
        whose=stranger
        # The fetcher's names; what is in them must be its own too: NAME-REVISION12, and a lock without content.
        if [ "$path" = "$weights/.staging" ]; then
            foreign=$(find "$path" -mindepth 1 -maxdepth 1 -regextype posix-extended ! -regex '.*-[0-9a-f]{12}')
            [ -n "$foreign" ] || whose=ours
        elif [ "$path" = "$weights/.lock" ] && [ ! -s "$path" ]; then
            whose=ours
        fi
        if [ ! -L "$path" ] && [ -f "$path/.provenance.json" ]; then whose=ours; fi
        say weights "$whose" "$(du -sB1 "$path" | cut -f 1)" "$(printf %s "${path#"$weights/"}" | tr '\t\n' '??')"
    done
fi

docker_says() {
    local id project='{{index .Config.Labels "com.docker.compose.project"}}' ids name
    local place='{{index .Config.Labels "com.docker.compose.project.working_dir"}}'
    local service='{{index .Config.Labels "com.docker.compose.service"}}'
    ids=$(docker ps -aq --no-trunc)
    # shellcheck disable=SC2086 # a list of ids
    [ -z "$ids" ] || docker inspect -f "container	{{.Id}}	{{.Name}}	$project	$place	$service	{{.Image}}	{{.Config.Image}}" $ids
    # Docker 29 hides images without a name from a list that is not of all (docker/cli#6574).
    docker image ls --all --no-trunc --format 'image	{{.ID}}	{{.Repository}}:{{.Tag}}	{{.Size}}'
    sed -n 's/^image //p' "$ledger" 2>/dev/null | while read -r name; do
        id=$(docker image inspect -f '{{.Id}}' "$name" 2>/dev/null) && say pulled "$id" "$name"
    done
    for root in $roots; do
        grep -ohE 'sha256:[0-9a-f]{64}' "$root"/releases/*/release.json 2>/dev/null | sort -u | sed 's/^/released\t/'
    done
    docker volume ls --format 'volume	{{.Name}}	{{.Label "com.docker.compose.project"}}'
    docker network ls --format 'network	{{.Name}}	{{.Label "com.docker.compose.project"}}'
    say swarm "$(docker info -f '{{.Swarm.LocalNodeState}}')"
    say docker_root "$(docker info -f '{{.DockerRootDir}}')"
    if command -v ctr >/dev/null; then ctr namespaces ls -q | sed 's/^/namespace\t/'; fi
}
if ! command -v docker >/dev/null || ! systemctl cat docker.service >/dev/null 2>&1; then
    say docker absent
    pgrep -x containerd-shim >/dev/null && say shims running
elif docker version >/dev/null 2>&1; then
    say docker answers
    docker_says
else
    say docker silent
fi

present() { # names on stdin; prints those that are here, if only by what is left of their configuration
    # shellcheck disable=SC2016 # dpkg's dollars
    xargs -r dpkg-query -W -f '${Package}\t${db:Status-Status}\n' 2>/dev/null | awk '$2 != "not-installed" {print $1}' | sort -u
}
noted() { sed -n "s/^$1 //p" "$ledger" 2>/dev/null; }
noted installed | present | sed 's/^/package\t/'
dpkg --get-selections | awk '$2 == "hold" {sub(/:.*/, "", $1); print "hold\t" $1}'

# What purging would take along that is not ours stays, and with it all that it needs.
try_purge() {
    local wanted removed others needed
    wanted=$(noted installed | present)
    while [ -n "$wanted" ]; do
        # shellcheck disable=SC2086 # a list of names
        removed=$(LC_ALL=C.UTF-8 apt-get --simulate --allow-change-held-packages purge $wanted 2>&1) || {
            say apt_fault "$(tail -n 1 <<<"$removed" | tr '\t' ' ')"
            return
        }
        removed=$(awk '$1 == "Purg" || $1 == "Remv" {sub(/:.*/, "", $2); print $2}' <<<"$removed" | sort -u)
        others=$(comm -13 <(echo "$wanted") <(echo "$removed"))
        if [ -z "$others" ]; then break; fi
        # shellcheck disable=SC2086
        needed=$(apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks \
            --no-replaces --no-enhances $others | grep '^[a-z0-9]' | sed 's/:.*//' | sort -u | comm -12 - <(echo "$wanted"))
        if [ -z "$needed" ]; then
            say apt_fault "apt would also remove $(paste -sd ' ' <<<"$others")"
            return
        fi
        for name in $needed; do say needed "$name" "$(paste -sd ' ' <<<"$others")"; done
        wanted=$(comm -23 <(echo "$wanted") <(echo "$needed"))
    done
    for name in $wanted; do say purge "$name"; done
}
if [ "$try" = yes ]; then try_purge; fi
exit 0
