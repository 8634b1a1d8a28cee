"""Every setting of the product: meaning, unit, default.

No setting holds a secret; a password in a URL is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from ess_dask.dataclass import dataclass
from ess_dask.documents.fields import (
    FORBID_UNKNOWN,
    Before,
    FieldError,
    Seconds,
    Size,
    Text,
    Truth,
    Whole,
    as_text,
    choice,
    show_seconds,
    show_size,
)
from ess_dask.documents.yaml import quote

MIB = 1 << 20


def _about(description: str, unit: str, **limits: int) -> dict[str, Any]:
    return {"description": description, "json_schema_extra": {"unit": unit}, **limits}


def _as_url(value: Any) -> Any:
    text = as_text(value)
    if "://" not in text:
        raise FieldError("not a warehouse URL", hint="write it like duckdb:///shop.duckdb")
    try:
        has_password = urlsplit(text).password is not None
    except ValueError:
        raise FieldError("the warehouse URL cannot be read") from None
    if has_password:
        hint = "leave it out; credentials come from the warehouse's own chain"
        raise FieldError("a settings URL must not hold a password", hint=hint)
    return text


def _as_place(value: Any) -> Any:
    text = as_text(value)
    if text and not text.startswith(("/", "s3://")):
        hint = "write s3://BUCKET/PREFIX, or the absolute path of a folder"
        raise FieldError("no place that all machines reach", hint=hint)
    return text


def _as_receiver(value: Any) -> Any:
    text = as_text(value)
    scheme, separator, _ = text.partition("://")
    if separator and scheme not in ("http", "https"):
        hint = "write an http(s) URL, or the path of a file"
        raise FieldError(f"events cannot be sent by {scheme}", hint=hint)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise FieldError("the URL cannot be read") from None
    if separator and (parts.username is not None or not parts.hostname):
        hint = "write https://HOST[:PORT]; a key is given by OPENLINEAGE_API_KEY"
        raise FieldError("no URL of a host without user and password", hint=hint)
    return text


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings with their defaults. Sizes are bytes, times seconds; 0 is 'choose for me'."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    cluster: Annotated[
        Literal["", "local", "ec2", "custom"], choice("", "local", "ec2", "custom")
    ] = field(
        default="",
        metadata=_about(
            "Which machines hold tables and do the work of a cluster; empty is what `ess cluster "
            "set` chose, else local.",
            "",
        ),
    )
    workers: Whole = field(
        default=1,
        metadata=_about(
            "Worker processes on a machine. One with many threads is fastest, unless cleaning is "
            "done by Python functions: then as many as there are cores.",
            "processes",
            ge=1,
            le=1024,
        ),
    )
    threads: Whole = field(
        default=0,
        metadata=_about(
            "Threads of a worker process; 0 shares the machine's cores among the workers.",
            "threads",
            ge=0,
            le=1024,
        ),
    )
    memory_limit: Size = field(
        default=0,
        metadata=_about(
            "Memory of one worker process before it spills to disk; 0 shares the machine's memory "
            "among the workers.",
            "bytes",
            ge=0,
        ),
    )
    idle_timeout: Seconds = field(
        default=3600.0,
        metadata=_about(
            "A cluster ends by itself after so long without work: the local one without clients "
            "and without tables, one on EC2 without tasks; 0 never.",
            "seconds",
            ge=0,
        ),
    )
    cluster_name: Text = field(
        default="",
        metadata=_about(
            "Name of the cluster on EC2, by which its machines are tagged; empty is `ess-` and the "
            "name of the user.",
            "",
        ),
    )
    region: Text = field(
        default="",
        metadata=_about(
            "AWS region of the cluster; empty is the one where it was made, then that of AWS's own "
            "variables and files.",
            "",
        ),
    )
    instance_type: Text = field(
        default="m7i.xlarge", metadata=_about("Instance type of the machines on EC2.", "")
    )
    image: Text = field(
        default="",
        metadata=_about(
            "Docker image that holds the whole software of a worker; empty installs what is "
            "installed here into the official image of Python.",
            "",
        ),
    )
    ami: Text = field(
        default="",
        metadata=_about(
            "Machine image that is booted; empty is the newest Amazon Linux for the instance type.",
            "",
        ),
    )
    disk: Size = field(
        default=64 << 30,
        metadata=_about("Encrypted disk of a machine on EC2.", "bytes", ge=8 << 30),
    )
    subnet: Text = field(
        default="",
        metadata=_about("Subnet of the machines; empty is one of the default VPC.", ""),
    )
    private: Truth = field(
        default=False,
        metadata=_about(
            "Machines get no public address: you reach them from inside the VPC or by VPN.", ""
        ),
    )
    instance_profile: Text = field(
        default="",
        metadata=_about(
            "Name of the IAM instance profile of the machines, for what they may read and write; "
            "empty is none, and your own keys are passed to the workers' memory.",
            "",
        ),
    )
    my_address: Text = field(
        default="",
        metadata=_about(
            "The address (or network, as 10.0.0.0/16) from which you reach the cluster; empty asks "
            "checkip.amazonaws.com, or with `private` takes that of this machine.",
            "",
        ),
    )
    batch_bytes: Size = field(
        default=8 * MIB,
        metadata=_about("Stored bytes of the files that one task handles together.", "bytes", ge=1),
    )
    window: Whole = field(
        default=0,
        metadata=_about(
            "Batches in flight at a time, which bounds the memory of a stream; 0 is two for each "
            "thread.",
            "batches",
            ge=0,
        ),
    )
    chunk_bytes: Size = field(
        default=16 * MIB,
        metadata=_about(
            "Decompressed bytes that are parsed together.", "bytes", ge=4096, le=512 * MIB
        ),
    )
    max_record_bytes: Size = field(
        default=1 * MIB,
        metadata=_about("Longest record; a longer one is rejected.", "bytes", ge=64),
    )
    step_timeout: Seconds = field(
        default=0.0,
        metadata=_about(
            "Longest time of one cleaning command on one file; 0 no limit.", "seconds", ge=0
        ),
    )
    progress: Truth = field(
        default=True,
        metadata=_about(
            "Whether long calls from Python say how far they are, in a notebook or at a prompt.", ""
        ),
    )
    query_timeout: Seconds = field(
        default=0.0,
        metadata=_about("Longest time of one SQL question; 0 no limit.", "seconds", ge=0),
    )
    partitions: Whole = field(
        default=32,
        metadata=_about(
            "Partitions of a new memory table, fixed when it is made: machines come and go. Tables"
            " of Essentia's databases always have 32.",
            "partitions",
            ge=1,
            le=65536,
        ),
    )
    warehouse: Annotated[str, Before(_as_url, {"type": "string"})] = field(
        default="duckdb:///warehouse.duckdb",
        metadata=_about("Where loads go when a pipeline does not say.", "URL"),
    )
    shared_tables: Annotated[str, Before(_as_place, {"type": "string"})] = field(
        default="",
        metadata=_about(
            "Where memory tables of a cluster on other machines keep their rows: s3://BUCKET/PREFIX"
            " or a folder that all machines mount. Not used by the local cluster.",
            "URL or folder",
        ),
    )
    shared_folders: Text = field(
        default="",
        metadata=_about(
            "Folders that all machines of the cluster see under the same path (a network disk), "
            "separated by colons. Files elsewhere on this machine are refused by a cluster of "
            "other machines.",
            "folders",
        ),
    )
    runs_folder: Text = field(
        default="",
        metadata=_about(
            "Where runs keep reports and rejects; empty is 'runs' in ESS_CACHE_DIR.", "folder"
        ),
    )
    log_format: Annotated[Literal["console", "json"], choice("console", "json")] = field(
        default="console",
        metadata=_about("How stderr is written: lines for people, or one JSON object a line.", ""),
    )
    log_level: Annotated[
        Literal["", "debug", "info", "warning", "error"],
        choice("", "debug", "info", "warning", "error"),
    ] = field(
        default="",
        metadata=_about(
            "Least level of log records on stderr: debug, info, warning or error; empty is info as "
            "JSON, else warning. The run's log.ndjson has info in any case.",
            "",
        ),
    )
    metrics_file: Text = field(
        default="",
        metadata=_about(
            "File that gets the last run of each pipeline as metrics of Prometheus (a .prom file "
            "of the node exporter's folder); several pipelines may share one. Empty is none.",
            "file",
        ),
    )
    openlineage: Annotated[str, Before(_as_receiver, {"type": "string"})] = field(
        default="",
        metadata=_about(
            "Where runs send OpenLineage events: an http(s) URL (without a path: /api/v1/lineage), "
            "or a file that gets one a line. Empty is nowhere.",
            "URL or file",
        ),
    )
    notify: Text = field(
        default="",
        metadata=_about(
            "Shell command to run after a run, with its report (JSON) on stdin; see `notify` of "
            "the pipeline file, which is run as well. Empty is none.",
            "command",
        ),
    )
    notify_on: Annotated[Literal["failure", "always"], choice("failure", "always")] = field(
        default="failure",
        metadata=_about("When the command of `notify` is run: failure or always.", ""),
    )


NAMES = tuple(each.name for each in dataclasses.fields(Settings))
"""All setting names, in the order in which they are shown."""


def env_name(name: str) -> str:
    """Return the environment variable of a setting: ``ESS_BATCH_BYTES``."""
    return f"ESS_{name.upper()}"


def unit(name: str) -> str:
    """Return a setting's unit, '' when it has none."""
    return str(_metadata(name)["json_schema_extra"]["unit"])


def description(name: str) -> str:
    """Return what a setting means, one or two sentences."""
    return str(_metadata(name)["description"])


def written(name: str, value: Any) -> str:
    """Return a value as it would stand in a profile (YAML); reads back as the same value."""
    if unit(name) == "bytes":
        return show_size(value)
    if unit(name) == "seconds":
        return show_seconds(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else quote(value)


def _metadata(name: str) -> Mapping[str, Any]:
    return next(each.metadata for each in dataclasses.fields(Settings) if each.name == name)
