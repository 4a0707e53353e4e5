# Builds an image from the staged context; Docker's own lines are the progress.
# Arguments: the context | the image's name | build arguments, each as NAME=VALUE.
context=$1 image=$2
shift 2
# Buildx keeps notes about each build in root's home otherwise.
BUILDX_CONFIG=$(mktemp -d)
export BUILDX_CONFIG
trap 'rm -rf "$BUILDX_CONFIG"' EXIT
docker build --progress=plain --tag "$image" "${@/#/--build-arg=}" "$context" 2>&1 |
    sed -u -E '/ (Collecting |━|Using cached )/d; /^$/d'
rm -rf "$context"
