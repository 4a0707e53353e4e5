# What apt knows, in one round trip. Prints TAB-separated lines.
# Arguments: files to hash | packages to look up | addresses of repositories | apt's own directory (the first three are
# space-separated lists). Runs behind voicestack/host/apt.sh.
files=$1 packages=$2 urls=$3 apt=$4
for file in $files; do
    [ -e "$file" ] && printf 'file\t%s\t%s\n' "$file" "$(sha256sum <"$file" | cut -d ' ' -f 1)"
done
for package in $packages; do
    dpkg-query -W -f 'package\t${Package}\t${Version}\t${db:Status-Status}\n' "$package" 2>/dev/null || true
done
# Not apt-mark: it fails where apt's sources contradict each other, which is what the next lines look for.
dpkg --get-selections | awk '$2 == "hold" {sub(/:.*/, "", $1); print "hold\t" $1}'
# What a dpkg at work has not finished yet is not half-done.
if [ -z "$(lock_holders)" ]; then half_done | sed 's/^/half_done\t/'; fi

# Somebody else's entries for the same repositories: apt refuses two with different keys.
entries() { # $1: one of apt's files; what it reads there, an entry a line
    case $1 in
    *.sources) sed '/^#/d' "$1" | awk -v RS= '{gsub(/\n/, " ")} tolower($0) !~ /(^| )enabled: *(no|false)( |$)/' ;;
    *) grep -E '^[[:space:]]*deb' "$1" || true ;;
    esac
}
if [ -z "$urls" ]; then exit 0; fi
for file in "$apt"/sources.list "$apt"/sources.list.d/*.list "$apt"/sources.list.d/*.sources; do
    case $file in */voice-*) continue ;; esac
    if ! [ -f "$file" ]; then continue; fi
    rivals=$(entries "$file" | grep -F -e "${urls// /$'\n'}" || true)
    others=$(entries "$file" | grep -vF -e "${urls// /$'\n'}" || true)
    if [ -n "$rivals" ] && [ -n "$others" ]; then
        printf 'shared\t%s\t%s\n' "$file" "$(head -n 1 <<<"$rivals" | cut -c 1-120)"
    elif [ -n "$rivals" ]; then
        printf 'rival\t%s\n' "$file"
    fi
done
