"""The page of the aq language names every option, attribute, function and program."""

import re
import tomllib
from pathlib import Path

from ess_dask.aq.functions.table import all_functions
from ess_dask.aq.parsing import command, rules
from ess_dask.aq.patterns.regex import REGEX_ATTRIBUTES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "aq.md").read_text(encoding="utf-8")


def test_every_option_is_there():
    options = {*command._PREPARING, *command._EMITTING, *rules._RULES, "-if", "-endif", "-else"}
    assert [name for name in sorted(options) if f"`{name}" not in PAGE] == []


def test_every_function_is_there():
    usages = {function.usage.replace("|", "\\|") for function in all_functions().values()}
    listed = set(re.findall(r"^\| `(.*?)` \|", PAGE.partition("## Functions")[2], re.MULTILINE))
    assert listed == usages


def test_every_attribute_of_expressions_is_there():
    assert [name for name in sorted(REGEX_ATTRIBUTES) if f"`{name}`" not in PAGE] == []


def test_every_program_is_there():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    programs = [name for name, target in scripts.items() if ".aq.programs." in target]
    assert [name for name in programs if f"`{name}`" not in PAGE] == []
