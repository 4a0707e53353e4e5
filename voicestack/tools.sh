# Runs a command of this repository's own agent with environment, network and weights of the agent's container: in it, or,
# where that is another agent (agent_source), in a container for a moment. Changes nothing.
# Arguments: the stack's home | the agent's container | the command's words.
home=$1 agent=$2
shift 2
# A release from before there was agent_source names it in the agent's service alone.
own=$(sed -nE '/^(x-tools|    image): voice-agent:/{s/.*: //;p;q}' "$home/compose.yml")
if [ "$(docker inspect -f '{{.Config.Image}}' "$agent")" = "$own" ]; then
    exec docker exec "$agent" /opt/venv/bin/python -m voice_agent "$@"
fi
# By name: PATH, PYTHONPATH and what else the other image sets are not for this one.
docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "$agent" |
    grep -E '^(AGENT|AWS|BEDROCK|FASTER_WHISPER|GUARD|LIVEKIT|TTS|WHISPER)_' |
    docker run --rm --init --pull never --network host --env-file /dev/stdin --volumes-from "$agent" --no-healthcheck \
        --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges:true --log-driver none "$own" "$@"
