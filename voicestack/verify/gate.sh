# Runs the verification's program, which comes as a tar on stdin, on the host. Argument: where to put it (on tmpfs).
# The document stays there for the controller to fetch; nothing else outlives the run.
place=$1
# The lock is a file that is there anyway: two verifications would hear each other's calls.
lock=/opt/voice/bin/start.py
if [ -e "$lock" ]; then
    exec 9<"$lock"
    flock -n 9 || { echo "another verification is at work on this host" >&2; exit 1; }
fi
# The container's user, who is not root, reads the program there; nothing of it is secret.
umask 022
rm -rf "$place"
mkdir -p "$place"
base64 -d | tar -xzp --numeric-owner -C "$place"
cd "$place" || exit
# No byte code: nothing is written that was not asked for.
exec python3 -B -m on_host.verify.host "$place"
