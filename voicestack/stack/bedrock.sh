# Has the agent's container, which has the role or the keys, ask Bedrock for one token. Prints the agent's JSON object,
# {"kind": ...}, or nothing where the agent could not ask. Changes nothing.
agent=$(docker ps -q --filter label=com.docker.compose.project=voice \
    --filter label=com.docker.compose.service=voice-agent)
[ -n "$agent" ] || exit 0
# The agent gives up before: what the limit ends is a Docker that hangs.
timeout 60 docker exec "$agent" /opt/venv/bin/python -m voice_agent bedrock || true
