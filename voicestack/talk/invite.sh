# Has the agent's container, where LiveKit's secret is, mint a token. Prints one JSON object: the token and when it
# expires, or {"problem": ...}. Changes nothing. Argument: for how many minutes the token can be used.
minutes=$1

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
docker exec "$agent" /opt/venv/bin/python -m voice_agent invite --minutes "$minutes" ||
    problem "the agent makes no token (its words are above); run deploys/voice.py"
