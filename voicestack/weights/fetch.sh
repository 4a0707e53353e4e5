# Runs the fetcher; the request, with the token, comes on stdin.
# Arguments: the home | "" or the environment's key | the Hub's address.
home=$1 key=$2 endpoint=$3
cd "$home/program" || exit 1
# Plain HTTP, which can be resumed and measured. The token is not here: other users may read an environment.
export HF_ENDPOINT="$endpoint" HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_IMPLICIT_TOKEN=1
export HF_HOME="$home/cache" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A name on the disk may be no text; it is printed all the same.
export PYTHONIOENCODING=utf-8:backslashreplace
unset HF_TOKEN HUGGING_FACE_HUB_TOKEN
python=python3
[ -z "$key" ] || python=../venv-$key/bin/python
exec "$python" -m on_host.weights.fetch
