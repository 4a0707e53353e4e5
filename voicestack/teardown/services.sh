# Stops the stack's containers one after the other, each with the time that it was given for it, and removes them, then
# networks and volumes. Says how far it is.
# Arguments: networks | volumes (space-separated lists) | directories that the containers mounted. Stdin: the containers
# in their order, a line each: ID NAME.
networks=$1 volumes=$2
shift 2

stop() { # $1: id, $2: name
    local seconds pid passed=0
    seconds=$(docker inspect -f '{{.Config.StopTimeout}}' "$1")
    case $2 in *-voice-agent-*) echo "$2: stopping; calls that are under way may go on for a while, $seconds s at most" ;; esac
    docker stop "$1" >/dev/null &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        sleep 0.2
        passed=$((passed + 1))
        if [ $((passed % 50)) = 0 ]; then echo "$2: still stopping, $((passed / 5)) of at most $seconds s"; fi
    done
    wait $pid
}

while read -r id name; do
    stop "$id" "$name"
    docker rm --volumes "$id" >/dev/null
    echo "$name: stopped and removed"
done
remove() { # $1: network or volume, $2: its name; one that a stranger's container uses stays
    local said
    said=$(docker "$1" rm "$2" 2>&1) || echo "$1 $2 stays: $(tail -n 1 <<<"$said")"
}
for network in $networks; do remove network "$network"; done
for volume in $volumes; do remove volume "$volume"; done
# Docker makes an empty directory where a container mounts one that is not there: weights on a volume that has gone.
for directory; do
    if [ -d "$directory" ]; then rmdir --ignore-fail-on-non-empty -- "$directory"; fi
done
