# Proves that CUDA works in a container with the agent's restrictions, and still does after `systemctl daemon-reload`.
# nvidia-smi proves less: it works without /dev/nvidia-uvm. Without root and without capabilities is the hardest of the
# stack's cases; the engines have more rights. Neither image nor request names driver capabilities: the toolkit's default
# is utility and compute.
# Arguments: an image that is at hand or can be pulled | the proof to record | the program that asks CUDA
# (on_host/engine/gpu_proof.py).
image=$1 proof=$2 program=$3
name=voice-gpu-proof
docker rm -f $name >/dev/null 2>&1 || true
trap 'docker rm -f $name >/dev/null 2>&1' EXIT
echo "pulling $image"
docker pull -q "$image" >/dev/null
docker run -d --name $name --gpus driver=nvidia,device=0 --user 10001:10001 --read-only --tmpfs /tmp --init \
    --cap-drop ALL --security-opt no-new-privileges:true --network host --entrypoint sleep "$image" 120 >/dev/null
cuda() { # $1: when
    local said
    if said=$(docker exec $name python3 -c "$program" 2>&1); then
        echo "in a container with the agent's restrictions$1: $said"
    else
        echo "in a container with the agent's restrictions CUDA does not work$1: $said" >&2
        exit 1
    fi
}
cuda ""
systemctl daemon-reload
cuda ", after systemctl daemon-reload"
mkdir -p /var/lib/voice
printf '%s\n' "$proof" >/var/lib/voice/gpu-proof
