# Builds the agent's image from the staged context; Docker's own lines are the progress.
# Arguments: the context | the image's name | the base image | the Python index's address | Whisper's device.
context=$1 image=$2 base=$3 index=$4 device=$5
trusted=
case $index in http://*)
    trusted=${index#http://}
    trusted=${trusted%%/*}
    trusted=${trusted%%:*}
    ;;
esac
docker build --progress=plain --tag "$image" --build-arg "BASE_IMAGE=$base" \
    --build-arg "WHISPER_DEVICE=$device" --build-arg "PIP_INDEX_URL=$index" --build-arg "PIP_TRUSTED_HOST=$trusted" "$context" 2>&1 |
    sed -u -E '/ (Collecting |━|Using cached )/d; /^$/d'
rm -rf "$context"
