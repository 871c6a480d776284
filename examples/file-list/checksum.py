"""Reads file names, each ended by NUL, and prints a line for each, ended by NUL too."""

import hashlib
import os
import sys


def names(stream):
    """Yields each name as it comes; `stream.read()` would wait for the last one."""
    rest = b""
    while block := stream.read1(65536):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
    if rest:
        yield rest


def line(name):
    """The work on one file: put yours here."""
    digest = hashlib.sha256()
    with open(name, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    # As sha256sum does, so that a line feed in a name is no end of a line.
    shown = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"" if shown == name else b"\\") + digest.hexdigest().encode() + b"  " + shown


failed = False
for name in names(sys.stdin.buffer):
    try:
        sys.stdout.buffer.write(line(name) + b"\0")
    except OSError as error:
        print(f"{os.fsdecode(name)!r}: {error.strerror}", file=sys.stderr)
        failed = True
sys.exit(failed)
