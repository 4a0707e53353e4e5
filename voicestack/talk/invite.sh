# Has this repository's own agent mint a token with LiveKit's secret, which the agent's container has. Prints one JSON
# object: the token and when it expires, or {"problem": ...}. Changes nothing.
# Arguments: for how many minutes the token can be used | the stack's home | tools.sh.
minutes=$1 home=$2 tools=$3

problem() {
    printf '{"problem": "%s"}\n' "$1"
    exit 0
}
running() {
    docker ps -q --filter label=com.docker.compose.project=voice --filter "label=com.docker.compose.service=$1"
}

command -v docker >/dev/null || problem "the stack is not on this host; run deploys/voice.py"
caddy=$(running caddy) || problem "Docker does not answer; run deploys/voice.py"
[ -n "$caddy" ] || problem "Caddy does not run; run deploys/voice.py"
docker exec "$caddy" test -e /srv/talk/index.html ||
    problem "Caddy does not serve the page yet; run deploys/voice.py with talk_enabled"
agent=$(running voice-agent)
[ -n "$agent" ] || problem "the agent does not run; run deploys/voice.py"
bash -euo pipefail -c "$tools" voice "$home" "$agent" invite --minutes "$minutes" ||
    problem "the agent makes no token (its words are above); run deploys/voice.py"
