"""Options of a cell, Ctrl-C and errors in words."""

import pickle

import pytest

from ess_dask.errors import UsageError
from ess_dask.notebook.command import CommandError
from ess_dask.notebook.options import Options, split_options
from ess_dask.notebook.told import told


@pytest.mark.parametrize(
    ("line", "options", "rest"),
    [
        ("", Options(), ""),
        ("select 1", Options(), "select 1"),
        ("-o best --limit 3 select -1", Options(name="best", limit=3), "select -1"),
        ("--as=polars --explain", Options(form="polars", explain=True), ""),
        ("--lake 'my lake' from x", Options(lake="my lake"), "from x"),
        ('--on="x', Options(on='"x'), ""),
        ("-- a comment", Options(), "-- a comment"),
        ("select '--limit 3'", Options(), "select '--limit 3'"),
    ],
)
def test_options_stand_first(line, options, rest):
    assert split_options(line) == (options, rest)


@pytest.mark.parametrize(
    "line", ["--nope", "-x 1", "--explain=1", "--limit", "--limit -1", "--limit 1.5", "--limit ²"]
)
def test_wrong_options_are_refused(line):
    with pytest.raises(UsageError):
        split_options(line)


def test_ctrl_c_and_errors_are_told_in_words():
    with pytest.raises(UsageError) as caught, told():
        raise UsageError("no lake", hint="choose one")
    assert caught.value._render_traceback_() == ["UsageError: no lake\n  hint: choose one"]
    with pytest.raises(Exception, match="interrupted") as caught, told():
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    with pytest.raises(ZeroDivisionError) as caught, told():
        1 / 0  # noqa: B018
    assert not hasattr(caught.value, "_render_traceback_")


def test_an_error_of_a_command_travels():
    error = pickle.loads(pickle.dumps(CommandError("ls", 75)))
    assert (error.exit_code, str(error)) == (75, "%ess ls ended with exit code 75")
