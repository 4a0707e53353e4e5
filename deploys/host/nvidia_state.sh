# The driver as loaded, as installed and as its user space sees it; never fails on a host without one.
say() { printf '%s\t%s\n' "$1" "$2"; }
say loaded "$(sed -nE '1s/.*Kernel Module[^0-9]*([0-9]+\.[0-9.]+).*/\1/p' /proc/driver/nvidia/version 2>/dev/null || true)"
say installed "$(modinfo -F version nvidia 2>/dev/null || true)"
say smi "$(timeout 30 nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>&1 | head -n 1 || true)"
say persistence "$(systemctl is-active nvidia-persistenced.service 2>/dev/null || true)"
say persistence_enabled "$(systemctl is-enabled nvidia-persistenced.service 2>/dev/null || true)"
say boot "$(cat /proc/sys/kernel/random/boot_id)"
