# What a host is, read only, in one round trip. Prints TAB-separated lines: KEY VALUE...; judges nothing.
# Arguments: paths to measure | ports as PROTO:FIRST-LAST | URLs | packages | the metadata service's address
# (empty when the address is configured) | the models' directory | the domain (empty when Let's Encrypt need not find the
# host by it) | repositories as URL|SUITE|COMPONENTS | what is wanted from them as PACKAGE=VERSION | the catalog's names:
# ten words, all but the fifth to the seventh space-separated lists. URLs, packages and repositories depend on the
# distribution, which only the host knows: DISTRIBUTION=WORD counts on that one alone, and {release}, {codename},
# {kernel}, {flavour} are filled in here.
set +e

say() {
    local IFS=$'\t'
    printf '%s\n' "$*"
}

# shellcheck disable=SC1091
. /etc/os-release
paths=$1 ports=$2 metadata=$5 models=$6 domain=$7 pinned=$9 catalog=${10}
flavour=$(uname -r | sed -E 's/^[0-9.]+-([0-9]+-)?//')
for_this_host() {
    local word
    for word in $1; do
        [ "${word%%=*}" = "${ID:-}" ] || continue
        word=${word#*=}
        word=${word//'{release}'/${VERSION_ID//./}}
        word=${word//'{codename}'/${VERSION_CODENAME:-}}
        word=${word//'{kernel}'/$(uname -r)}
        printf '%s ' "${word//'{flavour}'/$flavour}"
    done
}
urls=$(for_this_host "$3")
packages=$(for_this_host "$4")
sources=$(for_this_host "$8")

say os "${ID:-}" "${VERSION_ID:-}" "${VERSION_CODENAME:-}" "${PRETTY_NAME:-}"
say architecture "$(uname -m)"
say kernel "$(uname -r)" "$flavour"
say init "$(cat /proc/1/comm)"
say uid "$(id -u)"
say now "$(date +%s)"
say memory_kib "$(awk '/^MemTotal:/ {print $2}' /proc/meminfo)"

for device in /sys/bus/pci/devices/*; do
    [ "$(cat "$device/vendor" 2>/dev/null)" = 0x10de ] || continue
    case $(cat "$device/class" 2>/dev/null) in 0x03*) say gpu "$(cat "$device/device")" ;; esac
done
if command -v nvidia-smi >/dev/null; then
    # A driver that does not work answers with a sentence: it is the driver's step that mends it.
    nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits 2>/dev/null |
        grep -xE '[0-9]+' | while read -r total; do say gpu_memory_mib "$total"; done
fi

# A running Docker says where it keeps images: one that began as 28 goes on in its own directory, wherever that is.
if command -v docker >/dev/null; then
    store=$(timeout 20 docker info -f '{{.DockerRootDir}} {{.DriverStatus}}' 2>/dev/null)
    case $store in
    /*io.containerd.snapshotter*) images=/var/lib/containerd ;;
    /*) images=${store%% *} ;;
    *) images= ;;
    esac
    if [ -n "$images" ]; then say images "$images"; fi
    case " $paths " in *" $images "*) ;; *) paths="$paths $images" ;; esac
fi
for path in $paths; do
    existing=$path
    while [ ! -e "$existing" ]; do existing=$(dirname "$existing"); done
    read -r device free < <(df -Pk "$existing" | awk 'NR == 2 {print $1 ":" $6, $4}')
    say disk "$path" "$device" "$free"
done
[ -e /opt/voice/compose.yml ] && say deployed yes
for provenance in "$models"/*/.provenance.json; do
    [ -e "$provenance" ] && say model "$(basename "$(dirname "$provenance")")"
done
for path in "$models/.replaced/" "$models"/*/.provenance.json; do
    [ -e "$path" ] && say models_are_ours yes
done
for path in "$models"/*; do
    case " lost+found $catalog " in *" ${path##*/} "*) continue ;; esac
    if [ -e "$path" ] || [ -L "$path" ]; then say stranger "$(tr '\t\n' '??' <<<"${path##*/}" | sed 's/?$//')"; fi
done

# Sockets on the ports we need, and the containers that are ours.
if command -v ss >/dev/null; then
    ss -Hlntup | while read -r proto _ _ _ local _ users; do
        port=${local##*:}
        for range in $ports; do
            span=${range#*:}
            if [ "$proto" != "${range%%:*}" ] || [ "$port" -lt "${span%-*}" ] || [ "$port" -gt "${span#*-}" ]; then
                continue
            fi
            pid=$(grep -o 'pid=[0-9]*' <<<"$users" | head -n 1)
            container=$(grep -oE '[0-9a-f]{64}' "/proc/${pid#pid=}/cgroup" 2>/dev/null | head -n 1)
            say socket "$proto" "$local" "$(cut -d '"' -f 2 <<<"$users")" "${container:--}"
        done
    done
else
    say missing ss
fi
if command -v docker >/dev/null; then
    docker ps --no-trunc --filter label=com.docker.compose.project=voice --format '{{.ID}}	{{.Ports}}' 2>/dev/null |
        while IFS=$'\t' read -r id published; do say container "$id" "$published"; done
fi

# A dpkg at work is waited for, and what one that was cut off left behind is mended: packages_change.sh does both.
{
    LC_ALL=C dpkg-query -W 2>&1 >/dev/null
    LC_ALL=C apt-get -o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= check 2>&1 >/dev/null
} | grep -E '^(E|dpkg-query): ' | grep -vE 'Unmet dependencies|dpkg was interrupted|needs to be reinstalled' |
    head -n 3 | while read -r line; do say apt "$line"; done

# Packages the distribution's archive must offer. A host that never ran `apt-get update` has no lists: they are
# fetched into a temporary place, which also proves that the archive answers.
candidates() {
    # shellcheck disable=SC2086 # a list of packages
    LC_ALL=C apt-cache "$@" policy $packages |
        awk '/^[^ ]/ {name = $1; sub(/:$/, "", name)} /^  Candidate:/ {print name, $2}'
}
if [ -n "$packages" ]; then
    found=$(candidates)
    if [ "$(awk 'NF == 2 && $2 != "(none)"' <<<"$found" | wc -l)" -lt "$(wc -w <<<"$packages")" ]; then
        scratch=$(mktemp -d)
        mkdir -p "$scratch/lists/partial" "$scratch/archives/partial"
        elsewhere=(-o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch" -o Debug::NoLocking=1 -o APT::Sandbox::User=root)
        timeout 120 apt-get "${elsewhere[@]}" -qq update 2>&1 | grep -E '^[EW]:' | head -n 3 |
            while read -r line; do say archive "$line"; done
        found=$(candidates "${elsewhere[@]}")
        rm -rf "$scratch"
    fi
    for package in $packages; do say package "$package" "$(awk -v name="$package" '$1 == name {print $2}' <<<"$found")"; done
fi

# Versions that settings pin: what the host has, and where it lacks one, what the repositories offer, newest first. apt
# reads their lists into a temporary place, as it will for installing; nothing comes from there, so no key is needed yet.
lacking=
for pin in $pinned docker.io= containerd=; do
    name=${pin%%=*} wanted=${pin#*=}
    version=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$name" 2>/dev/null)
    version=$(sed -n 's/^installed //p' <<<"$version")
    if [ -n "$version" ]; then say installed "$name" "$version"; fi
    case $version in "$wanted" | "$wanted~"*) ;; *) [ -z "$wanted" ] || lacking="$lacking $name" ;; esac
done
if [ -n "$lacking" ]; then
    scratch=$(mktemp -d)
    mkdir -p "$scratch/lists/partial" "$scratch/archives/partial"
    touch "$scratch/status"
    for source in $sources; do
        echo "deb [trusted=yes arch=amd64] ${source//|/ }"
    done >"$scratch/sources.list"
    theirs=(-o "Dir::Etc::SourceList=$scratch/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::Cache=$scratch"
        -o "Dir::State::Lists=$scratch/lists" -o "Dir::State::status=$scratch/status" -o Debug::NoLocking=1
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=0)
    timeout 60 apt-get "${theirs[@]}" -qq update >/dev/null 2>&1
    # shellcheck disable=SC2086 # a list of packages
    LC_ALL=C apt-cache "${theirs[@]}" madison $lacking 2>/dev/null |
        awk '{found[$1] = found[$1] "\t" $3} END {for (name in found) print "offered\t" name found[name]}'
    rm -rf "$scratch"
fi

# Addresses, all at once. apt's own downloader stands in for curl on hosts that have none.
reach() {
    local answer
    if command -v curl >/dev/null; then
        answer=$(curl -sSL -o /dev/null -m 20 -w '%{http_code}' "$1" 2>&1 | tail -n 1)
    else
        answer=$(/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$1" /dev/null 2>&1 | grep -q '^E:' && echo failed || echo 200)
    fi
    say url "$1" "$answer"
}
for url in $urls; do reach "$url" & done
wait

if [ -n "$metadata" ]; then
    token=$(curl -sf -m 3 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/latest/api/token" 2>/dev/null)
    address=$(curl -sf -m 3 -H "X-aws-ec2-metadata-token: $token" "$metadata/latest/meta-data/public-ipv4" 2>/dev/null)
    say public_address "${address:--}"
fi

# Whom Let's Encrypt will find. With a certificate of its own, say from a backup, the host may wait for its name.
if [ -n "$domain" ] && ! compgen -G "/var/lib/voice/caddy/data/caddy/certificates/acme-*/$domain/$domain.crt" >/dev/null; then
    found=$({ timeout 10 getent -A ahosts "$domain" || timeout 10 getent ahosts "$domain"; } 2>/dev/null) # -A: glibc 2.37
    # shellcheck disable=SC2046 # each address is a word
    say domain $(awk '{print $1}' <<<"$found" | sort -u)
    # shellcheck disable=SC2046
    say addresses $(hostname -I)
fi
exit 0
