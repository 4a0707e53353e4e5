# Docker's configuration file and whether the running daemon has read it. JSON goes as base64, on one line.
file=/etc/docker/daemon.json
[ -e $file ] && printf 'config\t%s\n' "$(base64 -w 0 $file)"
started=$(systemctl show -p ActiveEnterTimestamp --value docker.service 2>/dev/null || true)
if [ "$(systemctl is-active docker.service 2>/dev/null || true)" = active ]; then printf 'active\tyes\n'; fi
if [ "$(systemctl is-enabled docker.service 2>/dev/null || true)" = enabled ]; then printf 'enabled\tyes\n'; fi
if [ -e $file ] && [ -n "$started" ] && [ "$(stat -c %Y $file)" -gt "$(date -d "$started" +%s)" ]; then
    printf 'stale\tyes\n'
fi
printf 'proof\t%s\n' "$(cat /var/lib/voice/gpu-proof 2>/dev/null || true)"
# What the way to the GPU depends on: driver, daemon.json, Docker, and whichever of these packages are there.
parts() {
    cat /proc/driver/nvidia/version $file || true
    dockerd --version || true
    dpkg-query -W nvidia-container-toolkit containerd.io containerd runc || true
}
printf 'proof_wanted\t%s\n' "$(parts 2>/dev/null | sha256sum | cut -d ' ' -f 1)"
