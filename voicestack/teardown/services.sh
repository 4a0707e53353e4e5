# Stops and removes containers one after the other, each with the time that it was given for it, then networks and volumes.
# Arguments: directories that the containers mounted. Stdin: a line each: container ID NAME, network NAME, volume NAME.
while read -r kind id name; do
    if [ "$kind" = container ]; then
        echo "$name: stopping, which may take $(docker inspect -f '{{.Config.StopTimeout}}' "$id") s"
        docker stop "$id" >/dev/null
        docker rm --volumes "$id" >/dev/null
    elif ! said=$(docker "$kind" rm "$id" 2>&1); then
        echo "$kind $id stays: ${said##*$'\n'}" # a stranger's container uses it
    fi
done
# Docker makes an empty directory where a container mounts one that is not there: weights on a volume that has gone.
for directory; do
    if [ -d "$directory" ]; then rmdir --ignore-fail-on-non-empty -- "$directory"; fi
done
