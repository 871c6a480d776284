"""Reads an order a line and prints a bill a line: who, how much, and nothing private."""

import json
import sys


def bill(order):
    """The work on one record: put yours here."""
    cents = sum(item["cents"] * item["quantity"] for item in order["items"])
    return {"order": order["order"], "customer": order["customer"], "cents": cents}


# Bytes, since text would end a line at a lone carriage return too. A line that is no order ends
# this copy with a traceback, and so the job; print a line for it instead if that is no error.
for line in sys.stdin.buffer:
    sys.stdout.write(json.dumps(bill(json.loads(line))) + "\n")
