"""2 M rows of a table in the cluster's memory into Redshift: by us, or by way of awswrangler.

``python bench/redshift_load.py prepare FOLDER`` fills the memory; ``ours|direct|awswrangler TABLE``
loads it into a new table and prints seconds, rows, the peak in MiB above what client and worker
held before, and how many of the seconds the database computed digests, which awswrangler has none
of. Each way includes what it needs to get the rows there. ``ESS_WAREHOUSE`` is the target.
"""

import os
import sys
import threading
import time

COLUMNS = {"purchaseDate": "timestamp", "userID": "string", "articleID": "int32"}
COLUMNS |= {"price": "float64", "refID": "int32"}


def prepare(folder):
    import ess_dask as ess

    purchase = ess.select(folder).category("purchase", "purchase_*.csv.gz", columns=COLUMNS)
    with ess.connect() as cluster:
        table = purchase.all().into("bench.sales", key="userID", cluster=cluster)
        print(table.count())


def ours(table, target, url):
    return table.load(url, table=target).rows_loaded


def awswrangler(table, target, url):
    import awswrangler as wr

    from ess_dask.warehouse.redshift.url import parse_url

    parsed = parse_url(url)
    address = parsed.address
    frame = table.to_pandas()
    with connect(address) as connection:
        wr.redshift.copy(
            frame,
            path=f"{parsed.options.stage}/{target}",
            con=connection,
            table=target,
            schema="public",
            iam_role=parsed.options.iam_role,
            mode="append",
            use_threads=True,
        )
    return len(frame)


def connect(address):
    import redshift_connector

    return redshift_connector.connect(
        host=address.host,
        port=address.port,
        database=address.database,
        user=address.user,
        password=address.password.reveal(),
        ssl=False,
    )


class Digests:
    """Adds up the seconds in which a load compares its rows with the workers' digest."""

    def __init__(self):
        from ess_dask.warehouse.redshift import load

        self.seconds = 0.0
        self._take, load.take_digest = load.take_digest, self._timed

    def _timed(self, *args, **kwargs):
        started = time.perf_counter()
        try:
            return self._take(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - started


class Peak:
    """Samples the memory of this process and of the cluster's, in bytes."""

    def __init__(self):
        import psutil

        from ess_dask.cluster.local import find

        daemon = psutil.Process(find().pid)
        self._processes = [psutil.Process(), daemon, *daemon.children(recursive=True)]
        self._ended = threading.Event()
        self.before = self.highest = self._now()
        self._thread = threading.Thread(target=self._watch)

    def _now(self):
        return sum(process.memory_info().rss for process in self._processes)

    def _watch(self):
        while not self._ended.wait(0.02):
            self.highest = max(self.highest, self._now())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


def main(way, target):
    import ess_dask as ess

    url = os.environ["ESS_WAREHOUSE"]
    if way == "direct":
        url += "&direct=true"
    load = awswrangler if way == "awswrangler" else ours
    with ess.connect() as cluster, Peak() as peak:
        table = cluster.table("bench.sales")
        started = time.perf_counter()
        digests = Digests() if load is ours else None
        rows = load(table, target, url)
        seconds = time.perf_counter() - started
    mib = (peak.highest - peak.before) / 2**20
    print(f"{seconds:.3f} {rows} {mib:.0f} {digests.seconds if digests else 0:.3f}")


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(sys.argv[2])
    else:
        main(sys.argv[1], sys.argv[2])
