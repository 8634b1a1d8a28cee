"""Imports into and exports from tables in memory, as a higher room wires them in."""

import pyarrow as pa
import pytest

from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.errors import InputDataError, StoreError
from ess_dask.aq.inputs.reading import Inputs
from ess_dask.aq.kinds import Kind
from ess_dask.aq.parsing.command import parse_command
from ess_dask.aq.programs.aq_pp import aq_pp
from ess_dask.aq.run import run_program


class Imported:
    def __init__(self):
        self.tables = []
        self.closed = self.aborted = False

    def prepare(self, rows):
        return rows

    def add(self, ready):
        assert not self.closed
        self.tables.append(ready)

    def close(self):
        self.closed = True

    def abort(self):
        assert not self.closed
        self.aborted = True


class Refused(Imported):
    def close(self):
        raise StoreError("no room")


class Exported:
    def columns(self):
        return (ColumnSpec(Kind.S, "key"), ColumnSpec(Kind.L, "n"), ColumnSpec(Kind.IP, "p"))

    def batches(self):
        yield pa.table(
            {
                "key": pa.array([b"a\xff", b""]),
                "n": pa.array([1, 2], pa.uint64()),
                "p": ["::1", "1.2.3.4"],
            }
        )


class Memory:
    def __init__(self):
        self.requests = []
        self.imports = []

    def narrowed(self, request):
        return request

    def importer(self, request):
        self.requests.append(request)
        self.imports.append(Imported())
        return self.imports[-1]

    def exporter(self, request):
        self.requests.append(request)
        return Exported()


COLUMNS = ["s:s", "f:f", "i:i", "is:k", "l:l", "ip:p"]
DATA = "x\xff,1.5,1,-2,18446744073709551615,1.2.3.4\n,0,0,0,0,0.0.0.0\n"


@pytest.mark.parametrize("small", [1, 1 << 20])
def test_rows_are_imported(aq, small):
    words = ["-f", aq.write("in", DATA), "-d", *COLUMNS, "-var", "i:v", "7", "-alias", "s", "t"]
    words += [
        "-if",
        "-filt",
        's != ""',
        "-imp,ddef,nobnk,seg=1/2",
        "db:tab",
        "-local",
        "-else",
        "-imp",
        "db",
        "-endif",
    ]
    inputs, store = Inputs(), Memory()
    program = parse_command(words, inputs.read_header, None)
    state = run_program(program, inputs, store, small_bytes=small)
    first, second = store.requests
    assert (first.database, first.table, second.table) == ("db", "tab", ".")
    assert (first.attributes, first.segment, first.local) == ({"ddef", "nobnk"}, "1/2", True)
    assert all(one.closed for one in store.imports)
    table = pa.concat_tables(store.imports[0].tables)
    assert table.column_names == ["s", "f", "i", "k", "l", "p", "v", "t"]
    assert table.to_pylist() == [
        {
            "s": b"x\xff",
            "f": 1.5,
            "i": 1,
            "k": -2,
            "l": 18446744073709551615,
            "p": "1.2.3.4",
            "v": 7,
            "t": b"x\xff",
        }
    ]
    assert table.schema.field("i").type == pa.uint32()
    assert len(store.imports[1].tables) == 1
    assert state.written == 2


def test_an_export_is_an_input(aq, capfdbinary):
    store = Memory()
    aq_pp(["-exp,spec=x.spec", "db:tab", "-filt", "n", "--", "-filt", "n < 2"], store)
    assert capfdbinary.readouterr().out == b'"key","n","p"\n"a\xff",1,::1\n'
    assert store.requests[0].options == ("-filt", "n")
    assert (store.requests[0].action, store.requests[0].spec_file) == ("exp", "x.spec")


@pytest.mark.parametrize(
    "words", [["-d", "s:a", "-imp", "db:t"], ["-exp", "db:t", "--"], ["-cnt", "db", "--"]]
)
def test_without_a_store(aq, words):
    ended = aq.pp(*words, stdin=b"x\n")
    assert ended.code == 34
    assert "no database" in ended.err


@pytest.mark.parametrize("bad", ["is:k", "i:a"])
def test_an_import_that_is_not_closed_is_aborted(aq, bad):
    """One that cannot be closed cleans up by itself; the others are told."""

    class Full(Memory):
        def importer(self, request):
            made = super().importer(request)
            if request.table == "full":
                made = self.imports[-1] = Refused()
            return made

    memory = Full()
    words = ["-f", aq.write("in", "1\nx\n" if bad == "i:a" else "1\n"), "-d", bad]
    words += ["-imp", "db:first", "-imp", "db:full", "-imp", "db:last"]
    with pytest.raises(StoreError if bad == "is:k" else InputDataError):
        aq_pp(words, memory)
    first, full, last = memory.imports
    assert not full.closed
    assert last.aborted
    assert (first.closed, first.aborted) == ((True, False) if bad == "is:k" else (False, True))
