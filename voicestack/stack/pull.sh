# Pulls images with the program that was put on the host, then removes it.
# Arguments: the program's directory | the images, none of which is on the host.
place=$1
shift
(cd "$place" && python3 -m on_host.start.pull "$@")
rm -rf "$place"
