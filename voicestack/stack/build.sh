# Builds an image from the staged context; Docker's own lines are the progress, and of mistakes that are known the cause is
# the last line. Arguments: the context | the image's name | build arguments, each as NAME=VALUE.
context=$1 image=$2
shift 2
# Buildx keeps notes about each build in root's home otherwise.
BUILDX_CONFIG=$(mktemp -d)
export BUILDX_CONFIG
trap 'rm -rf "$BUILDX_CONFIG" "$context"' EXIT
said=$BUILDX_CONFIG/said

fail() {
    echo "likely cause: $1 (docs/agent.md)" >&2
    exit 1
}
where() { # what a failed build says | what that means
    if grep -qE "$1" "$said"; then fail "$2"; fi
}
if ! docker build --progress=plain --tag "$image" "${@/#/--build-arg=}" "$context" 2>&1 | tee "$said" |
    sed -u -E '/ (Collecting |━|Using cached )/d; /^$/d'; then
    where "No module named '?distutils" \
        "Python has no distutils since 3.12, and an older pip or setup.py wants it: run python3 -m ensurepip --upgrade \
before pip, or install in a virtual environment that has setuptools"
    where "Unable to locate package python3|Couldn't find any package by (glob|regex) 'python3" \
        "the image in FROM has no such Python in its repositories (Ubuntu 22.04 has 3.10 alone): add the deadsnakes PPA \
first, or begin FROM python:3.12-slim, which has it"
    where 'failed to resolve source metadata for .*not found' \
        "no registry has the image in FROM (NVIDIA has no nvidia/cuda:12.4.1-...-ubuntu24.04, for one)"
    where 'No module named ' "a package is not where this Python looks: installed by another one, or with --prefix"
    exit 1
fi

# Debian's and Ubuntu's pip puts local/ below a --prefix, and no Python looks below /usr/local/local without PYTHONPATH.
container=$(docker create --network none "$image" none) lost=''
if docker cp "$container:/usr/local/local" - >/dev/null 2>&1; then lost=yes; fi
docker rm "$container" >/dev/null
if [ "$lost" ] && ! docker image inspect -f '{{.Config.Env}}' "$image" | grep -q PYTHONPATH=; then
    docker rmi "$image" >/dev/null # its name would say that it is at hand
    fail "its packages are in /usr/local/local, where no Python looks: pip install --prefix=/install of Debian's or \
Ubuntu's Python makes /install/local. Install in a virtual environment, or COPY --from=... /install/local /usr/local"
fi
