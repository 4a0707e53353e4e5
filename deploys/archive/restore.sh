# Puts a backup's files where the stack reads them; what they replace stays on the host, dated. Prints no secret.
# Stdin: a tar in base64 with "keys" (for keys.sh), keys.sh, and "tree", the files of Caddy's data below the root.
# Arguments: a directory in memory to unpack it in | the root | and below it the stack's home | what Caddy's container mounts.
place=$1 root=$2 home=$3 caddy=$4
umask 077
trap 'rm -rf "$place"' EXIT
rm -rf "$place"
mkdir "$place"
base64 -d | tar -xzp --numeric-owner -C "$place"
cd "$root" || exit

mkdir -p "$place/tree" # there may be no certificate
bash -euo pipefail "$place/keys.sh" "${root%/}/$home" <"$place/keys"

# As Docker and Caddy make them.
(umask 022 && mkdir -p "$caddy/data")
replaced=$caddy/replaced/$(date -u +%Y%m%dT%H%M%SZ)
count=0
while IFS= read -r -d '' file; do
    new=$place/tree/$file
    if cmp -s "$new" "$file" && [ "$(stat -c '%a %u' "$file")" = "600 $EUID" ]; then continue; fi
    # Newer than Caddy's start: start.py restarts it. First, so that it also does when this ends in the middle.
    if [ "$count" = 0 ] && [ -d "$home/caddy" ]; then touch "$home/caddy/.restored"; fi
    count=$((count + 1))
    mkdir -p "$(dirname "$file")"
    if [ -e "$file" ]; then
        kept=$replaced/${file#"$caddy"/}
        mkdir -p "$(dirname "$kept")"
        cp -p "$file" "$kept"
    fi
    cp -p "$new" "$file.new"
    mv -f "$file.new" "$file"
    echo "wrote ${root%/}/$file"
done < <(find "$place/tree" -type f -printf '%P\0' | sort -z)
if [ -d "$replaced" ]; then echo "what was there before is kept in ${root%/}/$replaced"; fi
