"""The published JSON Schema: current, valid, described, and of one mind with the model."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from ess_dask.pipelines.load import SHIPPED
from ess_dask.pipelines.schema import json_schema, render_schema
from ess_dask.settings import NAMES

REPOSITORY = Path(__file__).resolve().parents[2]
PUBLISHED = REPOSITORY / "docs" / "reference" / "pipeline.schema.json"
FILES = [*SHIPPED.glob("*.yaml"), *(REPOSITORY / "pipelines").glob("*.yaml")]


def plain(text):
    return YAML(typ="safe", pure=True).load(text)


def validator():
    return jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text(encoding="utf-8")))


def test_the_published_schema_is_current():
    assert PUBLISHED.read_text(encoding="utf-8") == render_schema(), (
        "write it again: python -c 'from ess_dask.pipelines.schema import render_schema; "
        'print(render_schema(), end="")\' > docs/reference/pipeline.schema.json'
    )


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())


def fields(schema):
    """Every (section, field, its schema) of the models."""
    for section in [schema, *schema["$defs"].values()]:
        for name, field in section.get("properties", {}).items():
            yield section.get("title", ""), name, field


def test_every_field_is_described():
    missing = [
        (section, name)
        for section, name, field in fields(json_schema())
        if "description" not in field
    ]
    assert missing == []


def test_every_setting_is_in_the_schema():
    settings = json_schema()["properties"]["settings"]
    assert tuple(settings["properties"]) == NAMES
    assert all("description" in field for field in settings["properties"].values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_shipped_pipelines_validate(path):
    assert list(validator().iter_errors(plain(path.read_text(encoding="utf-8")))) == []


SMALL = 'name: x\nsource: {store: ., category: c, pattern: "*", columns: {a: string}}\n'


@pytest.mark.parametrize(
    "text",
    [
        SMALL,
        SMALL + "clean: [sql: select 1, shell: {command: cat, timeout: 60s}]\n",
        SMALL + "clean: [sql: {query: select 1, per: file, timeout: 1}]\n",
        SMALL + "clean: [python: {function: 'm:f', per: file}]\n",
        SMALL + "clean: [my_plug_in: {anything: goes}]\n",
        SMALL + "rejects: {limit: 10, keep: false}\n",
        SMALL + "settings: {workers: '${W:-2}', batch_bytes: 64MiB, idle_timeout: 1h}\n",
        SMALL
        + "memory: {table: a.b, key: a, sort: [a]}\nload: {table: t, mode: upsert, key: [a]}\n",
    ],
)
def test_right_files_validate(text):
    assert list(validator().iter_errors(plain(text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "name: x\n",
        SMALL + "nope: 1\n",
        SMALL + "clean: [sql: {qury: x}]\n",
        SMALL + "clean: [{sql: a, shell: b}]\n",
        SMALL + "clean: [select 1]\n",
        SMALL + "clean: [shell: {command: x, per: file}]\n",
        SMALL + "load: {table: t, mode: apend}\n",
        SMALL + "settings: {worker: 1}\n",
        SMALL + "settings: {workers: many}\n",
        SMALL + "memory: {table: a.b}\n",
    ],
)
def test_wrong_files_do_not_validate(text):
    assert list(validator().iter_errors(plain(text)))
