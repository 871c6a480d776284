#!/usr/bin/env bash
# Prints the most frequent words of a text, each as `COUNT WORD`.
#
# usage: run.sh [TEXT [HOW_MANY]]
#
# Every copy counts the words of its own share of the lines and prints its counts when its input
# ends. Merging is then a sum over a few counts, not over the text.
set -euo pipefail
export LC_ALL=C
here=$(dirname "$0")
text=${1:-$here/harbour.txt}
how_many=${2:-5}

"${PXRUN:-pxrun}" awk -f "$here/count.awk" < "$text" |
    awk -f "$here/add.awk" |
    sort -k1,1nr -k2,2 |
    awk -v how_many="$how_many" 'NR <= how_many'
