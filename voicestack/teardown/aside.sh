# Moves what must not be lost into a new directory, root's alone, each under the path that it had.
# Argument: the directory for all of these. Stdin: absolute paths, a line each.
umask 077
place=$1/$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$1"
chmod 700 "$1"
mkdir "$place"
# First: a run that is cut off leaves a directory that says what it is.
way_back="cp -a $place/*/ /"
cat >"$place/README" <<README
Key pairs, certificates and environments that deploys/teardown.py took out of use. To have them again, before the next
run of deploys/voice.py on this host:

    $way_back

If that run was cut off, the next one made another directory beside this one: copy both, this one first.
README
mapfile -t paths
# The directories on the way keep their modes, which the way back copies, too: cp looks at those of relative paths alone.
cd /
cp -a --parents -- "${paths[@]#/}" "$place"
rm -rf --one-file-system -- "${paths[@]%/}"
echo "moved to $place; the way back, before the next run of deploys/voice.py: $way_back"
others=$(find "$1" -mindepth 1 -maxdepth 1 -type d -name '2*Z' ! -path "$place" | sort | paste -sd ' ')
[ -z "$others" ] || echo "from earlier runs, each with a README (if the last of them was cut off, copy it first): $others"
