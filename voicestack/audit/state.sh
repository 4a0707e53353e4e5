# What a live host has, in one round trip; changes nothing. Prints TAB-separated lines: KEY VALUE...; judges nothing.
# Never prints what is in the secrets' files, values of environment variables, or the arguments of others' containers.
# Arguments: files as lines of "SHA256 PATH" (the content of those that differ is printed, see shown) | the stack's home |
# its state's directory | the site's name.
set +e
files=$1 home=$2 state=$3 domain=$4

say() {
    local IFS=$'\t'
    printf '%s\n' "$*"
}
say now "$(date +%s)"

# What may leave the host: of an env file the names, and instead of each value a digest of it (redacted.py does the
# same with what is wanted).
shown() {
    local line name
    case $1 in
    *.env)
        while IFS= read -r line || [ -n "$line" ]; do
            name=${line%%=*}
            if [ "$name" = "$line" ] || ! [[ $name =~ ^[A-Z_][A-Z0-9_]*$ ]]; then name='?'; else line=${line#*=}; fi
            printf '%s=%s\n' "$name" "$(printf %s "$line" | sha256sum | cut -c 1-16)"
        done <"$1"
        ;;
    *) cat "$1" ;;
    esac
}

while read -r wanted path; do
    [ -f "$path" ] || continue
    found=$(sha256sum <"$path" | cut -d ' ' -f 1)
    content=
    [ "$found" = "$wanted" ] || content=$(shown "$path" | head -c 65536 | base64 -w 0)
    say file "$path" "$(stat -L -c '%a %u' "$path")" "$found" "$content"
done <<<"$files"
for path in "$home"/secrets "$home"/secrets/* "$home"/livekit/keys.yaml* "$home"/releases; do
    [ -e "$path" ] && say secret "$path" "$(stat -c '%a %u' "$path")"
done
find "$home" -xdev \( -path "$home/secrets" -o -path "$home/weights" -o -name __pycache__ -o -path "$home/.staged" \
    -o -path "$home/.build" -o -path "$home/.pull" -o -path "$home/releases" \) -prune -o ! -type d -printf '%p\0' 2>/dev/null |
    tr '\t\n\0' '??\n' | sed 's/^/other\t/'
# Of the record that voicestack/lock.sh keeps: the deploys that decide which files are live.
say runs "$(grep -E 'deploys/(voice|rollback)\.py"' /var/log/voice/runs.jsonl 2>/dev/null | tail -n 200 | base64 -w 0)"
[ -L "$home/releases/current" ] && say release "$(readlink "$home/releases/current")"
# A run that was killed leaves its name in the lock's file, and another program may have its number by now: lock.sh is
# an argument of its own process.
worker=$(sed -n 's/.*"pid": \([0-9]*\)}$/\1/p' /run/voice-run.lock 2>/dev/null)
[ -n "$worker" ] && grep -qs voice-run.lock "/proc/$worker/cmdline" && say at_work yes

if command -v docker >/dev/null; then
    described='container	{"id": {{json .Id}}, "name": {{json (slice .Name 1)}}, "image": {{json .Config.Image}},
        "status": {{json .State.Status}}, "restarts": {{.RestartCount}}, "exit_code": {{.State.ExitCode}},
        {{if eq (index .Config.Labels "com.docker.compose.project") "voice"}}
        "service": {{json (index .Config.Labels "com.docker.compose.service")}},
        "entrypoint": {{json .Config.Entrypoint}}, "command": {{json .Config.Cmd}}
        {{else}}"service": "", "entrypoint": null, "command": null{{end}}}'
    if ids=$(docker ps -aq --no-trunc 2>&1); then
        # shellcheck disable=SC2086 # a list of ids
        [ -z "$ids" ] || docker inspect -f "${described//$'\n'/}" $ids
    else
        say fault Docker "$(tail -n 1 <<<"$ids")"
    fi
fi
if [ -e "$home/bin/start.py" ]; then
    # -B: the audit leaves no compiled file behind either.
    if check=$(timeout 120 python3 -B "$home/bin/start.py" --check 2>&1); then
        say differences "$(tail -n 1 <<<"$check" | base64 -w 0)"
    else
        say fault "start.py --check" "$(tail -n 1 <<<"$check" | tr '\t' ' ')"
    fi
fi

ss -Hlntup | while read -r protocol _ _ _ local _ users; do
    pid=$(grep -o 'pid=[0-9]*' <<<"$users" | head -n 1)
    container=$(grep -oE '[0-9a-f]{64}' "/proc/${pid#pid=}/cgroup" 2>/dev/null | head -n 1)
    say listener "$protocol" "$local" "$(cut -s -d '"' -f 2 <<<"$users" | tr '\t' ' ')" "${container:--}"
done

for certificate in "$state"/caddy/data/caddy/certificates/*/"$domain/$domain.crt"; do
    [ -e "$certificate" ] || continue
    begins=$(openssl x509 -in "$certificate" -noout -startdate 2>/dev/null)
    ends=$(openssl x509 -in "$certificate" -noout -enddate 2>/dev/null)
    say certificate "$certificate" "$(date -d "${begins#*=}" +%s)" "$(date -d "${ends#*=}" +%s)"
done

[ -e /run/reboot-required ] && say reboot "$(sort -u /run/reboot-required.pkgs 2>/dev/null | paste -sd ' ')"
newest=$(find /boot -maxdepth 1 -name 'vmlinuz-*' -printf '%f\n' 2>/dev/null | sed 's/^vmlinuz-//' | sort -V | tail -n 1)
say newest_kernel "$newest"
if command -v nvidia-smi >/dev/null; then
    timeout 30 nvidia-smi --query-gpu=memory.total,memory.used --format=csv,noheader,nounits 2>/dev/null |
        grep -E '^ *[0-9]+, *[0-9]+$' | sed 's/^/memory\t/'
fi
exit 0
