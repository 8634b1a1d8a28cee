"""The reference is complete and as the code says."""

import importlib
import inspect
import re
from pathlib import Path

import click
import pytest

import ess_dask
from docs import generate
from ess_dask import errors
from ess_dask._settings_sources import OTHER_VARIABLES
from ess_dask.cli.main import COMMANDS, ess
from ess_dask.settings import NAMES, env_name

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


def page(name):
    return (REFERENCE / name).read_text(encoding="utf-8")


def commands(group, path=("ess",)):
    """Yield (names, command) of a group's commands and of the groups in it."""
    context = click.Context(group, info_name=path[0])
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_the_page_is_current(name):
    assert page(name) == generate.PAGES[name](), "write it again: .venv/bin/python docs/generate.py"


def test_every_page_of_the_reference_is_generated():
    # Languages are described by hand: a test for each page holds it complete, or follows it.
    by_hand = {"aq.md", "query.md", "udb.md"}
    assert {path.name for path in REFERENCE.glob("*.md")} - by_hand == set(generate.PAGES)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_list_of_commands_says_what_the_command_says(name):
    command = ess.get_command(click.Context(ess), name)
    assert (command.help or "").splitlines()[0] == COMMANDS[name][1]


def test_every_command_is_documented():
    titles = re.findall(r"^#+ (ess .*)$", page("cli.md"), re.MULTILINE)
    assert titles == [" ".join(names) for names, _ in commands(ess)]


def test_every_command_and_option_says_what_it_is_for():
    silent = [
        f"{' '.join(names)} {option.opts[-1]}"
        for names, command in commands(ess)
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden and not option.help
    ]
    assert silent == []
    assert [names for names, command in commands(ess) if not command.help] == []


def test_every_option_is_documented():
    text = page("cli.md")
    missing = {
        name
        for _, command in commands(ess)
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
        for name in option.opts
        if name not in text
    }
    assert missing == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_documented(name):
    assert f"| `{name}` | `{env_name(name)}` |" in page("settings.md")


def test_every_variable_of_the_product_is_documented():
    assert set(generate.STATE_VARIABLES) == set(OTHER_VARIABLES)


def test_every_export_is_documented():
    titles = re.findall(r"^## ess\.(\w+)$", page("python.md"), re.MULTILINE)
    assert sorted(titles) == sorted(ess_dask.__all__)


def test_every_export_says_what_it_is():
    silent = [
        name
        for name in ess_dask.__all__
        if callable(value := getattr(ess_dask, name)) and not inspect.getdoc(value)
    ]
    assert silent == []


def test_every_error_and_its_exit_code_is_documented():
    text = page("exit-codes.md")
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    for kind in kinds:
        assert f"| `{kind.__name__}` | {kind.exit_code} |" in text
    assert {0} | {kind.exit_code for kind in kinds} == set(generate.CODES)


def test_the_tree_at_the_top_of_the_errors_is_the_tree():
    drawn = dict(re.findall(r"(\w+Error) +(\d+) ", errors.__doc__))
    kinds = {n: str(k.exit_code) for n, k in vars(errors).items() if inspect.isclass(k)}
    assert drawn == kinds


def test_every_module_of_a_command_exists():
    for target, _ in COMMANDS.values():
        module, _, name = target.partition(":")
        assert hasattr(importlib.import_module(f"ess_dask.cli.{module}"), name)


def test_decisions_are_numbered_and_listed():
    folder = ROOT / "docs" / "adr"
    files = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name[:4] for name in files] == [f"{n:04}" for n in range(1, len(files) + 1)]
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\((\d{4}-[\w-]+\.md)\)", index) == files
    for name in files:
        text = (folder / name).read_text(encoding="utf-8")
        title = text.splitlines()[0].removeprefix("# ")
        assert title.startswith(f"{int(name[:4])}. ")
        assert f"[{title}]({name})" in index
        assert re.findall(r"^## (\w+)", text, re.MULTILINE) == [
            "Found",
            "Decided",
            "Weighed",
            "Follows",
        ]
