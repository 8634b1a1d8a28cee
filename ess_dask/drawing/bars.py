"""Bars: of names and values, and of a histogram's counts."""

from __future__ import annotations

from collections.abc import Sequence

from ess_dask.dataclass import dataclass
from ess_dask.drawing.shapes import ACCENT, columns, element, fit, label, picture, plain, tip

_ROW, _BAR, _NAMES, _LENGTH, _SHOWN = 16, 11, 150, 260, 90
_SPARKS = "▁▂▃▄▅▆▇█"
_SPARKS_ASCII = ".:-=+*#@"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_LEAST = 8
"""Columns that a bar has in a terminal, however narrow."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One value, not negative, with its name and how the value is written."""

    name: str
    value: float
    shown: str


def bars_svg(bars: Sequence[Bar], title: str) -> str:
    """Return horizontal bars, one below the other, each with its name and value."""
    most = max((bar.value for bar in bars), default=0)
    parts = []
    for number, bar in enumerate(bars):
        y = number * _ROW
        length = _LENGTH * bar.value / most if most else 0.0
        parts += [
            element(
                "g",
                tip(f"{bar.name}: {bar.shown}"),
                label(_NAMES - 6, y + 10, fit(bar.name, 24).rstrip(), "end"),
                element("rect", x=_NAMES, y=y + 1, width=max(length, 0.5), height=_BAR, rx=1,
                        fill=ACCENT, fill_opacity=0.75),
                label(_NAMES + length + 5, y + 10, bar.shown),
            )
        ]  # fmt: skip
    return picture(_NAMES + _LENGTH + _SHOWN, max(1, len(bars)) * _ROW, title, parts)


def bars_text(bars: Sequence[Bar], width: int = 80, *, ascii_only: bool = False) -> list[str]:
    """Return a line for each bar: name, bar, value; no line is longer than ``width`` columns
    (but a name and a value always have some room)."""
    shown = [plain(bar.shown, ascii_only=ascii_only) for bar in bars]
    of_values = columns(shown)
    names = [plain(bar.name, ascii_only=ascii_only) for bar in bars]
    of_names = min(columns(names), max(_LEAST, width // 3))
    room = max(_LEAST, width - of_names - of_values - 4)
    most = max((bar.value for bar in bars), default=0)
    lines = []
    for bar, name, value in zip(bars, names, shown, strict=True):
        drawn = _bar(room * bar.value / most if most else 0, ascii_only=ascii_only)
        line = f"{fit(name, of_names, ascii_only=ascii_only)}  {fit(drawn, room)}  "
        lines.append(line + value.rjust(of_values))
    return lines


def histogram_svg(counts: Sequence[int], edges: tuple[str, str], title: str) -> str:
    """Return standing bars of equal width; ``edges`` are the first and the last edge as written."""
    width, height, gap = 260.0, 60.0, 1.0
    most = max(counts, default=0)
    step = width / max(1, len(counts))
    parts = []
    for number, count in enumerate(counts):
        tall = height * count / most if most else 0.0
        tall = max(tall, 1.0) if count else 0.0
        at, wide = number * step, max(step - gap, 0.5)
        parts.append(
            element("rect", tip(f"{count:,}"), x=at, y=height - tall, width=wide, height=tall,
                    fill=ACCENT, fill_opacity=0.75)
        )  # fmt: skip
    parts.append(element("path", d=f"M0 {height}H{width}", stroke="currentColor",
                         stroke_opacity=0.5))  # fmt: skip
    parts += [label(0, height + 12, edges[0]), label(width, height + 12, edges[1], "end")]
    return picture(width, height + 16, title, parts)


def sparkline(counts: Sequence[float], *, ascii_only: bool = False) -> str:
    """Return counts as one character each: the higher, the more; a blank for nothing."""
    signs = _SPARKS_ASCII if ascii_only else _SPARKS
    most = max(counts, default=0)
    drawn = (
        signs[min(len(signs) - 1, int(len(signs) * count / most))] if count > 0 else " "
        for count in counts
    )
    return "".join(drawn)


def _bar(length: float, *, ascii_only: bool) -> str:
    if ascii_only:
        return "#" * max(round(length), 1 if length > 0 else 0)
    full, part = divmod(round(length * 8), 8)
    if not full and not part and length > 0:
        part = 1
    return "█" * full + (_EIGHTHS[part] if part else "")
