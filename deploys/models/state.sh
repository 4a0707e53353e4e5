# What the weights' directory holds, in one round trip and without hashing. Changes nothing. Shell, findutils and
# coreutils only: a bare host has no Python. Prints words and paths, a line each; see facts.py.
# Arguments: the directory | the catalog's names (space-separated list) | the name of the provenance file.
directory=$1 names=$2 provenance=$3
cd "$directory" 2>/dev/null || exit 0
date -u '+now %s'

describe() { # $1: a directory, $2: what to call it, $3: an option of find
    printf '%s\n' "$2"
    if [ -r "$1/$provenance" ]; then
        printf 'provenance '
        tr -d '\n' <"$1/$provenance"
        echo
    fi
    # Size, hard links and blocks of 512 bytes; of a symbolic link, its own.
    # shellcheck disable=SC2086
    find ${3:-} "$1" ! -type d ! -path "$1/$provenance" -printf 'file %s %n %b %P\n' 2>/dev/null || true
}

# The first bytes of a model that nobody vouches for: the controller recognises it by them.
evidence() { # $1: a directory
    local file length
    for file in params.json config.json; do
        if [ -f "$1/$file" ] && [ "$(stat -c %s "$1/$file")" -le 131072 ]; then
            printf 'document %s %s\n' "$file" "$(base64 -w 0 "$1/$file")"
        fi
    done
    for file in consolidated.safetensors model.safetensors model.bin; do
        [ -f "$1/$file" ] || continue
        length=56
        case $file in *.safetensors) length=$(od -An -tu8 -N8 "$1/$file" | tr -d ' ') ;; esac
        # A number of 20 digits does not fit the shell's arithmetic; no header that we know is that long.
        if [ -z "$length" ] || [ "${#length}" -gt 6 ] || [ "$length" -gt 524288 ]; then length=56; fi
        printf 'head %s %s\n' "$file" "$(head -c $((length + 8)) "$1/$file" | base64 -w 0)"
    done
}

for name in $names; do
    [ -e "$name" ] || [ -L "$name" ] || continue
    describe "$name" "model $name" -H
    [ -r "$name/$provenance" ] || evidence "$name"
done

for name in *; do
    case " $names lost+found " in *" $name "*) continue ;; esac
    if [ -e "$name" ] || [ -L "$name" ]; then describe "$name" "stranger $name"; fi
done

for replaced in .replaced/*; do
    if [ -e "$replaced" ] || [ -L "$replaced" ]; then describe "$replaced" "replaced ${replaced#.replaced/}"; fi
done
exit 0
