"""``%ess`` alone: the lake, its categories and the tables that a cell may name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError
from ess_dask.markup import facts, grid, page

if TYPE_CHECKING:
    from ess_dask.api.cluster import Cluster


@dataclass(frozen=True, slots=True, repr=False)
class Overview:
    """What may stand behind FROM. ``lake`` is the root of the current datastore, ``kind`` that of
    the cluster that the desk is connected to ('': none)."""

    lake: str
    categories: tuple[str, ...] = ()
    kind: str = ""
    tables: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()

    @property
    def known(self) -> dict[str, str]:
        """The parts, each in words."""
        return {
            "lake": self.lake or "none; choose one: %ess select FOLDER",
            "cluster": self.kind or "not connected; %ess connect",
            "variables": ", ".join(self.frames),
        }

    @property
    def sources(self) -> list[tuple[str, str]]:
        """(how FROM takes it, what it is) of categories and tables."""
        found = [(f"{name}:*:*", "category") for name in self.categories]
        return found + [(name, "table in memory") for name in self.tables]

    def __repr__(self) -> str:
        lines = [f"{name:<11}{value}" for name, value in self.known.items() if value]
        return "\n".join([*lines, *(f"{kind:<17}{name}" for name, kind in self.sources)])

    def _repr_html_(self) -> str:
        sources = grid(("from", "is"), self.sources) if self.sources else ""
        return page("ess", facts(self.known), sources)


def overview(cluster: Cluster | None, frames: tuple[str, ...]) -> Overview:
    """Look at what there is; nothing is connected to for it."""
    from ess_dask.api.lake import Lake
    from ess_dask.catalog.registry import current_store

    try:
        lake = Lake(current_store(""))
        root, categories = lake.store.root, lake.categories()
    except EssError:
        root, categories = "", ()
    if cluster is None:
        return Overview(root, categories, frames=frames)
    return Overview(root, categories, cluster.session.endpoint.kind, cluster.tables(), frames)
