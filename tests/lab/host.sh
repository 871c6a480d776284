#!/bin/sh
# host.sh LAB NAME: makes its mount namespace that of the host NAME, then becomes its sshd.
# The host's own lines run last, with HOME and NAME set; one that fails stops the start.
set -eu
LAB=$1 NAME=$2
HOME=$LAB/$NAME/home
export LAB NAME HOME
hostname "$NAME"
for file in hosts passwd shadow hostname; do
    mount --bind "$LAB/$NAME/etc/$file" "/etc/$file"
done
# Of this network: some look there for its interfaces. slurmd needs the cgroups there.
mount -t sysfs sysfs /mnt
if mountpoint -q /sys/fs/cgroup; then mount --rbind /sys/fs/cgroup /mnt/fs/cgroup; fi
mount --move /mnt /sys
mount -t tmpfs -o mode=1777,size=1g shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mkdir -m 755 /run/sshd
. "$LAB/$NAME/setup.sh"
exec "$(PATH=$PATH:/usr/sbin command -v sshd)" -D -f "$LAB/$NAME/sshd_config" -E "$LAB/$NAME/sshd.log"
