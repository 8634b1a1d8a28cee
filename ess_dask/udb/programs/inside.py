"""The aq programs for whoever runs them without a process of their own."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module

_PLACES = {
    "aq_cat": "ess_dask.aq.programs.aq_cat:aq_cat",
    "aq_cnt": "ess_dask.aq.programs.aq_cnt:aq_cnt",
    "aq_ord": "ess_dask.aq.programs.aq_ord:aq_ord",
    "aq_pp": "ess_dask.udb.programs.aq_pp:wired",
    "aq_sess": "ess_dask.aq.programs.aq_sess:aq_sess",
    "aq_udb": "ess_dask.udb.programs.aq_udb:aq_udb",
    "logcnv": "ess_dask.aq.programs.objcnv:logcnv",
    "loginf": "ess_dask.aq.programs.loginf:loginf",
    "objcnv": "ess_dask.aq.programs.objcnv:objcnv",
}
_WAITS = re.compile("(fifo|connect|listen|socket)@")
_DEVICE = re.compile("/(dev|proc)/(?!null$)")


def find_program(words: Sequence[str]) -> Callable[[Sequence[str]], None] | None:
    """Return what runs the option list behind the program's name; imported when it is called.

    None for other programs; for one that may wait for somebody else, since only a process can be
    stopped while it does; and where a file is a device: standard streams by path are the process's.
    """
    place = _PLACES.get(words[0])
    if place is None or any(map(_WAITS.match, words)) or any(map(_is_device, words)):
        return None
    return partial(_run, place)


def _is_device(word: str) -> bool:
    """Whether a word names a device or a pipe, by whatever way."""
    if _DEVICE.match(word):
        return True
    try:
        mode = os.stat(word).st_mode  # noqa: PTH116 - any word, most are no paths
    except (OSError, ValueError):
        return False
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return False
    return word != os.devnull


def _run(place: str, arguments: Sequence[str]) -> None:
    module, _, name = place.partition(":")
    getattr(import_module(module), name)(arguments)
