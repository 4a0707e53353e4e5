# What a backup is made of, as a tar in base64 on stdout; changes nothing. Arguments: the root | and below it the two
# env files | Caddy's data. Caddy may write meanwhile: then tar fails, or the controller sees that two files do not fit.
root=$1 livekit=$2 agent=$3 caddy=$4
cd "$root" || exit
{
    for file in "$livekit" "$agent"; do
        if [ -s "$file" ]; then printf '%s\0' "$file"; fi
    done
    for part in acme certificates pki; do
        if [ -d "$caddy/$part" ]; then
            find "$caddy/$part" -name challenge_tokens -prune -o -type f \
                \( -name '*.crt' -o -name '*.key' -o -name '*.json' \) -print0
        fi
    done
} | tar --create --null --no-recursion --files-from=- | base64
