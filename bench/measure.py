"""Times whole processes in turn and compares their medians."""

import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One process: wall and processor seconds, peak memory of its largest process in MiB."""

    wall: float
    cpu: float
    peak: float
    output: str


@dataclass(frozen=True)
class Row:
    """One line of the result. ``limit`` is the ratio (or rate) that is promised."""

    name: str
    ours: str
    other: str
    ratio: str
    limit: str


def once(command, env=None):
    """Run a command to its end; raise when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout}{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall, cpu, after.ru_maxrss / 1024, done.stdout)


def in_turn(ours, other, times):
    """Run both commands alternately; return (our runs, other runs) without the first of each."""
    pairs = [(once(ours), once(other)) for _ in range(times + 1)][1:]
    return [a for a, _ in pairs], [b for _, b in pairs]


def median(runs):
    """Return the median wall time in seconds."""
    return statistics.median(run.wall for run in runs)


def compare(name, ours, other, times, limit):
    """Run both in turn; return the line of the result."""
    a, b = in_turn(ours, other, times)
    ratios = sorted(x.wall / y.wall for x, y in zip(a, b, strict=True))
    return Row(
        name,
        f"{median(a):.2f} s",
        f"{median(b):.2f} s",
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})",
        limit,
    )
