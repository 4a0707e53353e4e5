# What the stack's home holds, in one round trip. Prints TAB-separated lines.
# Arguments: the home | files below it | images (the last two are space-separated lists).
home=$1 files=$2 images=$3
cd "$home" 2>/dev/null || exit 0
for file in $files; do
    [ -e "$file" ] && printf 'file\t%s\t%s\t%s\n' "$file" "$(sha256sum <"$file" | cut -d ' ' -f 1)" "$(stat -c '%a %u' "$file")"
done
for image in $images; do
    docker image inspect "$image" >/dev/null 2>&1 && printf 'image\t%s\n' "$image"
done
# One pair in three files; a run that was cut off leaves them different, and keys.sh makes them anew from livekit.env.
livekit() { sed -n "s/^LIVEKIT_API_$1=//p" secrets/livekit.env; }
if [ -s secrets/livekit.env ] && [ -s livekit/keys.yaml ] && [ -s secrets/livekit-digest.env ]; then
    digest=$(sha256sum <livekit/keys.yaml | cut -d ' ' -f 1)
    if [ "$(cat livekit/keys.yaml)" = "$(livekit KEY): $(livekit SECRET)" ] &&
        [ "$(cat secrets/livekit-digest.env)" = "LIVEKIT_KEYS_DIGEST=${digest:0:16}" ]; then
        printf 'keys\t%s\n' "$digest"
    fi
fi
[ -e secrets/bedrock.env ] && printf 'agent_keys\t%s\n' "$(sha256sum <secrets/bedrock.env | cut -d ' ' -f 1)"
exit 0
