#!/usr/bin/env bash
# Prints the lines of a log that contain a word, in the order of the log.
#
# usage: run.sh [LOG [WORD]]
#
# grep ends with status 1 where nothing matches, which is no error here: `--ok 0,1`. It may print
# fewer lines than it reads, so `-k` starts one grep a chunk and puts the chunks' outputs in order.
set -euo pipefail
here=$(dirname "$0")
log=${1:-$here/server.log}
word=${2:-ERROR}

"${PXRUN:-pxrun}" -k --chunk-size 1M --ok 0,1 grep -Fw -e "$word" < "$log"
