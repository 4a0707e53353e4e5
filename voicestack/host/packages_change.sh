# Brings apt to the wanted state, printing apt's own lines as progress. The files are already in place.
# Arguments: repositories as KEYRING|KEY_URL|FINGERPRINT | packages to remove | packages to install as
# NAME[=VERSION] | packages to hold | packages to install with those, where apt can (five words, space-separated lists).
# Runs behind voicestack/host/apt.sh.
repositories=$1 remove=$2 install=$3 hold=$4 where_possible=$5

# gpg makes its directory wherever it is called, be it for looking at a key.
GNUPGHOME=$(mktemp -d)
export GNUPGHOME
trap 'rm -rf "$GNUPGHOME"' EXIT

for repository in $repositories; do
    IFS='|' read -r keyring key_url fingerprint <<<"$repository"
    new=$(mktemp)
    curl -fsSL --retry 3 -m 60 -o "$new" "$key_url" || {
        echo "cannot fetch the repository key $key_url" >&2
        exit 1
    }
    found=$(gpg --batch --quiet --show-keys --with-colons "$new" | awk -F: '$1 == "fpr" {print $10; exit}')
    if [ "$found" != "$fingerprint" ]; then
        echo "the key at $key_url has the fingerprint ${found:-none}, expected $fingerprint: refused" >&2
        exit 1
    fi
    mkdir -p "${keyring%/*}"
    gpg --batch --yes --dearmor -o "$keyring.new" "$new" 2>/dev/null || cp "$new" "$keyring.new"
    chmod 644 "$keyring.new"
    mv "$keyring.new" "$keyring"
    rm -f "$new"
done

mend

# shellcheck disable=SC2086 # the lists are lists
{
    if [ -n "$remove" ]; then
        patiently apt_get remove $remove
    fi
    if [ -n "$install" ]; then
        fresh_lists
        how=(--no-install-recommends --allow-change-held-packages --allow-downgrades)
        for name in $where_possible; do
            if said=$(apt_get --simulate --no-remove install "${how[@]}" $install "$name" 2>&1); then
                install="$install $name"
            else
                echo "goes without $name: $(grep -m 1 -E '^E:|Depends:' <<<"$said" || true)"
            fi
        done
        patiently apt_get install "${how[@]}" $install
    fi
    if [ -n "$hold" ]; then
        patiently apt-mark hold $hold
    fi
}
