"""OpenLineage events of a run: START, then COMPLETE, FAIL or ABORT; into a file or by HTTP.

Datasets are named as OpenLineage names them: a bucket and prefix, a folder, a table of a warehouse.
"""

from __future__ import annotations

import json
import os
import re
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from ess_dask._version import __version__
from ess_dask.dataclass import dataclass
from ess_dask.observe.logs import LOG, without_secrets
from ess_dask.observe.model import Beginning, Ending

PRODUCER = f"https://pypi.org/project/ess-dask/{__version__}"
NAMESPACE = "ess-dask"
"""Of jobs; ``OPENLINEAGE_NAMESPACE`` changes it."""

SECONDS = 5.0
"""How long a receiver is waited for."""

_SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = {
    "schema": "1-1-1/SchemaDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "jobType": "2-0-3/JobTypeJobFacet",
}
_RUNS = uuid.uuid5(uuid.NAMESPACE_URL, "https://pypi.org/project/ess-dask/runs")


def run_uuid(run_id: str) -> str:
    """Return the id under which a run is known there: always the same for the same run."""
    return str(uuid.uuid5(_RUNS, run_id))


def start_event(beginning: Beginning) -> dict[str, Any]:
    """Return the event of a run that begins."""
    event = _event("START", beginning, beginning.started)
    event["inputs"] = _inputs(beginning)
    event["outputs"] = _outputs(beginning)
    return event


def end_event(beginning: Beginning, ending: Ending) -> dict[str, Any]:
    """Return the event of a run that ended: COMPLETE, ABORT (interrupted) or FAIL."""
    kind = "COMPLETE" if ending.is_good else "ABORT" if ending.exit_code == 130 else "FAIL"
    event = _event(kind, beginning, ending.at)
    event["inputs"] = _inputs(beginning)
    rows = {"rowCount": ending.number("rows_loaded")}
    event["outputs"] = _outputs(beginning, {"outputStatistics": _facet("outputStatistics", rows)})
    if not ending.is_good:
        said = {"message": ending.error or ending.state, "programmingLanguage": "python"}
        event["run"]["facets"] = {"errorMessage": _facet("errorMessage", said)}
    return event


def _event(kind: str, beginning: Beginning, at: float) -> dict[str, Any]:
    job = {"processingType": "BATCH", "integration": "ESS", "jobType": "PIPELINE"}
    return {
        "eventType": kind,
        "eventTime": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
        "producer": PRODUCER,
        "schemaURL": _SPEC,
        "run": {"runId": run_uuid(beginning.run_id), "facets": {}},
        "job": {
            "namespace": os.environ.get("OPENLINEAGE_NAMESPACE") or NAMESPACE,
            "name": beginning.pipeline,
            "facets": {"jobType": _facet("jobType", job)},
        },
    }


def _facet(name: str, values: dict[str, Any]) -> dict[str, Any]:
    version, _, kind = _FACETS[name].partition("/")
    url = f"https://openlineage.io/spec/facets/{version}/{kind}.json#/$defs/{kind}"
    return {"_producer": PRODUCER, "_schemaURL": url, **values}


def _inputs(beginning: Beginning) -> list[dict[str, Any]]:
    name = source_of(beginning.store)
    if name is None:
        return []
    read = {"fileCount": beginning.files, "size": beginning.size}
    facets = {"inputStatistics": _facet("inputStatistics", read)}
    return [{"namespace": name.namespace, "name": name.name, "inputFacets": facets}]


def _outputs(beginning: Beginning, facets: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    name = target_of(beginning.target, beginning.table)
    if name is None:
        return []
    fields = [{"name": column, "type": kind} for column, kind in beginning.columns]
    schema = {"schema": _facet("schema", {"fields": fields})}
    made = {"namespace": name.namespace, "name": name.name, "facets": schema}
    return [made | {"outputFacets": facets} if facets else made]


@dataclass(frozen=True, slots=True)
class Name:
    """A dataset's namespace and name."""

    namespace: str
    name: str


def source_of(store: str) -> Name | None:
    """Return a store's name: ``s3://bucket`` and prefix, or ``file`` and folder."""
    if not store:
        return None
    if "://" not in store:
        return Name("file", store)
    scheme, _, rest = store.partition("://")
    bucket, _, prefix = rest.partition("/")
    return Name(f"{scheme}://{bucket}", prefix.strip("/") or "/")


_CLUSTER = re.compile(r"([^.]+)\.[^.]+\.([^.]+)\.redshift(?:-serverless)?\.amazonaws\.com")


def target_of(url: str, table: str) -> Name | None:
    """Return the name of a warehouse's table, None without one."""
    if not url or not table:
        return None
    parts = urlsplit(url)
    if parts.scheme == "redshift":
        return _redshift(parts, table)
    full = table if "." in table else f"main.{table}"
    if parts.scheme == "duckdb":
        # duckdb:///shop.duckdb is relative, duckdb:////srv/shop.duckdb is not.
        return Name(f"duckdb://{Path(parts.path[1:]).absolute()}", full)
    return Name(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", table)


def _redshift(parts: SplitResult, table: str) -> Name:
    """Return ``redshift://CLUSTER.REGION:PORT`` and database, schema and table.

    Of a cluster that AWS is asked for the URL has the identifier, and may have the region.
    """
    options = dict(parse_qsl(parts.query))
    host = parts.hostname or ""
    if match := _CLUSTER.match(host):
        host = f"{match[1]}.{match[2]}"
    if not host:
        named = (options.get("cluster") or options.get("workgroup"), options.get("region"))
        host = ".".join(filter(None, named))
    full = table if "." in table else f"{options.get('schema', 'public')}.{table}"
    return Name(f"redshift://{host}:{parts.port or 5439}", f"{parts.path.strip('/')}.{full}")


class Sender:
    """Sends events to a file or URL. What goes wrong is said once and never raised."""

    def __init__(self, receiver: str) -> None:
        self._receiver = receiver
        self._failed = False

    def send(self, event: dict[str, Any]) -> None:
        """Send one event; returns after ``SECONDS`` in any case."""
        text = json.dumps(without_secrets(event), ensure_ascii=True)
        try:
            if self._receiver.startswith(("http://", "https://")):
                _post(endpoint(self._receiver), text.encode())
            else:
                _append(Path(self._receiver), text)
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            LOG.warning("OpenLineage event not sent to %s: %s", self._receiver, error)


def endpoint(url: str) -> str:
    """Return where events are posted: the URL, or the usual path of its host."""
    parts = urlsplit(url)
    return url if parts.path.strip("/") else parts._replace(path="/api/v1/lineage").geturl()


def _append(path: Path, text: str) -> None:
    # One write of a whole line: several runs may share the file.
    with path.open("ab", buffering=0) as target:
        target.write(text.encode() + b"\n")


def _post(url: str, body: bytes) -> None:
    """Post in a thread: a server that answers byte by byte is not waited for longer, either."""
    failures: list[OSError] = [TimeoutError(f"no answer within {SECONDS:g} s")]

    def work() -> None:
        try:
            _request(url, body)
            failures.clear()
        except OSError as error:
            failures[0] = error
        except ValueError as error:
            failures[0] = OSError(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if failures:
        raise failures[0]


def _request(url: str, body: bytes) -> None:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("OPENLINEAGE_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    try:
        with urlopen(Request(url, body, headers), timeout=SECONDS):  # noqa: S310
            return
    except HTTPError as error:
        error.close()
        raise OSError(f"the answer was {error.code} {error.reason}") from None
    except HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from None
