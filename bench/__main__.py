"""``make bench``: prints each promise of the design with what was measured."""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import lakes
from bench.measure import Row, compare, once

HERE = Path(__file__).parent
PYTHON = sys.executable


def clean_and_group(options):
    folder = str(lakes.large())
    script = str(HERE / "clean_group.py")
    yield compare(
        "clean + group 20 M rows, Python API / Polars streaming",
        [PYTHON, script, "ours", folder],
        [PYTHON, script, "polars", folder],
        options.times,
        "1.30",
    )


def stream_count(options):
    folder = str(lakes.large())
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HOME=home, ESS_CACHE_DIR=f"{home}/.ess")
        ess = [PYTHON, "-m", "ess_dask.cli"]
        once([*ess, "select", folder, "--label", "bench"])
        once([*ess, "category", "add", "purchase", "*purchase_*.gz", "--noprobe"])
        yield compare(
            "ess stream 'wc -l', 20 M rows / xargs -P2 gzip -dc | wc -l",
            [*ess, "stream", "purchase", "*", "*", "wc -l"],
            [
                "sh",
                "-c",
                f"ls {folder}/*.gz | xargs -P2 -I{{}} sh -c 'gzip -dc {{}} | wc -l'",
            ],
            options.times,
            "1.30",
        )


def small_files(options):
    folder = str(lakes.small_files())
    for kind in ("sql", "python"):
        runs = [
            once([PYTHON, str(HERE / "small_files.py"), kind, folder]) for _ in range(options.times)
        ]
        rates = sorted(int(run.output.split()[0]) for run in runs)
        middle = rates[len(rates) // 2]
        yield Row(
            f"10,000 files of 10 KB, {kind} per batch", f"{middle} files/s", "", "", ">= 1000"
        )


def backfill(options):
    found = once([PYTHON, "-m", "bench.backfill"]).output.split()
    yield Row("backfill of 10,000 files, by month", f"{found[0]} s", "", "", "")
    for chunk, seconds in zip(("month", "week", "day"), found[1:], strict=True):
        yield Row(f"the same again when all is done, by {chunk}", f"{seconds} s", "", "", "< 3 s")


def memory_import(options):
    folder = str(lakes.large())
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "HOME": home, "ESS_CACHE_DIR": f"{home}/.ess"}
        try:
            command = [PYTHON, str(HERE / "memory_import.py"), folder]
            runs = [once(command, env) for _ in range(options.times + 1)][1:]
        finally:
            once([PYTHON, "-m", "ess_dask.cli", "udbd", "stop"], env)
    rates = sorted(int(run.output.split()[0]) / 1e6 for run in runs)
    middle = rates[len(rates) // 2]
    yield Row("import of 20 M rows into memory, files read", f"{middle:.2f} M/s", "", "", ">= 3")


def aq_pp(options):
    awk = 'NR > 1 && $4 > 2 { printf "\\"%s\\",%.17g\\n", $2, $4 * 0.9 }'
    yield from beside_mawk(
        "aq_pp filter + eval + output, {} MB / mawk, the same bytes",
        lakes.plain_csv,
        "-f,+1",
        [awk],
        options.times,
    )


def aq_dirty(options):
    yield from beside_mawk(
        "aq_pp the same with 1 % bad rows, {} MB / mawk",
        lakes.dirty_csv,
        "-f,+1,eok,qui",
        ["-f", str(HERE / "awk" / "clean.awk")],
        options.times,
    )


def beside_mawk(title, make, option, awk, times):
    if not shutil.which("mawk"):
        print("aq_pp / mawk: there is no mawk here")
        return
    program = str(Path(PYTHON).parent / "aq_pp")
    columns = ["s:date", "s:user", "s:article", "f:price", "s:ref"]
    rules = ["-filt", "price > 2", "-eval", "f:net", "price * 0.9", "-c", "user", "net"]
    for megabytes, limit in ((40, 1.3), (400, 3.0)):
        path = str(make(megabytes))
        yield compare(
            title.format(megabytes),
            [program, option, path, "-d", *columns, *rules],
            ["mawk", "-F,", *awk, path],
            times,
            f"{1 / limit:.2f}",
        )


def aq_memory(options):
    # In a process of its own: a child's peak is never below that of the one that starts it.
    found = once([PYTHON, "-m", "bench.aq_memory", str(options.megabytes)]).output.splitlines()
    (small, _, low), (large, _, high) = map(str.split, found)
    name = f"aq_pp through a pipe, peak at {large} MB / at {small} MB"
    yield Row(name, f"{high} MiB", f"{low} MiB", f"{int(high) / int(low):.2f}", "1.30")


def aq_group(options):
    """Filter, compute and sum by key: into a vector in memory, against text tools on both cores."""
    files = sorted(map(str, lakes.large().glob("purchase_*.csv.gz")))
    columns = ["s:date", "s:user", "i:article", "f:price", "s:ref"]
    rules = ["-filt", "price > 2", "-eval", "f:net", "price * 0.9", "-eval", "i:sales", "1"]
    program = [str(Path(PYTHON).parent / "aq_pp"), "-f,+1,eok,qui", *files, "-d", *columns]
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HOME=home, ESS_CACHE_DIR=f"{home}/.ess", ESS_WORK_DIR=home)
        ess = [PYTHON, "-m", "ess_dask.cli"]
        once([*ess, "create", "database", "shop"])
        once([*ess, "create", "vector", "total", "s,pkey:user", "i,+add:sales", "f,+add:net"])
        once([*ess, "udbd", "start"])
        try:
            for tool, script, limit in (("mawk", MAWK_GROUP, 8), ("mlr", MILLER_GROUP, 5)):
                if not shutil.which(tool):
                    print(f"aq_group / {tool}: there is no {tool} here")
                    continue
                yield compare(
                    f"aq_pp filter + eval + sum by key, 20 M rows / {tool}, 2 cores",
                    [*program, *rules, "-imp", "shop:total"],
                    ["sh", "-c", script, str(HERE / "awk"), *files],
                    options.times,
                    f"{1 / limit:.2f}",
                )
        finally:
            once([*ess, "udbd", "stop"])


def journal(options):
    """What it costs that a run can be killed at any time, and what lists take of a large state."""
    folder = str(lakes.large(2_000_000))
    script = [PYTHON, str(HERE / "journal.py")]
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "HOME": home, "ESS_CACHE_DIR": f"{home}/.ess"}
        runs = [once([*script, "run", folder], env) for _ in range(options.times + 1)][1:]
        pairs = [tuple(map(float, run.output.split())) for run in runs]
        seconds, spent = sorted(pairs, key=lambda pair: pair[1] / pair[0])[len(pairs) // 2]
        name = "a run of 2 M rows, share of journal, lock and recovery"
        yield Row(name, f"{spent:.3f} s", f"{seconds:.2f} s", f"{spent / seconds:.4f}", "0.02")
        few, every = once([*script, "list"], env | {"ESS_CACHE_DIR": f"{home}/x"}).output.split()
    name = "1 M files, 10,000 runs: 50 newest, 50 of one pipeline"
    yield Row(name, f"{float(few):.3f} s", "", "", "< 1 s")
    yield Row("1 M files, 10,000 runs: every run", f"{float(every):.3f} s", "", "", "< 1 s")


def redshift(options):
    """A table in memory to loaded rows, beside awswrangler, on the stand-in; memory of both."""
    from ess_dask.testing.redshift import standin

    folder = str(lakes.large(2_000_000))
    script = [PYTHON, str(HERE / "redshift_load.py")]
    with tempfile.TemporaryDirectory() as home, standin(Path(home) / "rs", "rclone") as server:
        url = f"{server.url}&stage={server.stage}&iam_role={server.role}"
        env = {**os.environ, **server.env, "HOME": home, "ESS_CACHE_DIR": f"{home}/.ess"}
        env |= {"ESS_WAREHOUSE": url}
        try:
            once([*script, "prepare", folder], env)
            found = {"ours": [], "direct": [], "awswrangler": []}
            for turn in range(options.times + 1):
                for way, runs in found.items():
                    runs.append(once([*script, way, f"{way}_{turn}"], env).output.split())
        finally:
            once([PYTHON, "-m", "ess_dask.cli", "udbd", "stop"], env)
    yield from beside_awswrangler(found)


def beside_awswrangler(found):
    """The time without that of the digests, which only we have; these in rows of their own."""
    other = [Load.of(run) for run in found.pop("awswrangler")[1:]]
    for way, runs in found.items():
        ours = [Load.of(run) for run in runs[1:]]
        name = f"2 M rows from memory into Redshift, {way} / awswrangler"
        ratios = sorted(a.seconds / b.seconds for a, b in zip(ours, other, strict=True))
        yield Row(
            f"{name}, time",
            f"{median(run.seconds for run in ours):.2f} s",
            f"{median(run.seconds for run in other):.2f} s",
            f"{median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})",
            "0.50",
        )
        digests = median(run.digest for run in ours)
        yield Row(
            f"2 M rows from memory into Redshift, {way}, digest", f"{digests:.2f} s", *3 * [""]
        )
        peaks = [median(run.mib for run in some) for some in (ours, other)]
        share = f"{peaks[0] / peaks[1]:.2f}"
        yield Row(f"{name}, memory", *(f"{mib:.0f} MiB" for mib in peaks), share, "0.33")


class Load(NamedTuple):
    """One load: seconds without those of the digest, its own, and the peak of memory."""

    seconds: float
    digest: float
    mib: float

    @classmethod
    def of(cls, printed):
        seconds, _, mib, digest = map(float, printed)
        return cls(seconds - digest, digest, mib)


SHOP = "S:purchaseDate S:userID I:articleID F:price I:refID"


def query(options):
    """SQL over files and over memory; beside Polars' streaming engine and DuckDB."""
    from bench.query_files import STATEMENTS, dimension

    folder = str(lakes.large())
    dimension(folder)
    script = [PYTHON, str(HERE / "query_files.py")]
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HOME=home, ESS_CACHE_DIR=f"{home}/.ess")
        ess = [PYTHON, "-m", "ess_dask.cli"]
        for label, place in (("bench", folder), ("small", str(lakes.small_files()))):
            once([*ess, "select", place, "--label", label])
            once([*ess, "category", "add", "purchase", "purchase_*", "--columnspec", SHOP])
        for question in STATEMENTS:
            ours = [*script, "ours", question, folder]
            for other, limit in (("polars", "1.15"), ("duckdb", "1.00")):
                name = f"query 20 M rows in files, {question} / {other}"
                theirs = [*script, other, question, folder]
                yield compare(name, ours, theirs, options.times, limit)
        text = "select userID, price from purchase:*:* limit 10"
        for words, form in (("as Essentia prints", []), ("as CSV", ["--format", "csv"])):
            first = median(once([*ess, "query", text, *form]).wall for _ in range(options.times))
            yield Row(f"query, 10 rows of 10,000 files, {words}", f"{first:.2f} s", "", "", "< 1 s")
        try:
            command = [PYTHON, str(HERE / "query_memory.py"), folder, str(options.times)]
            ours, theirs, key = map(float, once(command).output.split())
        finally:
            once([*ess, "udbd", "stop"])
    name = "query 20 M rows in memory, group by / DuckDB's own table"
    yield Row(name, f"{ours:.2f} s", f"{theirs:.2f} s", f"{ours / theirs:.2f}", "1.30")
    yield Row(
        "query 20 M rows in memory, look-up of a key", f"{key * 1e3:.0f} ms", "", "", "< 30 ms"
    )


def scaling(options):
    """The engine's own cost on 1, 2, 4 and 8 workers that see nothing of this machine."""
    from bench import scaling

    yield from scaling.rows()


MAWK_GROUP = """
export group="$0/group.awk"
printf '%s\\n' "$@" |
xargs -P2 -I@ sh -c 'gzip -dcf "$1" | mawk -F, -f "$group"' sh @ |
mawk -f "$0/total.awk"
"""
MILLER_GROUP = """
mlr --icsv --ocsv --allow-ragged-csv-input --prepipe "gzip -dcf" filter '
    is_present($refID) && $articleID != "TBD" && $price > 2
' then put '$net = $price * 0.9' then stats1 -a count,sum -f net -g userID "$@"
"""

SCENARIOS = {
    "aq_pp": aq_pp,
    "aq_memory": aq_memory,
    "aq_dirty": aq_dirty,
    "aq_group": aq_group,
    "memory_import": memory_import,
    "clean_group": clean_and_group,
    "stream": stream_count,
    "small_files": small_files,
    "backfill": backfill,
    "journal": journal,
    "redshift": redshift,
    "query": query,
    "scaling": scaling,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS), metavar="SCENARIO")
    parser.add_argument("--times", type=int, default=3, help="counted runs of each command")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the piped stream")
    options = parser.parse_args()
    print(f"{'':58} {'ours':>14} {'other':>10} {'ratio (range)':>18} {'promised':>9}")
    for name in options.scenarios:
        for row in SCENARIOS[name](options):
            print(
                f"{row.name:58} {row.ours:>14} {row.other:>10} {row.ratio:>18} {row.limit:>9}",
                flush=True,
            )


if __name__ == "__main__":
    main()
