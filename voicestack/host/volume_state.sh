# What the disk for the weights is and holds, and what is mounted where the weights belong; read only, judges nothing.
# Prints TAB-separated lines: KEY VALUE... (volume_state.py reads them).
# Arguments: the disk | the weights' directory | files to digest | the mount unit | the names of the models, the third
# and the fifth space-separated lists.
set +e
export PATH=$PATH:/usr/sbin:/sbin
disk=$1 directory=$2 files=$3 unit=$4 models=$5

say() {
    local IFS=$'\t'
    printf '%s\n' "$*"
}
for tool in blkid wipefs lsblk findmnt mkfs.ext4 dumpe2fs e2fsck resize2fs debugfs; do
    command -v "$tool" >/dev/null || say missing "$tool"
done

# What is mounted there: the topmost, by device number. What lies there if nothing is.
there=$(findmnt -rn -o MAJ:MIN,SOURCE --mountpoint "$directory" | tail -n 1)
if [ -n "$there" ]; then
    say mounted "${there%% *}" "${there#* }"
elif [ -d "$directory" ]; then
    find "$directory" -mindepth 1 -maxdepth 1 ! -name lost+found -printf 'content\t%f\n' | sort | head -n 100
fi
awk -v directory="$directory" '$1 !~ /^#/ && $2 == directory {print "fstab\t" $0}' /etc/fstab 2>/dev/null | head -n 1
for file in $files; do
    [ -f "$file" ] && say file "$file" "$(sha256sum <"$file" | cut -d ' ' -f 1)"
done
[ "$(systemctl is-enabled "$unit" 2>/dev/null)" = enabled ] && say enabled yes

# A volume that EC2 has only just attached is a few seconds late.
for _ in {1..10}; do
    [ -e "$disk" ] && break
    sleep 1
done
if ! [ -e "$disk" ]; then
    lsblk -dn -o NAME,SIZE,MODEL | awk '$2 != "0B" {$1 = $1; print "disk\t" $0}'
    exit 0
fi
real=$(readlink -f "$disk")
if ! [ -b "$real" ]; then
    say device "$real"
    exit 0
fi
number=$(lsblk -dnr -o MAJ:MIN "$real")
say device "$real" "$number" "$(lsblk -dnbr -o SIZE "$real")" "$(lsblk -dnr -o RO "$real")"
say model "$(lsblk -dn -o MODEL "$real")"
awk -v number="$number" -v directory="$directory" '$3 == number && $5 != directory {print "user\tis mounted at " $5}' \
    /proc/self/mountinfo
awk -v real="$real" '$1 == real {print "user\tis swap space"}' /proc/swaps
for holder in "/sys/dev/block/$number/holders/"*; do
    [ -e "$holder" ] && say user "is a part of ${holder##*/}"
done
for partition in "/sys/dev/block/$number/"*/partition; do
    [ -e "$partition" ] && say user "has the partition $(basename "$(dirname "$partition")")"
done

# Signatures by two tools, and a first MiB of zeros: a new volume reads as zeros, data that no tool knows does not.
wipefs -n -i -O TYPE "$real" | sort -u | sed 's/^ */signature\t/'
blkid -p -o export "$real" 2>/dev/null | sed -nE 's/^(TYPE|LABEL|UUID|PTTYPE)=/probe\t\1\t/p'
cmp -s -n 1048576 "$real" /dev/zero && say zeros yes
dumpe2fs -h "$real" 2>/dev/null | awk -F ': *' '
    /^Block count/ {count = $2}
    /^Block size/ {print "blocks\t" count "\t" $2}'
for name in $models; do
    debugfs -R "stat \"/$name/.provenance.json\"" "$real" 2>/dev/null | grep -q '^Inode: ' && say model_there "$name"
done
exit 0
