# Puts the fetcher (a tar on stdin) in its place and, where the Hub's client is needed, makes its virtual environment.
# Arguments: the home | "" or the environment's key | the Python index's address | the requirements' file.
# The environment is named by its lock, so an unchanged lock installs nothing. It counts once its last step was done
# and its Python still starts: a release upgrade of the distribution removes the one it was made with.
# Runs behind voicestack/host/apt.sh.
home=$1 key=$2 index=$3 lock=$4
umask 022
mkdir -p "$home"
cd "$home" || exit 1
rm -rf program
mkdir program
base64 -d | tar -xz --no-same-owner -C program

install_python() {
    echo "Installing $*"
    mend
    fresh_lists
    patiently apt_get install --no-install-recommends "$@"
}

command -v python3 >/dev/null || install_python python3
[ -n "$key" ] || exit 0

venv=venv-$key
if [ -e "$venv/.complete" ] && "$venv/bin/python" -c 'import huggingface_hub' 2>/dev/null; then exit 0; fi
python3 -c 'import ensurepip, venv' 2>/dev/null || install_python python3-venv
echo "Installing the Hub client ($venv)"
rm -rf venv-*
python3 -m venv "$venv"
trusted=()
# Every package is pinned by hash, so an index without TLS (a mirror inside) can withhold but not forge.
case $index in http://*)
    authority=${index#http://}
    authority=${authority%%/*}
    trusted=(--trusted-host "${authority%%:*}")
    ;;
esac
"$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-cache-dir \
    --require-hashes --only-binary :all: --index-url "$index" "${trusted[@]}" -r "program/$lock"
touch "$venv/.complete"
