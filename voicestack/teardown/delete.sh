# Deletes what is named on stdin, an absolute path a line, with all below it; then directories, if they are empty.
# Nothing is deleted outside the places that the deploys write to, whatever the list says.
# Arguments: the weights' directory, if models go, or "" | directories, the deepest first.
weights=${1:-/dev/null}
shift
while IFS= read -r path; do
    case " $* " in *" ${path:-//} "*) continue ;; esac
    case $path in
    */../* | */..) ;;
    /opt/voice/?* | /var/lib/voice/?* | /run/voice-?* | /var/backups/voice/2?* | \
        "$weights"/?* | /etc/sysctl.d/60-voice.conf | /etc/systemd/system/docker.service.d/?*-voice-?*.conf)
        rm -rf --one-file-system -- "${path%/}"
        continue
        ;;
    esac
    echo "not a path of the deploys: $path" >&2
    exit 1
done
# systemd has read drop-ins that are gone now.
if command -v systemctl >/dev/null; then systemctl daemon-reload; fi
for directory; do
    if [ -d "$directory" ] && ! mountpoint -q "$directory"; then rmdir --ignore-fail-on-non-empty -- "$directory"; fi
done
