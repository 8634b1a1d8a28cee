"""The Essentia command language: rules on records, and the ``aq_*`` programs that run them.

``ess_dask.aq`` is both this room and, for users, the step ``ess.aq("-filt 'price > 0'")``: the
import of any module in here puts the package in the place of the function of that name, so the
package can be called.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ess_dask.clean.protocol import Per


class _CallableRoom(ModuleType):
    """A package that is called as ``ess_dask.api.steps.aq``."""

    def __call__(self, rules: str, *, per: "Per" = "batch") -> Any:
        from ess_dask.aq.step import AqStep

        return AqStep(rules, per)


sys.modules[__name__].__class__ = _CallableRoom
