"""As a filter: the length of each line."""

import sys


def lengths(lines):
    return b"".join(b"%d\n" % len(line) for line in lines.splitlines(True))


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(lengths(line))
