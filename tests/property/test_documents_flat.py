"""Settings are the same whether or not the library that checks other models made them."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from ess_dask.documents.checking import problems
from ess_dask.documents.flat import make_flat
from ess_dask.documents.yaml import Map, Place, Scalar
from ess_dask.settings import NAMES, Settings

WORDS = ["", "~", "null", "0", "1", "-1", "010", "true", "no", "64MiB", "1h30m", "2.5s", "1e9"]
WORDS += ["ec2", "EC2", "s3://b/p", "/mnt", "duckdb:///x", "redshift://u:secret@h/d", "9" * 18]

places = st.builds(Place, st.just("file"), st.integers(1, 99), st.just(1))
texts = st.sampled_from(WORDS) | st.integers(-2, 1 << 40).map(str) | st.text(max_size=8)
scalars = st.builds(Scalar, texts, places, st.booleans())
given_values = st.dictionaries(st.sampled_from([*NAMES, "wokers"]), scalars, max_size=4)


@given(given_values)
def test_agrees_with_the_checking_library(values):
    from ess_dask.documents.checking import adapter

    node = Map(Place("file"))
    for name, value in values.items():
        node.put(name, value, value.place)
    made = make_flat(Settings, node)
    if problems(Settings, node):
        assert made is None
    else:
        assert made == adapter(Settings).validate_python(node)


def test_good_settings_do_not_load_the_checking_library():
    code = "import sys; from ess_dask.settings import load_settings as load\n"
    code += "made = load({'workers': 3, 'memory_limit': '1GiB', 'cluster': 'ec2'})\n"
    code += "print(made.workers, made.memory_limit, made.cluster, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["3", str(1 << 30), "ec2", "False"], done.stderr
