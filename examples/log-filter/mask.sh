#!/usr/bin/env bash
# Prints a log with the addresses masked, in the order of the log.
#
# usage: mask.sh [LOG]
#
# sed prints one line for each line that it reads. `--contract lines` says so, and then `-k` needs
# no more than one long-lived sed a core.
set -euo pipefail
here=$(dirname "$0")
log=${1:-$here/server.log}

"${PXRUN:-pxrun}" -k --contract lines sed -E 's/([0-9]+\.){3}[0-9]+/x.x.x.x/g' < "$log"
