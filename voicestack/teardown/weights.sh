# Deletes models from the weights' directory; the directory too when it is empty then and no volume of its own.
# Argument: the directory. Stdin: names in it, a line each.
directory=$1
case $directory in /?*) ;; *) echo "not a directory of weights: $directory" >&2 && exit 1 ;; esac
while IFS= read -r name; do
    case $name in "" | . | .. | /* | ../* | */.. | */../*) echo "not a model: $name" >&2 && exit 1 ;; esac
    echo "$directory/$name: $(du -sh "$directory/$name" | cut -f 1)"
    rm -rf --one-file-system -- "${directory:?}/$name"
done
if [ -d "$directory/.replaced" ]; then rmdir --ignore-fail-on-non-empty -- "$directory/.replaced"; fi
if ! mountpoint -q "$directory"; then rmdir --ignore-fail-on-non-empty -- "$directory"; fi
