"""loginf: what an input looks like, and the columns aq_pp would read it with."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, field, replace
from itertools import chain, islice
from typing import Any

from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.errors import InputDataError, OptionError
from ess_dask.aq.inputs.binary import BinaryReader
from ess_dask.aq.inputs.opening import label_of
from ess_dask.aq.inputs.reading import Inputs
from ess_dask.aq.inputs.records import Broken, FixedSplitter, TableSplitter, lines
from ess_dask.aq.kinds import Kind, format_float
from ess_dask.aq.outputs.targets import Targets
from ess_dask.aq.parsing.inputs import input_spec
from ess_dask.aq.parsing.tokens import Option
from ess_dask.aq.program import InputSpec
from ess_dask.aq.programs.aq_cat import raw_fields
from ess_dask.aq.programs.common import console
from ess_dask.aq.programs.formats import GUESS_BYTES, Guess, guess_format
from ess_dask.aq.programs.options import MANY, Taken, number
from ess_dask.aq.programs.profile import ColumnProfile, Span, TypeProfile, column_name, type_of
from ess_dask.aq.surroundings import print_text
from ess_dask.aq.vector.blocks import gather
from ess_dask.dataclass import dataclass

USAGE = """\
loginf [-verb] [-cmax N] [-f[,auto|csv|sep=C|tab|bin|aq,+N,notitle,lim=N,bz=N] FILE.. [-lim N]]
  [-d COLNO..] [-f_raw FILE..] [-pp_eok PERCENT] [-o FILE [-b64]] [-o_raw FILE] [-o_typ FILE]
  [-o_pp_col FILE] [-o_pp_atr FILE]
"""
_OWN = {
    "-f": MANY, "-d": MANY, "-f_raw": MANY, "-lim": 1, "-cmax": 1, "-pp_eok": 1, "-o": 1, "-b64": 0,
    "-o_raw": 1, "-o_typ": 1, "-o_pp_col": 1, "-o_pp_atr": 1, "-verb": 0,
}  # fmt: skip
_COLUMNS = 4096


@dataclass(slots=True)
class Profile:
    """What is known of all inputs together."""

    files: int = 0
    marks: int = 0
    source_bytes: int = 0
    source_lines: int = 0
    bytes: int = 0
    rows: Span = field(default_factory=Span)
    width: Span = field(default_factory=Span)
    columns: dict[int, ColumnProfile] = field(default_factory=dict)
    formats: list[str] = field(default_factory=list)

    def merge(self, other: Profile) -> None:
        """Take in the profile of other inputs."""
        self.files += other.files
        self.marks += other.marks
        self.source_bytes += other.source_bytes
        self.source_lines += other.source_lines
        self.bytes += other.bytes
        self.rows.merge(other.rows)
        self.width.merge(other.width)
        for index, column in other.columns.items():
            self.columns.setdefault(index, ColumnProfile()).merge(column)
        self.formats += other.formats


@dataclass(frozen=True, slots=True)
class _Settings:
    spec: InputSpec
    auto: bool
    title: bool
    limit: int | None
    chosen: frozenset[int]
    widest: int


def loginf(arguments: Sequence[str]) -> None:
    """Analyse inputs; errors carry the exit code."""
    if "-h" in arguments[:1]:
        print_text(USAGE)
        return
    started = time.monotonic()
    taken = Taken(arguments, _OWN)
    if taken.rest:
        raise OptionError(f"unknown option {taken.rest[0]!r}")
    profile = Profile()
    for _, files in taken.all("-f_raw"):
        for file in files:
            profile.merge(_load_raw(file))
    sources = taken.all("-f") or ([] if profile.files else [(Option("-f", (), "-f"), ["-"])])
    guesses: list[Guess] = []
    for option, files in sources:
        settings = _settings(option, files, taken)
        guesses.extend(_profile_file(settings, file, profile) for file in files)
    _report(taken, profile, guesses, time.monotonic() - started)


def _settings(option: Option, files: list[str], taken: Taken) -> _Settings:
    auto = title = False
    limit = None
    rest = []
    for attribute in option.attributes:
        if attribute == "notitle":
            title = True
        elif attribute == "auto":
            auto = True
        elif attribute.startswith("lim="):
            limit = number(attribute[4:], option)
        else:
            rest.append(attribute)
    given = taken.last("-lim")
    chosen = [number(text, one) for one, texts in taken.all("-d") for text in texts]
    widest = taken.last("-cmax")
    return _Settings(
        input_spec(replace(option, attributes=tuple(rest)), files),
        auto,
        not title,
        number(given[1][0], given[0]) if given else limit,
        frozenset(chosen),
        number(widest[1][0], widest[0]) if widest else _COLUMNS,
    )


def _profile_file(settings: _Settings, file: str, profile: Profile) -> Guess:
    """Add what a file looks like to ``profile``; return its format."""
    blocks = gather(Inputs().blocks(settings.spec, file), GUESS_BYTES)
    head = next(blocks, b"")
    form = settings.spec.format
    guess = Guess(form.name, form.separator, form.name == "csv")
    if settings.auto:
        guess = guess_format(head)
    profile.files += 1
    profile.marks += head.startswith(b"\xef\xbb\xbf")
    profile.formats.append(guess.description())
    if guess.name in ("jsn", "xml"):
        for block in chain((head,), blocks):
            profile.source_bytes += len(block)
            profile.source_lines += block.count(b"\n")
        return guess
    records = _records(guess, settings.spec, chain((head,), blocks), label_of(file), profile)
    _add_records(settings, records, profile)
    return guess


def _records(
    guess: Guess, spec: InputSpec, blocks: Iterator[bytes], label: str, profile: Profile
) -> Iterator[tuple[int, list[str]]]:
    """Yield (bytes, fields) of each record, counting what is read."""
    counted = _counted(blocks, profile)
    if guess.name in ("bin", "aq"):
        yield from _binary_records(counted, label)
        return
    if guess.name == "tab":
        for record in TableSplitter(spec).cells(counted):
            yield sum(map(len, record)), record
        return
    if guess.name == "fix":
        items = tuple(ColumnSpec(Kind.S, "", length=width) for width in guess.widths)
        for fixed in FixedSplitter(replace(spec, items=items)).records(counted):
            if not isinstance(fixed, Broken):
                yield sum(guess.widths) + 1, [text.strip(" ") for text in fixed]
        return
    for line in lines(counted):
        fields = raw_fields(line, guess.separator, quoted=guess.name == "csv")
        yield len(line) + 1, [_unquoted(text) for text in fields]


def _counted(blocks: Iterator[bytes], profile: Profile) -> Iterator[bytes]:
    ends = True
    for block in blocks:
        profile.source_bytes += len(block)
        profile.source_lines += block.count(b"\n")
        ends = block.endswith(b"\n") or not block
        yield block
    profile.source_lines += not ends


def _binary_records(blocks: Iterator[bytes], label: str) -> Iterator[tuple[int, list[str]]]:
    reader = BinaryReader(blocks, label)
    columns = reader.start()
    if any(column.name for column in columns):
        yield 0, [column.name for column in columns]
    for values in reader.records([column.kind for column in columns]):
        if isinstance(values, Broken):
            raise InputDataError(f"{label}: {values.reason}")
        texts = [format_float(v) if isinstance(v, float) else str(v) for v in values]
        yield sum(map(len, texts)), texts


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return text


def _add_records(
    settings: _Settings, records: Iterator[tuple[int, list[str]]], profile: Profile
) -> None:
    first = next(records, None)
    if first is None:
        return
    if settings.title and _is_title(first[1]):
        for index, label in enumerate(first[1], 1):
            column = profile.columns.setdefault(index, ColumnProfile())
            column.label = column.label or label
    else:
        records = chain((first,), records)
    for size, fields in islice(records, settings.limit):
        if len(fields) > settings.widest:
            raise InputDataError(
                f"{len(fields)} columns are too many", hint="allow more with -cmax"
            )
        profile.bytes += size
        profile.rows.add(size)
        profile.width.add(len(fields))
        for index, text in enumerate(fields, 1):
            if not settings.chosen or index in settings.chosen:
                profile.columns.setdefault(index, ColumnProfile()).add(text)
    if settings.chosen:
        for index in set(profile.columns) - settings.chosen:
            del profile.columns[index]


def _is_title(labels: list[str]) -> bool:
    """Whether a first record can be a title: words, and no label twice."""
    words = all(label.strip() and type_of(label.strip()) == "String" for label in labels)
    return words and len({label.lower() for label in labels}) == len(labels)


def _report(taken: Taken, profile: Profile, guesses: list[Guess], seconds: float) -> None:
    targets = Targets()
    tolerated = taken.last("-pp_eok")
    percent = _percent(tolerated[1][0]) if tolerated else 0.0
    written = False
    for option, values in taken.options:
        text = ""
        if option.name == "-o_pp_col":
            text = "".join(f"{spec}\n" for spec in column_specs(profile, percent))
        elif option.name == "-o_typ":
            different = list(dict.fromkeys(profile.formats))
            text = ("Mixed" if len(different) > 1 else "".join(different)) + "\n"
        elif option.name == "-o_pp_atr":
            text = input_attributes(guesses, eok=percent > 0) + "\n"
        elif option.name == "-o_raw":
            text = json.dumps(asdict(profile), default=sorted) + "\n"
        elif option.name == "-o":
            text = render_report(report(profile, percent, seconds), encoded=taken.flag("-b64"))
        if text:
            written = True
            targets.get(values[0], append=False).write(text.encode("latin-1"))
    if not written:
        text = render_report(report(profile, percent, seconds), encoded=taken.flag("-b64"))
        targets.get("-", append=False).write(text.encode("latin-1"))
    targets.close()


def _percent(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"-pp_eok needs a percentage, not {text!r}") from None


def column_specs(profile: Profile, tolerated: float) -> list[str]:
    """Return a column specification for each column; names are made different."""
    found: list[str] = []
    seen: set[str] = set()
    for index, column in sorted(profile.columns.items()):
        name = column_name(column.label, index)
        while name.lower() in seen:
            name = f"Col{index}" if f"col{index}" not in seen else f"{name[:25]}_{index}"
        seen.add(name.lower())
        found.append(f"{column.letter(tolerated)}:{name}")
    return found


def input_attributes(guesses: list[Guess], *, eok: bool) -> str:
    """Return the attributes of ``-f`` that read the input."""
    guess = guesses[0] if guesses else Guess("csv")
    parts = [] if guess.name in ("csv", "sep") else [guess.name]
    if guess.name in ("csv", "sep") and (guess.separator != "," or guess.name == "sep"):
        char = guess.separator
        shown = char if 32 < ord(char) < 127 else f"\\x{ord(char):02x}"
        parts += [*(["csv"] if guess.name == "csv" else []), f"sep={shown}"]
    parts += ["eok"] if eok else []
    return "".join(f",{part}" for part in parts)


def report(profile: Profile, tolerated: float, seconds: float) -> dict[str, Any]:
    """Return the report as JSON members."""
    rows = profile.rows.count
    columns = [
        _column_report(index, column, profile, spec.partition(":"))
        for (index, column), spec in zip(
            sorted(profile.columns.items()), column_specs(profile, tolerated), strict=True
        )
    ]
    return {
        "Process Time": round(seconds, 3),
        "Report String Encoding": False,
        "Source Files": profile.files,
        "Has BOM": profile.marks,
        "Bytes": _share(profile.bytes, profile.source_bytes),
        "Lines": _share(rows, profile.source_lines),
        "Rows": {"Count": rows, "Length": profile.rows.report()},
        "Columns": profile.width.report(),
        "Column": columns,
    }


def _share(count: int, source: int) -> dict[str, Any]:
    return {"Source": source, "Count": count, "Percent": _ratio(count, source)}


def _ratio(count: float, of: float) -> float:
    return 100 * count / of if of else 0


def _counted_share(count: int, of: int) -> dict[str, Any]:
    return {"Count": count, "Percent": _ratio(count, of)}


def _column_report(
    index: int, column: ColumnProfile, profile: Profile, spec: tuple[str, str, str]
) -> dict[str, Any]:
    rows = profile.rows.count
    found: dict[str, Any] = {
        "Index": index,
        "Label": column.label,
        "pp-Type": spec[0],
        "pp-Attr": "",
        "pp-Name": spec[2],
        "pp-Sample": column.first,
        "Bytes": _counted_share(int(column.size.total), profile.bytes),
        "Rows": _counted_share(column.count, rows),
        "Length": column.size.report(),
        "Unique Estimate": column.unique(),
    }
    for kind in ("Integer", "Float", "IP", "String"):
        if kind in column.types:
            found[f"Type-{kind}"] = _type_report(column.types[kind], column.count)
    return found


def _type_report(found: TypeProfile, rows: int) -> dict[str, Any]:
    out: dict[str, Any] = {"Rows": _counted_share(found.count, rows)}
    if found.values.count:
        out["Value"] = found.values.report(average=False)
    if found.samples:
        out["Sample"] = found.samples
    if found.binary:
        out["Sample-Has binary"] = found.binary
    return out


_DATA = ("Label", "pp-Sample", "Sample", "Sample-Has binary")


def render_report(members: dict[str, Any], *, encoded: bool) -> str:
    """Return the report as JSON text, floats with six digits; ``encoded``: data in base64."""
    members = {**members, "Report String Encoding": "base64" if encoded else False}
    return _rendered(members, "", encoded) + "\n"


def _rendered(value: Any, indent: str, encoded: bool, name: str = "") -> str:
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f'{inner}"{k}" : {_rendered(v, inner, encoded, k)}' for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    if isinstance(value, list):
        parts = [inner + _rendered(item, inner, encoded, name) for item in value]
        return "[\n" + ",\n".join(parts) + f"\n{indent}]" if parts else "[ ]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3f}" if name == "Process Time" else f"{value:g}"
    if isinstance(value, str) and encoded and name in _DATA:
        value = base64.b64encode(value.encode("latin-1")).decode("ascii")
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)


def _load_raw(file: str) -> Profile:
    data = b"".join(Inputs().blocks(input_spec(Option("-f", (), "-f"), [file]), file))
    try:
        found = json.loads(data)
        columns = {int(index): _load_column(column) for index, column in found["columns"].items()}
        spans = {name: Span(**found[name]) for name in ("rows", "width")}
        return Profile(**{**found, **spans, "columns": columns})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputDataError(f"{label_of(file)}: not a raw result of loginf") from None


def _load_column(found: dict[str, Any]) -> ColumnProfile:
    types = {
        kind: TypeProfile(**{**one, "values": Span(**one["values"])})
        for kind, one in found["types"].items()
    }
    return ColumnProfile(
        **{**found, "types": types, "size": Span(**found["size"]), "hashes": set(found["hashes"])}
    )


def main() -> int:
    """Be the console script."""
    return console("loginf", loginf)
