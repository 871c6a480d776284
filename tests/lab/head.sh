#!/bin/sh
# head.sh LAB COMMAND...: makes its mount namespace that of the lab's head, then becomes COMMAND.
# The head's own lines run before it.
set -eu
lab=$1
shift
hostname head
for file in hosts passwd ssh/ssh_config; do
    mount --bind "$lab/head/etc/$file" "/etc/$file"
done
# Of this network: some look there for its interfaces. slurmd needs the cgroups there.
mount -t sysfs sysfs /mnt
if mountpoint -q /sys/fs/cgroup; then mount --rbind /sys/fs/cgroup /mnt/fs/cgroup; fi
mount --move /mnt /sys
export HOME="$lab/head/home"
unset SSH_AUTH_SOCK XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR
. "$lab/head/setup.sh"
exec "$@"
