"""What botocore knows of AWS, in short: only what is asked here, kept once it has been read.

EC2's model describes 760 operations and the list of endpoints 400 services. Reading them takes
longer than all else that a short command does. What is kept is made again whenever botocore's own
file is another one; models of the user's own are read as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader, Loader  # noqa: TID253 - base classes; `aws` imports it

from ess_dask.folders import cache_dir

SERVICES = ("ec2", "pricing", "ssm", "sts")
"""The services of AWS that are asked."""

OPERATIONS = (
    "AuthorizeSecurityGroupIngress", "CreateSecurityGroup", "CreateTags", "DeleteSecurityGroup",
    "DescribeImages", "DescribeInstances", "DescribeInstanceTypeOfferings",
    "DescribeInstanceTypes", "DescribeSecurityGroups", "DescribeSpotPriceHistory",
    "DescribeSubnets", "DescribeVolumes", "ModifyInstanceAttribute",
    "RevokeSecurityGroupIngress", "StartInstances", "StopInstances", "TerminateInstances",
)  # fmt: skip
"""All that EC2 is asked by a client of ``aws``; launching has a client of its own."""


def loader(data_path: str | None) -> Loader:
    """Return a loader of models for a session; ``data_path`` is the user's ``AWS_DATA_PATH``."""
    given = data_path.split(os.pathsep) if data_path else []
    own = [str(Path(os.path.expandvars(each)).expanduser()) for each in given]
    return _Loader(extra_search_paths=own, file_loader=_Files())


class _Loader(Loader):  # type: ignore[misc]
    def list_available_services(self, type_name: str) -> list[str]:
        # To look through the folders of 400 services takes a while, and four are asked.
        return list(SERVICES)


class _Files(JSONFileLoader):  # type: ignore[misc]
    def load_file(self, file_path: str) -> Any:
        """Return what is in a file of botocore's, None where there is none."""
        inside = os.path.relpath(file_path, Loader.BUILTIN_DATA_PATH)
        name = inside.replace(os.sep, "/")
        if name == "endpoints":
            return self._in_short(file_path, name, _endpoints)
        if name.startswith("ec2/") and name.endswith("/service-2"):
            return self._in_short(file_path, name, _operations)
        return super().load_file(file_path)

    def _in_short(self, file_path: str, name: str, shorten: Any) -> Any:
        source = _identity(file_path)
        kept = cache_dir() / "aws" / f"{name.partition('/')[0]}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(kept.read_bytes())
            if found["of"] == source:
                return found["model"]
        whole = super().load_file(file_path)
        if whole is None:
            return None
        model = shorten(whole)
        # Without it, the next command takes longer and that is all.
        with suppress(OSError):
            _keep(kept, {"of": source, "model": model})
        return model


def _identity(file_path: str) -> list[Any]:
    """Return what tells a file, and what is taken from it, from another."""
    there = (Path(file_path + end) for end in (".json", ".json.gz"))
    states = [each.stat() for each in there if each.is_file()]
    times = [[state.st_size, state.st_mtime_ns] for state in states]
    return [file_path, times, [*SERVICES, *OPERATIONS]]


def _operations(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service's model with our operations and the shapes that they need."""
    known = model["operations"]
    operations = {name: known[name] for name in OPERATIONS if name in known}
    shapes: dict[str, Any] = {}
    waiting = set(_shapes_in(operations))
    while waiting:
        name = waiting.pop()
        shapes[name] = model["shapes"][name]
        waiting |= set(_shapes_in(shapes[name])) - shapes.keys()
    short = {**model, "operations": operations, "shapes": shapes}
    return dict(_undocumented(short))


def _shapes_in(value: Any) -> Iterable[str]:
    """Return the names of the shapes that a part of a model refers to."""
    if isinstance(value, Mapping):
        if isinstance(name := value.get("shape"), str):
            yield name
        for each in value.values():
            yield from _shapes_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _shapes_in(each)


def _undocumented(value: Any) -> Any:
    if isinstance(value, Mapping):
        # What is no text is a field of that name.
        documented = isinstance(value.get("documentation"), str)
        return {
            key: _undocumented(each)
            for key, each in value.items()
            if not (documented and key == "documentation")
        }
    return [_undocumented(each) for each in value] if isinstance(value, list) else value


def _endpoints(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the list of endpoints with our services: of each partition the regions stay all."""
    return {
        **whole,
        "partitions": [
            {**each, "services": {k: v for k, v in each["services"].items() if k in SERVICES}}
            for each in whole["partitions"]
        ],
    }


def _keep(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(content))
    part.replace(path)
