# Has this repository's own agent ask Bedrock for one token, with the role or the keys of the agent's container. Prints its
# JSON object, {"kind": ...}, or nothing where it could not ask. Changes nothing. Arguments: the stack's home | tools.sh.
agent=$(docker ps -q --filter label=com.docker.compose.project=voice \
    --filter label=com.docker.compose.service=voice-agent)
[ -n "$agent" ] || exit 0
# The agent gives up before: what the limit ends is a Docker that hangs.
timeout 60 bash -euo pipefail -c "$2" voice "$1" "$agent" bedrock || true
