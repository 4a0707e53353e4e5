# Starts Docker, which alone can stop containers.
# Argument: the file that has it wait for the weights' volume, if that is not here, or "".
wait=$1
if [ -n "$wait" ]; then
    rm -f -- "$wait"
    systemctl daemon-reload
    echo "Docker no longer waits for the weights' volume, which is not here"
fi
# What asks at Docker's socket while it cannot start uses up the starts that systemd allows in a minute.
systemctl reset-failed docker.socket docker.service 2>/dev/null || true
systemctl start docker.service || {
    echo "Docker is installed and does not start; mend or remove it, then run this again" >&2
    exit 1
}
