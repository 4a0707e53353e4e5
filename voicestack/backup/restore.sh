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
changed=()
while IFS= read -r -d '' file; do
    new=$place/tree/$file
    if cmp -s "$new" "$file" && [ "$(stat -c '%a %u' "$file")" = "600 $EUID" ]; then continue; fi
    changed+=("$file")
    mkdir -p "$(dirname "$file")"
    if [ -e "$file" ]; then
        kept=$replaced/${file#"$caddy"/}
        mkdir -p "$(dirname "$kept")"
        cp -p "$file" "$kept"
    fi
    cp -p "$new" "$file.new"
done < <(find "$place/tree" -type f -printf '%P\0' | sort -z)
if [ ${#changed[@]} = 0 ]; then exit; fi

# Newer than Caddy's start: start.py restarts it. First, so that it also does when this ends in the middle.
if [ -d "$home/caddy" ]; then touch "$home/caddy/.restored"; fi
# Back to back, and nothing is said in between: when the connection is gone, the first word ends this program, and a
# certificate must not be left beside another one's key.
for file in "${changed[@]}"; do mv -f "$file.new" "$file"; done
printf 'wrote %s\n' "${changed[@]/#/"${root%/}/"}"
if [ -d "$replaced" ]; then echo "what was there before is kept in ${root%/}/$replaced"; fi
