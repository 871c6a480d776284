#!/usr/bin/env bash
# Compiles the programs of this folder and runs each on a small sample.
#
# usage: run.sh [openmpi|mpich]      with the name of an MPI, its program too
#
# libpx is the one that pkg-config finds: where it was installed by `--prefix PREFIX`,
# PKG_CONFIG_PATH is PREFIX/lib/pkgconfig. $MPICC and $MPIRUN name programs of the MPI.
set -euo pipefail
here=$(dirname "$0")
px=${PXRUN:-pxrun}
bin=$(mktemp -d)
trap 'rm -r "$bin"' EXIT
LD_LIBRARY_PATH=$(pkg-config --variable=libdir px)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

for name in word_count monte_carlo histogram ring; do
    # shellcheck disable=SC2046 # several words
    cc -std=c11 -O2 -o "$bin/$name" "$here/$name.c" $(pkg-config --cflags --libs px)
done

"$px" --contract px "$bin/word_count" < "$(dirname "$here")/word-count/harbour.txt" |
    awk '{ lines += $1; words += $2; bytes += $3 } END { print lines, words, bytes }'

"$px" -k --contract px --chunk-records 1 --deal dynamic "$bin/monte_carlo" < "$here/sweep.txt"

printf '%s\n' "$here"/images/*.p[gp]m | "$px" -k --contract px --deal dynamic "$bin/histogram"

seq 1000 | "$px" -np 8 --contract px "$bin/ring"

if [ $# -gt 0 ]; then
    # shellcheck disable=SC2046
    "${MPICC:-mpicc}" -std=c11 -O2 -o "$bin/mpi_job" "$here/mpi_job.c" \
        $(pkg-config --cflags --libs "px_mpi_$1")
    "${MPIRUN:-mpirun}" -n 2 "$bin/mpi_job" "$here/numbers.txt" "$bin/steps"
    cat "$bin/steps"
fi
