"""pool.py FILE LINES: MPIPoolExecutor maps chunks of so many lines to the lengths of these."""

import itertools
import sys

from mpi4py.futures import MPIPoolExecutor

from lengths import lengths


def chunks(path, count):
    with open(path, "rb") as file:
        while chunk := b"".join(itertools.islice(file, count)):
            yield chunk


if __name__ == "__main__":
    with MPIPoolExecutor() as pool:
        for result in pool.map(lengths, chunks(sys.argv[1], int(sys.argv[2]))):
            sys.stdout.buffer.write(result)
