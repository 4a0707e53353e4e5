# What the stack's home holds, in one round trip. Prints TAB-separated lines.
# Arguments: the home | files below it | images (the two are space-separated lists) | keys.sh.
home=$1 files=$2 images=$3
cd "$home" 2>/dev/null || exit 0
for file in $files; do
    [ -e "$file" ] && printf 'file\t%s\t%s\t%s\n' "$file" "$(sha256sum <"$file" | cut -d ' ' -f 1)" "$(stat -c '%a %u' "$file")"
done
for image in $images; do
    docker image inspect "$image" >/dev/null 2>&1 && printf 'image\t%s\n' "$image"
done
bash -euo pipefail -c "$4" voice "$home" check </dev/null
