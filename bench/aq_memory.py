"""Peak memory of ``aq_pp`` on a stream through a pipe, and on one five times as long.

``python -m bench.aq_memory [MEGABYTES]``: the longer stream (default 1,000; 5,000 is the promise).
The stream is made on the way by a process of its own and never stored. Prints megabytes, seconds
and the peak in MiB of each.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TIMES = 5
MAKE = r"""
import sys
line = "2014-09-{:02d}T{:02d}:00:{:02d},{},{},{:.2f},{}\n"
rows = (
    line.format(i % 30 + 1, i % 24, i % 60, i * 7919 % 10_000, i % 50, i % 977 / 100, i % 9)
    for i in range(100_003)
)
block = "".join(rows).encode()
for _ in range(int(sys.argv[1]) * 1_000_000 // len(block)):
    sys.stdout.buffer.write(block)
"""
RULES = ["-filt", "price > 2", "-eval", "f:net", "price * 0.9", "-eval", "l:ref", "refID + 1"]
COLUMNS = ["s:date", "s:user", "i:article", "f:price", "i:refID"]


@dataclass(frozen=True)
class Peak:
    """A stream's megabytes, the seconds it took, and the peak resident memory in MiB."""

    megabytes: int
    seconds: float
    memory: float


def measure(megabytes):
    """Return the peak of one ``aq_pp`` that filters, computes and writes so many megabytes.

    To be called in a small process: a child's peak is never below that of the one that starts it.
    """
    words = [sys.executable, "-c", MAKE, str(megabytes)]
    program = Path(sys.executable).parent / "aq_pp"
    started = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE) as maker:
        child = subprocess.Popen(
            [program, "-f", "-", "-d", *COLUMNS, *RULES, "-o", "/dev/null"],
            stdin=maker.stdout,
        )
        maker.stdout.close()
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return Peak(megabytes, time.perf_counter() - started, usage.ru_maxrss / 1024)


def peaks(megabytes):
    """Return the peaks of a stream of a fifth of ``megabytes`` and of the whole one."""
    return measure(megabytes // TIMES), measure(megabytes)


def main():
    for peak in peaks(int(sys.argv[1]) if len(sys.argv) > 1 else 1000):
        print(f"{peak.megabytes} {peak.seconds:.1f} {peak.memory:.0f}", flush=True)


if __name__ == "__main__":
    main()
