#!/usr/bin/env bash
# Compiles the programs of this folder and runs each on the small samples of the C folder.
#
# usage: run.sh [openmpi|mpich]      with the name of an MPI, its program too
#
# libpx is the one that pkg-config finds: where it was installed by `--prefix PREFIX`,
# PKG_CONFIG_PATH is PREFIX/lib/pkgconfig. $MPIFORT and $MPIRUN name programs of the MPI.
set -euo pipefail
here=$(dirname "$0")
samples=$(dirname "$here")/c
px=${PXRUN:-pxrun}
bin=$(mktemp -d)
trap 'rm -r "$bin"' EXIT
LD_LIBRARY_PATH=$(pkg-config --variable=libdir px)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
module=$(pkg-config --variable=fortrandir px)

# The module is compiled once, and found by its .mod file.
gfortran -std=f2008 -O2 -c -J "$bin" -o "$bin/px.o" "$module/px.f90"
for name in word_count monte_carlo histogram ring; do
    # shellcheck disable=SC2046 # several words
    gfortran -std=f2008 -O2 -I "$bin" -o "$bin/$name" "$here/$name.f90" "$bin/px.o" \
        $(pkg-config --libs px)
done

"$px" --contract px "$bin/word_count" < "$(dirname "$here")/word-count/harbour.txt" |
    awk '{ lines += $1; words += $2; bytes += $3 } END { print lines, words, bytes }'

"$px" -k --contract px --chunk-records 1 --deal dynamic "$bin/monte_carlo" < "$samples/sweep.txt"

printf '%s\n' "$samples"/images/*.p[gp]m | "$px" -k --contract px --deal dynamic "$bin/histogram"

seq 1000 | "$px" -np 8 --contract px "$bin/ring"

if [ $# -gt 0 ]; then
    # shellcheck disable=SC2046
    "${MPIFORT:-mpifort}" -std=f2008 -O2 -J "$bin" -o "$bin/mpi_job" "$module/px.f90" \
        "$module/px_mpi.f90" "$here/mpi_job.f90" $(pkg-config --libs "px_mpi_$1")
    "${MPIRUN:-mpirun}" -n 2 "$bin/mpi_job" "$samples/numbers.txt" "$bin/steps"
    cat "$bin/steps"
fi
