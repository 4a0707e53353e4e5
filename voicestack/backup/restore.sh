# Puts certificates where Caddy reads them; all that was there stays on the host, dated. Prints no secret.
# Stdin: a tar in base64 with files of Caddy's data. Arguments: that directory | where start.py looks for .restored.
# Caddy's container can write in data, and put a link there that leads out of it. So all is made in a copy beside, which
# no container sees and which has no links, and that takes the place of data as a whole.
data=$1 marks=$2
replaced=$(dirname "$data")/replaced
new=$replaced/.new
umask 077
trap 'rm -rf "$new"' EXIT
(umask 022 && mkdir -p "$(dirname "$data")") # as Docker makes it
mkdir -p "$replaced"
rm -rf "$new"
if [ -e "$data" ]; then cp -a "$data" "$new"; else mkdir -m 755 "$new"; fi
find "$new" ! -type d ! -type f -delete
base64 -d | tar -xzp --numeric-owner -C "$new"
sync -f "$new"

# Newer than Caddy's start: start.py recreates it. First, so that it also does when this ends in the middle.
if [ -d "$marks" ]; then touch "$marks/.restored"; fi
# Nothing is said in between: when the connection is gone, the first word ends this program.
if [ -e "$data" ]; then
    kept=$replaced/$(date -u +%Y%m%dT%H%M%SZ)
    mkdir "$kept"
    mv "$data" "$kept"
fi
mv "$new" "$data"
echo "restored certificates to $data${kept:+; what was there before is kept in $kept}"
