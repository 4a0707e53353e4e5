# Does to the disk for the weights what volume_state.py decided: formatted, grown, mounted; each only if asked for.
# Arguments: what to do (words: format grow mount) | the disk | its file system's label | the UUID of a new one |
# the weights' directory | the mount unit
steps=$1 disk=$2 label=$3 uuid=$4 directory=$5 unit=$6
export PATH=$PATH:/usr/sbin:/sbin
asked() { [[ " $steps " == *" $1 "* ]]; }

if asked format; then
    # Asked again at the last moment: between the plan and this line somebody may have used the disk.
    if [ -n "$(wipefs -n "$disk")" ] || ! cmp -s -n 1048576 "$disk" /dev/zero; then
        echo "$disk is not blank any more; nothing was written to it" >&2
        exit 1
    fi
    echo "$disk is blank: making an ext4 on it"
    # The disk outlives its host, and the next one may run an older release, whose fsck refuses what it does not know:
    # the features are those of Ubuntu 22.04's e2fsprogs 1.46, which all supported releases know. No blocks for root
    # alone: nothing here keeps a system alive.
    mkfs.ext4 -q -m 0 -L "$label" -U "$uuid" \
        -O none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum \
        "$disk"
fi

if asked grow; then
    # Mounted it grows as it is; otherwise resize2fs insists on a check before (1: it mended something).
    findmnt -n --mountpoint "$directory" >/dev/null || e2fsck -f -p "$disk" || [ $? = 1 ]
    resize2fs "$disk"
fi

if asked mount; then
    mkdir -p "$directory"
    systemctl enable --quiet "$unit"
    if ! systemctl start "$unit"; then
        systemctl status --no-pager --lines=20 "$unit" >&2
        exit 1
    fi
    if [ "$(findmnt -nr -o MAJ:MIN --mountpoint "$directory" | tail -n 1)" != "$(lsblk -dnr -o MAJ:MIN "$disk")" ]; then
        echo "mounted at $directory is another disk with the same UUID, a copy from a snapshot? Detach it, or give" >&2
        echo "it another one (tune2fs -U random DISK); then: umount $directory" >&2
        exit 1
    fi
    findmnt -n "$directory"
fi
