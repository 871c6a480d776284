#!/usr/bin/env bash
# Prints the prime factors of numbers, one a line, in the order of the numbers.
#
# usage: run.sh [HOSTFILE [NUMBERS]]
#
# Each chunk gets a fresh factor (`-k`), so what a lost host had not finished is run by the others.
# Chunks are small because a large number may take long: nobody waits for one that got them all.
set -euo pipefail
here=$(dirname "$0")
hosts=${1:-$here/hosts.txt}
numbers=${2:-$here/numbers.txt}

"${PXRUN:-pxrun}" --hostfile "$hosts" -k --chunk-records 2 factor < "$numbers"
