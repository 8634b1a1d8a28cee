"""aq_ord: records in order."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ess_dask.aq.addresses import order_of
from ess_dask.aq.errors import OptionError
from ess_dask.aq.functions.strings import lower
from ess_dask.aq.inputs.binary import BinaryReader, encode_head, encode_record
from ess_dask.aq.inputs.opening import read_blocks
from ess_dask.aq.inputs.reading import Inputs, Row
from ess_dask.aq.inputs.records import Broken
from ess_dask.aq.kinds import Kind
from ess_dask.aq.outputs.targets import Target
from ess_dask.aq.parsing.tokens import as_path
from ess_dask.aq.program import Program
from ess_dask.aq.programs.common import console
from ess_dask.aq.programs.options import MANY, Taken, columns_of, named, number, parse_plain
from ess_dask.aq.rows.state import State, blank_row
from ess_dask.aq.run import rows_of
from ess_dask.aq.stores import NoStore
from ess_dask.aq.surroundings import complain, print_text
from ess_dask.aq.tree import Reference

USAGE = """\
aq_ord [-verb] [-stat] [-f[,ATR..] FILE..] -d COLSPEC.. -sort[,ncas,dec,mrg] COL..
  [-blk N PREFIX] [-o[,ATR..] FILE] [-c COL..] | [-blk_only N PREFIX]
"""
_OWN = {"-sort": MANY, "-blk": 2, "-blk_only": 2}
SortKey = Callable[[Row], Any]


def aq_ord(arguments: Sequence[str]) -> None:
    """Sort the input; errors carry the exit code."""
    if not arguments or "-h" in arguments[:1]:
        print_text(USAGE)
        return
    taken, inputs = Taken(arguments, _OWN), Inputs()
    program = parse_plain(taken.rest, inputs)
    sort = taken.last("-sort")
    if sort is None:
        raise OptionError("aq_ord needs -sort and its columns")
    option, names = sort
    for attribute in option.attributes:
        if attribute not in ("ncas", "dec", "mrg"):
            raise OptionError(f"unknown attribute {attribute!r} in {option.text!r}")
    columns = columns_of(program)
    key = sort_key([named(columns, name, option.text) for name in names], ncas=option.flag("ncas"))
    state = State.of(program, inputs, NoStore())
    state_order = _Order(state, key, descending=option.flag("dec"))
    block = taken.last("-blk") or taken.last("-blk_only")
    if block:
        files = state_order.blocks(number(block[1][0], block[0]), as_path(block[1][1]))
        if block[0].name == "-blk":
            _write(state, state_order.merged_blocks(files))
    else:
        _write(state, state_order.merged() if option.flag("mrg") else state_order.sorted())
    if program.statistics:
        complain(f"aq_ord: rec={state.counts.records} err={state.counts.errors}\n")


def sort_key(columns: list[Reference], *, ncas: bool) -> SortKey:
    """Return what rows are ordered by: bytes, numbers, addresses, in this order of columns."""
    changes: dict[Kind, Callable[[Any], Any]] = {Kind.IP: order_of, Kind.F: _float_order}
    if ncas:
        changes[Kind.S] = lower
    parts = [(column.slot, changes.get(column.kind) if column.kind else None) for column in columns]
    if len(parts) == 1 and parts[0][1] is None:
        return lambda row: row[parts[0][0]]
    return lambda row: tuple(row[at] if change is None else change(row[at]) for at, change in parts)


def _float_order(value: float) -> tuple[bool, float]:
    """Put what is no number behind all numbers: it compares with none."""
    return (True, 0.0) if math.isnan(value) else (False, value)


class _Order:
    """The rows of a program's inputs in order; descending is ascending upside down."""

    def __init__(self, state: State, key: SortKey, *, descending: bool) -> None:
        self._state = state
        self._program: Program = state.program
        self._key = key
        self._descending = descending

    def sorted(self) -> Iterator[Row]:
        """Yield all rows, sorted in memory."""
        yield from self._in_order(rows_of(self._state))

    def _in_order(self, rows: Iterator[Row]) -> list[Row]:
        found = sorted(rows, key=self._key)
        return found[::-1] if self._descending else found

    def merged(self) -> Iterator[Row]:
        """Yield the rows of inputs that are in order already."""
        blank = blank_row(self._program.kinds)
        sources = [
            self._state.inputs.rows(replace(spec, files=(file,)), blank, self._state.counts)
            for spec in self._program.inputs
            for file in spec.files
        ]
        yield from heapq.merge(*sources, key=self._key, reverse=self._descending)

    def blocks(self, size: int, prefix: str) -> list[str]:
        """Write sorted blocks of ``size`` rows to files, return their names."""
        if not size:
            raise OptionError("a block needs at least one record")
        rows = rows_of(self._state)
        files: list[str] = []
        kinds = list(self._program.kinds)
        for at in itertools.count(1):
            block = self._in_order(itertools.islice(rows, size))
            if not block:
                return files
            files.append(f"{prefix}-{at}.bin")
            target = Target(str(Path(files[-1])))
            target.write(encode_head(kinds, [""] * len(kinds)))
            for row in block:
                target.write(encode_record(kinds, row))
            target.close()
        return files

    def merged_blocks(self, files: list[str]) -> Iterator[Row]:
        """Yield the rows of sorted blocks."""
        sources = [_block_rows(file, list(self._program.kinds)) for file in files]
        if self._descending:
            # Equal rows of a later block come first: the order upside down.
            sources.reverse()
        yield from heapq.merge(*sources, key=self._key, reverse=self._descending)


def _block_rows(file: str, kinds: list[Kind]) -> Iterator[Row]:
    reader = BinaryReader(read_blocks(file), file)
    reader.start()
    for row in reader.records(list(kinds)):
        assert not isinstance(row, Broken)
        yield row


def _write(state: State, rows: Iterator[Row]) -> None:
    state.open_outputs()
    for row in rows:
        for writer in state.writers:
            writer.write(row)
    state.targets.close()


def main() -> int:
    """Be the console script."""
    return console("aq_ord", aq_ord)
