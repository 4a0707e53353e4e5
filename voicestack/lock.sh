# Holds this host's lock for one run, for as long as stdin stays open, and keeps the record of runs.
# Arguments: the run as the start of a JSON object: {"who": ..., "from": ..., "what": ..., "commit": ...; and, when the
# same run comes again on a new connection, the process that held the lock for it on the one before.
# Says "held PID" and reads lines: "begun", "pause", and what becomes the outcome: "failed: NAME", "done: N of M operations
# changed something". Exit status 75: another run has the lock, and who it is stands on stderr; 76: the host is about to
# reboot, and its boot's id stands there. A connection that breaks ends this program and frees the lock.
run=$1
before=${2:-}
lock=/run/voice-run.lock
record=/var/log/voice/runs.jsonl

# A run that was ended just when it had ordered the reboot, or anybody: what begins now would be cut off.
if [ -e /run/voice-reboot ] || [ "$(systemctl is-system-running 2>/dev/null)" = stopping ]; then
    cat /proc/sys/kernel/random/boot_id >&2
    exit 76
fi
exec 9>>"$lock"
patience_s=0
if [ -n "$before" ] && grep -q "\"pid\": $before}" "$lock"; then
    # sshd may not have noticed that the connection before is gone.
    kill -KILL "$before" 2>/dev/null || true
    patience_s=5
fi
if ! flock --timeout "$patience_s" 9; then
    cat "$lock" >&2
    exit 75
fi
since=$(date -u +%FT%TZ)
printf '%s, "since": "%s", "pid": %s}\n' "$run" "$since" $$ >"$lock"
echo "held $$"

begun='' outcome='cut off'
trap 'exec <&-; outcome="ended by hand"' TERM
while IFS= read -r line; do
    case $line in
    begun) begun=yes ;;
    pause) begun='' ;;
    *) outcome=$line ;;
    esac
done
: >"$lock"
# A run that changed nothing because it never got so far, a dry one above all, leaves no trace.
if [ -n "$begun" ]; then
    umask 077
    mkdir -p "${record%/*}"
    outcome=${outcome//[\\\"]/}
    printf '%s, "since": "%s", "until": "%s", "outcome": "%s"}\n' "$run" "$since" "$(date -u +%FT%TZ)" "$outcome" >>"$record"
fi
