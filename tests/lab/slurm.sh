#!/bin/sh
# slurm.sh LAB DAEMON...: starts the munged of a host in its namespaces, unless one answers there,
# then becomes DAEMON.
set -eu
lab=$1
shift
PATH=$PATH:/usr/sbin
export SLURM_CONF="$lab/slurm.conf"
if [ ! -S /run/munge/munge.socket.2 ]; then
    # It wants its key where nobody else can write.
    install -d -m 755 /run/munge
    install -m 600 "$lab/munge.key" /run/munge/key
    # Returns when it answers.
    munged --key-file=/run/munge/key --seed-file=/run/munge/seed --log-file=/run/munge/log
fi
exec "$@"
