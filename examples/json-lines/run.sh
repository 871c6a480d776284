#!/usr/bin/env bash
# Turns a file of orders, one JSON object a line, into one of bills, in the same order.
#
# usage: run.sh [ORDERS]
#
# The script prints one line for each line that it reads. `--contract lines` says so, and then `-k`
# needs no more than one long-lived copy a core; a copy that breaks its word is an error.
set -euo pipefail
here=$(dirname "$0")
orders=${1:-$here/orders.jsonl}

"${PXRUN:-pxrun}" -k --contract lines python3 "$here/bill.py" < "$orders"
