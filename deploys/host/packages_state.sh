# What apt knows, in one round trip. Prints TAB-separated lines.
# Arguments: files to hash | packages to look up | addresses of repositories (three words, space-separated lists).
files=$1 packages=$2 urls=$3
for file in $files; do
    [ -e "$file" ] && printf 'file\t%s\t%s\n' "$file" "$(sha256sum <"$file" | cut -d ' ' -f 1)"
done
for package in $packages; do
    dpkg-query -W -f 'package\t${Package}\t${Version}\t${db:Status-Status}\n' "$package" 2>/dev/null || true
done
# Not apt-mark: it fails where apt's sources contradict each other, which is what the next lines look for.
dpkg --get-selections | awk '$2 == "hold" {sub(/:.*/, "", $1); print "hold\t" $1}'
for url in $urls; do
    # Somebody else's entry for the same repository: apt refuses two with different keys.
    grep -lsF -- "$url" /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources |
        grep -v '/voice-' | sed 's/^/rival\t/' || true
done
