# The key pairs. Stdin: LiveKit's ("KEY SECRET"; an empty line: kept, or made when there is none), then the agent's for
# AWS ("ID SECRET"; an empty line or none: kept; "none": removed). Prints no secret.
# Argument: the stack's home. Every file is 0600 from its first byte; a replaced pair stays beside, dated.
home=$1
umask 077
# Said at the end: when the connection is gone, the first word ends this program, which must not be between two files.
said=()
read -r key secret || true
read -r aws_id aws_secret || true
mkdir -p "$home/secrets" "$home/livekit"
chmod 755 "$home" "$home/livekit"

current=$home/secrets/livekit.env
if [ -z "${key:-}" ] && [ -s "$current" ]; then
    # shellcheck disable=SC1090
    . "$current"
    key=$LIVEKIT_API_KEY secret=$LIVEKIT_API_SECRET
elif [ -z "${key:-}" ]; then
    key=API$(head -c 9 /dev/urandom | base64 -w 0 | tr -d '/+=')
    secret=$(head -c 36 /dev/urandom | base64 -w 0)
    said+=("made a new LiveKit key pair; the web backend needs it: $current")
fi

write() {
    local file=$1
    cat >"$file.new"
    if cmp -s "$file.new" "$file"; then
        rm "$file.new"
        return
    fi
    if [ -e "$file" ]; then cp -p "$file" "$file.$(date -u +%Y%m%dT%H%M%SZ)"; fi
    mv "$file.new" "$file"
    said+=("wrote $file")
}
write "$current" <<<"LIVEKIT_API_KEY=$key
LIVEKIT_API_SECRET=$secret"
write "$home/livekit/keys.yaml" <<<"$key: $secret"
# Compose does not see the content of keys.yaml; this variable makes it restart LiveKit when the pair changes.
write "$home/secrets/livekit-digest.env" <<<"LIVEKIT_KEYS_DIGEST=$(sha256sum <"$home/livekit/keys.yaml" | cut -c 1-16)"

bedrock=$home/secrets/bedrock.env
case ${aws_id:-} in
"") [ -e "$bedrock" ] || : >"$bedrock" ;; # Compose wants the file
none)
    rm -f "$bedrock".2*
    if [ -s "$bedrock" ]; then said+=("the agent's key pair for AWS is removed; delete it in IAM, too"); fi
    : >"$bedrock"
    ;;
*) write "$bedrock" <<<"AWS_ACCESS_KEY_ID=$aws_id
AWS_SECRET_ACCESS_KEY=$aws_secret" ;;
esac
if [ ${#said[@]} -gt 0 ]; then printf '%s\n' "${said[@]}"; fi
