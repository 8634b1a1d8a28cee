"""The lakes that are measured, made once below .bench/ by the shipped generator."""

from pathlib import Path

from ess_dask.testing.lake import LakeShape, make_lake

FOLDER = Path(__file__).resolve().parents[1] / ".bench"
ROWS = 20_000_000


def _made(name, shape):
    folder = FOLDER / name
    if not (folder / ".done").exists():
        print(f"making {folder} ...", flush=True)
        make_lake(folder, shape)
        (folder / ".done").touch()
    return folder


def large(rows=ROWS, days=30, seed=1):
    """Return a lake of ``rows`` purchases, one percent of them bad, without broken quotes."""
    shape = LakeShape(
        days=days,
        purchases_per_day=rows // days,
        browses_per_day=0,
        users=10_000,
        quotes=False,
        seed=seed,
    )
    return _made(f"large-{rows}-{days}", shape)


def plain_csv(megabytes):
    """Return one CSV file of about so many megabytes: purchases without bad rows."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"purchase-{megabytes}.csv"
    if not path.exists():
        line = "2014-09-{:02d}T{:02d}:00:{:02d},{},{},{:.2f},{}\n"
        rows = megabytes * 1_000_000 // 40
        with path.open("w") as target:
            target.write("purchaseDate,userID,articleID,price,refID\n")
            target.writelines(
                line.format(
                    i % 30 + 1, i % 24, i % 60, i * 7919 % 10_000, i % 50, i % 977 / 100, i % 9
                )
                for i in range(rows)
            )
    return path


def dirty_csv(megabytes, every=100):
    """Return the same file with one row in a hundred bad, or with a field too many."""
    path = FOLDER / f"purchase-{megabytes}-dirty.csv"
    if path.exists():
        return path
    spoils = (
        lambda fields: fields[:3],
        lambda fields: [*fields[:3], "n/a", *fields[4:]],
        lambda fields: [*fields, "web"],
        lambda fields: [""],
    )
    with plain_csv(megabytes).open() as source, path.open("w") as target:
        for number, line in enumerate(source):
            if number % every == every - 1:
                fields = line.rstrip("\n").split(",")
                line = ",".join(spoils[number // every % len(spoils)](fields)) + "\n"
            target.write(line)
    return path


def small_files(count=10_000):
    """Return a lake of ``count`` files of about 10 KB of text each."""
    shape = LakeShape(days=count, purchases_per_day=330, browses_per_day=0, quotes=False)
    return _made(f"small-{count}", shape)
