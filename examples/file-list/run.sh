#!/usr/bin/env bash
# Prints the SHA-256 checksums of all files below a directory, as `sha256sum --check` reads them.
#
# usage: run.sh [DIRECTORY]
#
# Names are parted by NUL, since they may hold anything else. Each copy of the script starts once
# and gets names for as long as it keeps up: `--deal dynamic`, because files differ in size. A file
# that cannot be read makes its copy fail at the end, and with `--keep-going` stops none.
set -euo pipefail
export LC_ALL=C
here=$(dirname "$0")
directory=${1:-$here/sample}

find "$directory" -type f -print0 |
    "${PXRUN:-pxrun}" --records nul --deal dynamic --keep-going python3 "$here/checksum.py" |
    sort -z -k2 |
    tr '\0' '\n'
