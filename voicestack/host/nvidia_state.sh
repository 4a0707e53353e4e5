# The driver as loaded, as installed and as its user space sees it; never fails on a host without one.
say() { printf '%s\t%s\n' "$1" "$2"; }
say loaded "$(sed -nE '1s/.*Kernel Module.* ([0-9]{3}\.[0-9.]+) .*/\1/p' /proc/driver/nvidia/version 2>/dev/null || true)"
say installed "$(modinfo -F version nvidia 2>/dev/null || true)"
smi=$(timeout 30 nvidia-smi --query-gpu=driver_version,persistence_mode --format=csv,noheader 2>&1 | head -n 1 || true)
say smi "${smi%%,*}"
say persistence "${smi##*, }"
if [ -e /dev/nvidia-uvm ] && [ -e /dev/nvidia-uvm-tools ]; then say uvm yes; fi
say boot "$(cat /proc/sys/kernel/random/boot_id)"
