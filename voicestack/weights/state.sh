# What the weights' directory holds, in one round trip and without hashing. Changes nothing. Shell, findutils and
# coreutils only: a bare host has no Python. Prints base64 of records, each a kind, a blank and a value, ended by NUL:
# names may hold anything else. See facts.py.
# Arguments: the directory | the catalog's names (space-separated list) | the name of the provenance file.
directory=$1 names=$2 provenance=$3
cd "$directory" 2>/dev/null || exit 0

record() { printf '%s %s\0' "$1" "$2"; }

content() { # $1: a kind, $2: a file's path, $3: a file, $4: how many bytes of it
    record "$1" "$2 $(head -c "$4" "$3" | base64 -w 0)"
}

describe() { # $1: what to call it, $2: a directory, its path beginning with ./, $3: an option of find
    record "$1" "${2##*/}"
    if [ -f "$2/$provenance" ] && [ -r "$2/$provenance" ]; then
        content provenance "$provenance" "$2/$provenance" 8388608
    fi
    # Size, hard links and blocks of 512 bytes; of a symbolic link, its own.
    # shellcheck disable=SC2086
    find ${3:-} "$2" ! -type d ! -path "$2/$provenance" -printf 'file %s %n %b %P\0' 2>/dev/null || true
}

# The first bytes of a model that nobody vouches for: the controller recognises it by them.
evidence() { # $1: a directory
    local file length
    for file in params.json config.json; do
        if [ -f "$1/$file" ] && [ "$(stat -L -c %s "$1/$file")" -le 131072 ]; then
            content document "$file" "$1/$file" 131072
        fi
    done
    for file in consolidated.safetensors model.safetensors model.bin; do
        [ -f "$1/$file" ] || continue
        length=56
        case $file in *.safetensors) length=$(od -An -tu8 -N8 "$1/$file" | tr -d ' ') ;; esac
        # A number of 20 digits does not fit the shell's arithmetic; no header that we know is that long.
        if [ -z "$length" ] || [ "${#length}" -gt 6 ] || [ "$length" -gt 524288 ]; then length=56; fi
        content head "$file" "$1/$file" $((length + 8))
    done
}

vouched() { # $1: a directory; whether its provenance is whole, which its last character tells
    [ -f "$1/$provenance" ] && [ -r "$1/$provenance" ] && [ "$(tail -c 2 "$1/$provenance" | tr -d '\0\n')" = '}' ]
}

in_catalog() { # $1: a name
    local name
    for name in $names; do
        [ "$1" != "$name" ] || return 0
    done
    return 1
}

everything() {
    record now "$(date -u +%s)"
    for path in ./.replaced/ "./"*"/$provenance"; do
        if [ -e "$path" ]; then record ours yes; fi
    done
    for name in $names; do
        [ -e "./$name" ] || [ -L "./$name" ] || continue
        describe model "./$name" -H
        vouched "./$name" || evidence "./$name"
    done
    for path in ./*; do
        if [ "$path" = ./lost+found ] || in_catalog "${path#./}"; then continue; fi
        if [ -e "$path" ] || [ -L "$path" ]; then describe stranger "$path"; fi
    done
    for path in ./.staging/*; do
        if [ -d "$path" ]; then describe staged "$path"; fi
    done
    for path in ./.replaced/*; do
        if [ -e "$path" ] || [ -L "$path" ]; then describe replaced "$path"; fi
    done
}

everything | base64 -w 0
echo
