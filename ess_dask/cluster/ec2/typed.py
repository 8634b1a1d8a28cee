"""What was typed for a cluster that is there already, held against what it has.

Nobody shall believe that an option counts which does not: the machines are as they were made. What
stands in settings and profiles is for clusters to come, and is not compared.
"""

from __future__ import annotations

from collections.abc import Iterable

from ess_dask.cluster.ec2.find import Cluster
from ess_dask.cluster.ec2.prepare import settings_of
from ess_dask.cluster.verbs import CreateRequest, counted, other_idle_time
from ess_dask.errors import UsageError


def check_typed(found: Cluster, request: CreateRequest, begun: CreateRequest | None = None) -> None:
    """Raise ``UsageError`` that names each option which was typed and is another there.

    ``begun`` is what a killed command was to make of it, None for a cluster that was made.
    """
    kinds = {
        "--type": (request.type, {each.type for each in found.machines}),
        "--image": (request.image, {each.tags.get("ess:image", "") for each in found.machines}),
        "--ami": (request.ami, {each.ami for each in found.machines}),
    }
    other = [
        f"{option} {_shown(has)}, not {wanted}"
        for option, (wanted, has) in kinds.items()
        if wanted and has != {wanted}
    ]
    if request.spot:
        other += _without_spot(found, begun)
    hint = "to begin anew: ess cluster terminate, then create"
    if other:
        hint += "; workers of another kind beside these: ess cluster create --add"
    if request.idle_timeout:
        other += _other_idle_time(found, request)
    if other:
        raise UsageError(f"{found.place} exists already, with {'; '.join(other)}", hint=hint)


def _shown(values: Iterable[str]) -> str:
    return " and ".join(sorted(value or "(none)" for value in values))


def _without_spot(found: Cluster, begun: CreateRequest | None) -> list[str]:
    if begun is not None:
        return [] if begun.spot else ["workers without --spot"]
    number = sum(not each.spot for each in found.workers)
    return [f"{counted(number, 'worker')} without --spot"] if number else []


def _other_idle_time(found: Cluster, request: CreateRequest) -> list[str]:
    """Compare with the scheduler, which counts the time and was told of it when it was made."""
    assert found.scheduler is not None
    has = float(found.scheduler.tags.get("ess:idle-timeout", 0))
    other = other_idle_time(has, settings_of(request).idle_timeout)
    return [other] if other else []
