# The key pairs on the host, and the one place that knows what their files look like. Prints no secret.
# Stdin: the text of livekit.env, or nothing (the host's is kept, or one is made), then that of bedrock.env, the agent's
# for AWS, or nothing (the host's is kept).
# Arguments: the stack's home | keep, none (the agent shall have no pair), or check: changes nothing, and prints the
# SHA-256 of livekit.env, if the files made from it agree with it (a run that was cut off leaves them different), and of
# bedrock.env.
# Every file is 0600 from its first byte; a replaced one stays beside, dated.
home=$1 verb=$2
umask 077
livekit_env=$home/secrets/livekit.env agent_env=$home/secrets/bedrock.env
livekit='' agent=''
while IFS= read -r line; do
    case $line in
    LIVEKIT_*) livekit+=$line$'\n' ;;
    AWS_*) agent+=$line$'\n' ;;
    esac
done
# Said at the end: when the connection is gone, the first word ends this program, which must not be between two files.
said=()
if [ -z "$livekit" ] && [ -s "$livekit_env" ]; then
    livekit=$(cat "$livekit_env")$'\n'
elif [ -z "$livekit" ]; then
    livekit="LIVEKIT_API_KEY=API$(head -c 9 /dev/urandom | base64 -w 0 | tr -d '/+=')
LIVEKIT_API_SECRET=$(head -c 36 /dev/urandom | base64 -w 0)
"
    said+=("made a new LiveKit key pair; the web backend needs it: $livekit_env")
fi
value() { sed -n "s/^LIVEKIT_API_$1=//p" <<<"$livekit"; }
keys="$(value KEY): $(value SECRET)
"
digest() { sha256sum | cut -c "1-$1"; }
# Compose does not see the content of keys.yaml; this variable makes it restart LiveKit when the pair changes.
keys_env="LIVEKIT_KEYS_DIGEST=$(printf %s "$keys" | digest 16)
"
is() { printf %s "$2" | cmp -s - "$1"; } # a file | whether this is its content
write() {                                # a file | its content
    if is "$1" "$2"; then return; fi
    printf %s "$2" >"$1.new"
    if [ -e "$1" ]; then cp -p "$1" "$1.$(date -u +%Y%m%dT%H%M%SZ)"; fi
    mv "$1.new" "$1"
    said+=("wrote $1")
}
if [ "$verb" = check ]; then
    if is "$livekit_env" "$livekit" && is "$home/livekit/keys.yaml" "$keys" &&
        is "$home/secrets/livekit-digest.env" "$keys_env"; then
        printf 'keys\t%s\n' "$(digest 64 <"$livekit_env")"
    fi
    if [ -e "$agent_env" ]; then printf 'agent_keys\t%s\n' "$(digest 64 <"$agent_env")"; fi
    exit
fi

mkdir -p "$home/secrets" "$home/livekit"
chmod 755 "$home" "$home/livekit"
write "$livekit_env" "$livekit"
write "$home/livekit/keys.yaml" "$keys"
write "$home/secrets/livekit-digest.env" "$keys_env"
if [ "$verb" = none ]; then
    rm -f "$agent_env".2*
    if [ -s "$agent_env" ]; then said+=("the agent's key pair for AWS is removed; delete it in IAM, too"); fi
    : >"$agent_env"
elif [ -n "$agent" ]; then
    write "$agent_env" "$agent"
elif [ ! -e "$agent_env" ]; then
    : >"$agent_env" # Compose wants the file
fi
if [ ${#said[@]} -gt 0 ]; then printf '%s\n' "${said[@]}"; fi
