# Proves that a container sees the GPU, and still does after `systemctl daemon-reload`.
# Arguments: an image that is at hand or can be pulled | the proof to record. Runs behind deploys/host/ledger.sh.
image=$1 proof=$2
name=voice-gpu-proof
docker rm -f $name >/dev/null 2>&1 || true
trap 'docker rm -f $name >/dev/null 2>&1' EXIT
echo "pulling $image"
docker image inspect "$image" >/dev/null 2>&1 || note image "$image"
docker pull -q "$image" >/dev/null
docker run -d --name $name --gpus all --entrypoint sleep "$image" 120 >/dev/null
echo "in a container: $(docker exec $name nvidia-smi -L)"
systemctl daemon-reload
if ! after=$(docker exec $name nvidia-smi -L 2>&1); then
    echo "after systemctl daemon-reload the container lost the GPU: $after" >&2
    exit 1
fi
echo "in a container, after systemctl daemon-reload: $after"
mkdir -p /var/lib/voice
printf '%s\n' "$proof" >/var/lib/voice/gpu-proof
