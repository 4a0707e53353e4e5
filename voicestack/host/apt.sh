# apt and dpkg on a host where others use them too, above all in the first minutes of a cloud host: waits for their locks,
# lets them run to their end whoever reads, and mends what was cut off. Stands before the scripts that call apt.
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8
# DPkg::Lock::Timeout covers the first two alone, and waits without a word.
apt_locks=(/var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock)
apt_patience_s=600 apt_told_every_s=10

apt_get() { apt-get -y -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 "$@"; }

lock_holders() { # a line each: "apt-get (pid 812 of apt-daily.service, at work for 95 s) has /var/lib/apt/lists/lock"
    local name pid path age
    lslocks --noheadings --raw --output COMMAND,PID,PATH | while read -r name pid path; do
        case " ${apt_locks[*]} " in *" $path "*) ;; *) continue ;; esac
        # Since when: /proc/PID/stat, the 22nd field, in hundredths of a second since boot; a name may have spaces.
        age=$(awk '{print $1}' /proc/uptime)
        age=$(awk -v up="$age" '{sub(/.*\) /, ""); print int(up - $20 / 100)}' "/proc/$pid/stat") || continue
        echo "$name (pid $pid of $(sed -n '$s:.*/::p' "/proc/$pid/cgroup"), at work for $age s) has $path"
    done
}

await_locks() { # $1: until when, in bash's SECONDS
    local holders told=-$apt_told_every_s
    while holders=$(lock_holders 2>/dev/null) && [ -n "$holders" ]; do
        if [ "$SECONDS" -ge "$1" ]; then
            echo "apt is in use since $apt_patience_s s: ${holders//$'\n'/; }. Wait for its end, or end it if it hangs" \
                "(\`systemctl stop\` the unit, or \`kill\` the pid), and run again" >&2
            return 1
        fi
        if [ $((SECONDS - told)) -ge "$apt_told_every_s" ]; then
            told=$SECONDS
            echo "waiting for apt: ${holders//$'\n'/; }"
        fi
        sleep 1
    done
}

# apt's downloads and set-ups say how far it is; the rest of its lines are noise here. When the reader goes away (the run
# was ended, its connection broke), what nobody reads is drained: apt would die of SIGPIPE and leave dpkg half-configured.
quieter() {
    trap '' PIPE
    sed -u -E '/^(Selecting|Preparing|Unpacking|Adding|\(Reading|Reading|Building|Processing|Suggested|Recommended|  )/d' ||
        cat >/dev/null
}

# Runs a command of apt's or dpkg's once nobody has a lock. Somebody may be faster in between: then it waits again.
patiently() {
    local deadline=$((SECONDS + apt_patience_s)) said status
    said=$(mktemp)
    while :; do
        status=0
        await_locks "$deadline" || { status=1 && break; }
        "$@" </dev/null 2>&1 | tee "$said" | quieter || status=${PIPESTATUS[0]}
        if [ "$status" = 0 ] || [ "$SECONDS" -ge "$deadline" ]; then break; fi
        grep -qE '^(E: Could not get lock|dpkg: error: .*locked by)' "$said" || break
        sleep "$apt_told_every_s"
    done
    rm -f "$said"
    return "$status"
}

# Lists fetched in the last quarter of an hour, after the last change of the sources, are fresh enough.
fresh_lists() {
    local lists=/var/lib/apt/lists newer recent
    newer=$(find /etc/apt -newer $lists -type f 2>/dev/null | head -n 1)
    recent=$(find $lists -maxdepth 0 -mmin -15)
    if [ -n "$newer" ] || [ -z "$recent" ] || [ -z "$(find $lists -maxdepth 1 -name '*_*')" ]; then
        patiently apt_get update && touch $lists
    fi
}

half_done() { # what a dpkg that was cut off left behind, a line each; $1: in these states alone (dpkg-query's letters)
    # shellcheck disable=SC2016 # dpkg's dollars
    dpkg-query -W -f '${db:Status-Abbrev}|${binary:Package}\n' | awk -F '|' -v states="^${1:-.([HUFWt]|.R)}" '$1 ~ states {print $2}'
    if [ -z "${1:-}" ]; then find /var/lib/dpkg/updates -name '[0-9]*' -printf "dpkg's journal\n" -quit; fi
}

# A connection or a power supply that ended in the middle of apt: apt does nothing at all before this is finished.
mend() {
    local left removed unpacked
    await_locks $((SECONDS + apt_patience_s))
    left=$(half_done | paste -sd ' ')
    if [ -z "$left" ] && apt_get -o Debug::NoLocking=1 check >/dev/null 2>&1; then return; fi
    echo "apt or dpkg was cut off in the middle; finishing: ${left:-unmet dependencies}"
    # What was being removed goes; dpkg configures what lacks no dependency; apt brings the rest, and unpacks again where
    # that was cut off, which it does not do by itself. What others have and is whole is not ours to remove.
    removed=$(half_done '[rp]H') unpacked=$(half_done '[^rp](H|.R)')
    # shellcheck disable=SC2086 # the lists are lists
    {
        if [ -n "$removed" ]; then patiently dpkg --force-depends,remove-reinstreq --remove $removed || true; fi
        patiently dpkg --force-confold --configure -a || true
        fresh_lists || true
        patiently apt_get --no-remove --allow-change-held-packages --fix-broken --reinstall install $unpacked || true
    }
    await_locks $((SECONDS + apt_patience_s))
    left=$(half_done | paste -sd ' ')
    if [ -n "$left" ] || ! apt_get -o Debug::NoLocking=1 check >/dev/null; then
        echo "apt could not finish what was cut off (see above): ${left:-unmet dependencies}. Mend it on the host and run again" >&2
        exit 1
    fi
}
