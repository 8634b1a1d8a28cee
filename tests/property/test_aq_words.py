"""Any words: every program answers, or refuses in a sentence with a documented exit code."""

import contextlib
import importlib
import os

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ess_dask.aq.errors import AqError
from ess_dask.aq.parsing.tokens import Tokens
from ess_dask.aq.programs.common import run_main
from ess_dask.aq.step import AqStep
from ess_dask.errors import EssError
from ess_dask.tables.specfile import parse_spec
from ess_dask.udb.parsing import parse_request
from ess_dask.udb.specs import Database
from ess_dask.udb.sql import compile_query

CODES = {0, 2, 3, 4, 11, 12, 13, 21, 22, 34}
PROGRAMS = ("aq_pp", "aq_cat", "aq_cnt", "aq_ord", "aq_sess", "loginf", "objcnv")
VOCABULARY = """
-f -f,+1 -f,eok,qui -f,jsn -f,xml -f,div -f,fix -f,tab -f,bin -f,aq -fX -f_raw in.csv -d s:a i:b
f:c ip:e sep:x X -eval -filt -if -elif -else -endif -o -o,bin -o,jsn -o,aq,app -o,notitle -c * ~a a
b -map -mapf,rx -mapc s:z -sub -cmb -grep -kenc -kdec a+ -var 1 'x' -ovar -imp d:t -pmod -true
-quit -renam -alias -exp -cnt -- -cat -k -kx -kX out NAME stats:b -sort -sort,dec -sort,mrg -blk
-blk_only -t -tout -ttol -trim -lim -seed -rx -test -stat -o_raw -o_typ -o_pp_col -b64 -cmax
-pp_eok i@2:q s,n=2:q a:new b+%d ^a 1-3 -pp -endpp -goto next_key -top -key_rec -del_row -bvar
"""
NUMBERS = st.sampled_from(["²", "-1", "9" * 30, "9" * 5000, "0x1", "1_0", " 7", "٣", "nan", ""])
BYTES = st.binary(max_size=8).map(
    # A name without a slash stays in the folder; a colon or an at sign could mean the network.
    lambda data: os.fsdecode(data.translate(None, b"\0/@"))
)
ATTRIBUTES = "eok= qui= bz= + sep= seg= n= base= spec= lim= ncas post="
OPTIONS = st.builds(
    "{},{}{}".format,
    st.sampled_from([word for word in VOCABULARY.split() if word.startswith("-")]),
    st.sampled_from(ATTRIBUTES.split()),
    st.one_of(NUMBERS, BYTES),
)
COLUMNS = st.builds(
    "{},{}{}:{}".format,
    st.sampled_from(["s", "i", "f", "ip", "X", "is", ""]),
    st.sampled_from(["n=", "@", "", "esc", "hex"]),
    st.one_of(NUMBERS, BYTES),
    BYTES,
)
KNOWN = st.sampled_from(VOCABULARY.split())
WORDS = st.lists(st.one_of(KNOWN, KNOWN, KNOWN, NUMBERS, BYTES, OPTIONS, COLUMNS), max_size=9)
HEADS = st.sampled_from([[], ["-f,eok,qui", "in.csv", "-d", "s:a", "i:b", "f:c"]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give a folder in which names mean nothing but a small file."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "in.csv").write_bytes(b"a,1,1.5\nb,2,x\n\xff,,\n")
    with contextlib.chdir(folder):
        yield folder


@pytest.mark.parametrize("name", PROGRAMS)
@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(head=HEADS, words=WORDS)
def test_programs(name, folder, head, words):
    work = getattr(importlib.import_module(f"ess_dask.aq.programs.{name}"), name)
    assert run_main(name, work, [*head, *words]) in CODES


DATABASE = Database(parse_spec("d", "@PKey: s:id\n@Table:t\n i:n s:w\n@Vector:v\n i,+add:s", "d"))


@pytest.mark.slow
@settings(max_examples=300)
@given(WORDS)
def test_requests_to_databases(words):
    with contextlib.suppress(AqError):
        parse_request("exp", DATABASE, "t", (), Tokens(words))


QUERIES = """
select from where order by group limit count(*) count(distinct n) * n id d:t , and or not in ( ) =
<> 'x' 1 " asc desc
"""
QUERY = st.sampled_from(QUERIES.split())


@pytest.mark.slow
@settings(max_examples=300)
@given(st.one_of(st.lists(QUERY, max_size=14).map(" ".join), st.text(max_size=20), BYTES))
def test_queries(text):
    with contextlib.suppress(EssError):
        compile_query(text)


SCHEMA = pa.schema([("a", pa.string()), ("b", pa.int32()), ("c", pa.timestamp("us"))])


@pytest.mark.slow
@settings(max_examples=300)
@given(st.one_of(WORDS.map(" ".join), st.text(st.characters(), max_size=20)))
def test_rules_of_a_step(text):
    with contextlib.suppress(EssError):
        AqStep(text).describe(SCHEMA)
