"""Sizes and durations that are shown read back as the same values."""

from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from ess_dask.documents.fields import as_seconds, as_size, show_seconds, show_size
from ess_dask.documents.yaml import Scalar, load
from ess_dask.settings import load_settings, written


@given(st.integers(0, 1 << 50) | st.integers(0, 1 << 20).map(lambda number: number << 20))
def test_sizes(size):
    assert as_size(Scalar(show_size(size))) == size


@given(st.integers(0, 10**9).map(lambda number: number / 1000) | st.integers(0, 10**6))
def test_durations(seconds):
    assert as_seconds(Scalar(show_seconds(seconds))) == seconds


@how(max_examples=50)
@given(
    st.fixed_dictionaries(
        {
            "workers": st.integers(1, 1024),
            "memory_limit": st.integers(0, 1 << 50),
            "step_timeout": st.integers(0, 10**6).map(lambda number: number / 1000),
            "runs_folder": st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
        }
    )
)
def test_settings_as_they_are_shown_are_a_profile(values):
    lines = [f"{name}: {written(name, value)}" for name, value in values.items()]
    from ess_dask.documents.variables import expand

    profile = expand(load("\n".join(lines).encode(), "p"), {})
    got = load_settings(pipeline=profile)
    assert {name: getattr(got, name) for name in values} == values
