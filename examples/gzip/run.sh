#!/usr/bin/env bash
# Compresses a file with every core into one that plain gzip reads, and checks that it does.
#
# usage: run.sh [INPUT [OUTPUT]]      without OUTPUT it is only a trial and leaves nothing
#
# A fresh gzip compresses each chunk: `--run per-chunk`. gzip files joined end to end are a gzip
# file, so the outputs in the order of the input are all it takes. Small chunks compress worse, and
# an empty input has no chunk, so its output is empty, which is no gzip file.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
input=${1:-$scratch/sample.log}
output=${2:-$scratch/sample.log.gz}
if [ $# -eq 0 ]; then
    awk 'BEGIN { for (i = 0; i < 150000; i++) print "request", i, "took", i * i % 977, "ms" }' > "$input"
fi

"${PXRUN:-pxrun}" --run per-chunk -k --chunk-size 1M -o "$output" gzip -n < "$input"

gzip -dc < "$output" | cmp - "$input"
echo "$(wc -c < "$input") bytes came back whole from $(wc -c < "$output") compressed ones"
