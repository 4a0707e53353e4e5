# Takes driver, toolkit, Docker and repositories off the host again, as far as the deploys brought them.
# Arguments: the ledger | packages to release | packages to purge | packages that stay in the ledger | what becomes of
# daemon.json ("stays", "goes", "comes back", "forget") | Docker's directories | files | others' apt sources that were
# moved aside (all but the first and the fifth are space-separated lists).
# Runs behind voicestack/host/apt.sh.
ledger=$1 unhold=$2 purge=$3 stay=$4 daemon=$5 data=$6 files=$7 rivals=$8
json=/etc/docker/daemon.json

case $daemon in
goes) rm -f $json ;;
"comes back") mv $json.before-voice $json ;;
forget) rm -f $json.before-voice ;;
esac
if [ -n "$data" ]; then
    systemctl stop docker.socket docker.service
    for place in $data; do
        case $place in
        /var/lib/docker) ;;
        /var/lib/containerd) systemctl stop containerd.service ;;
        *) echo "not Docker's: $place" >&2 && exit 1 ;;
        esac
        echo "deleting $place"
        rm -rf --one-file-system -- "$place"
    done
elif [ "$daemon" = goes ] || [ "$daemon" = "comes back" ]; then
    systemctl try-restart docker.service
fi

# shellcheck disable=SC2086 # the lists are lists
{
    if [ -n "$unhold" ]; then patiently apt-mark unhold $unhold; fi
    if [ -n "$purge" ]; then
        mend
        patiently apt_get --allow-change-held-packages purge $purge
    fi
}
# After the purge, which may fail: as long as they are here, the next run knows what is still to be done for them.
for file in $files; do
    case $file in /etc/?*/voice-?* | /etc/?*/?*voice?*) rm -f -- "$file" ;; *) echo "not a file of the deploys: $file" >&2 && exit 1 ;; esac
done
for rival in $rivals; do mv -- "$rival" "${rival%.before-voice}"; done
# The image that the next boot starts from has nouveau's blacklist in it.
if [[ $files == */modprobe.d/* ]] && command -v update-initramfs >/dev/null; then update-initramfs -u; fi
if [ -n "$data" ]; then
    for place in /etc/docker /opt/containerd/bin /opt/containerd/lib /opt/containerd; do
        if [ -d $place ]; then rmdir --ignore-fail-on-non-empty $place; fi
    done
fi
for directory in /etc/systemd/system/docker.service.d /etc/systemd/system/nvidia-persistenced.service.d; do
    if [ -d $directory ]; then rmdir --ignore-fail-on-non-empty $directory; fi
done
systemctl daemon-reload

rm -f "$ledger" "$ledger.new"
for name in $stay; do echo "installed $name" >>"$ledger"; done
if [ -d "${ledger%/*}" ]; then rmdir --ignore-fail-on-non-empty "${ledger%/*}"; fi
