# Brings apt to the wanted state, printing apt's own lines as progress. The files are already in place.
# Arguments: repositories as KEYRING|KEY_URL|FINGERPRINT | packages to remove | packages to install as
# NAME[=VERSION] | packages to hold | packages to install with those, where apt can (five words, space-separated lists).
# Runs behind deploys/host/ledger.sh.
repositories=$1 remove=$2 install=$3 hold=$4 where_possible=$5
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8
apt=(apt-get -y -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0)

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

# apt's downloads and set-ups say how far it is; the rest of its lines are noise here.
quieter() {
    sed -u -E '/^(Selecting|Preparing|Unpacking|Adding|\(Reading|Reading|Building|Processing|Suggested|Recommended|  )/d'
}

# shellcheck disable=SC2086 # the lists are lists
{
    if [ -n "$remove" ]; then
        "${apt[@]}" --simulate remove $remove | note_packages
        "${apt[@]}" remove $remove | quieter
    fi
    if [ -n "$install" ]; then
        # Lists fetched in the last quarter of an hour, after the last change of the sources, are fresh enough.
        lists=/var/lib/apt/lists
        newer=$(find /etc/apt -newer $lists -type f 2>/dev/null | head -n 1)
        recent=$(find $lists -maxdepth 0 -mmin -15)
        if [ -n "$newer" ] || [ -z "$recent" ] || [ -z "$(ls -A $lists)" ]; then
            "${apt[@]}" update | quieter
            touch $lists
        fi
        how=(--no-install-recommends --allow-change-held-packages --allow-downgrades)
        for name in $where_possible; do
            if said=$("${apt[@]}" --simulate --no-remove install "${how[@]}" $install "$name" 2>&1); then
                install="$install $name"
            else
                echo "goes without $name: $(grep -m 1 -E '^E:|Depends:' <<<"$said" || true)"
            fi
        done
        "${apt[@]}" --simulate install "${how[@]}" $install | note_packages
        "${apt[@]}" install "${how[@]}" $install | quieter
    fi
    if [ -n "$hold" ]; then
        note held $hold
        apt-mark hold $hold
    fi
}
