# Moves others' entries for our repositories aside, each to NAME.before-voice, which nothing reads.
# Arguments: the files.
for file; do
    kept=$file.before-voice
    if [ -e "$kept" ] && ! cmp -s "$file" "$kept"; then
        echo "$file: names a repository of the deploys; $kept is of an earlier run and another: remove one of them" >&2
        exit 1
    fi
done
for file; do mv -- "$file" "$file.before-voice"; done
