"""What pictures are made of: SVG elements, colours for light and dark, short numbers, widths."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from ess_dask.markup import escape, printable

ACCENT = "#2f7ed8"
"""Reads on white and on black; everything else is drawn in the colour of the text around."""
OPACITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the levels 0 (nothing) to 4 (most)."""
LEVELS = len(OPACITIES) - 1


def element(name: str, *parts: str, **attributes: object) -> str:
    """Return an element; ``parts`` are markup already, the attributes' values are escaped.

    ``_`` in the name of an attribute stands for ``-``.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{given}>{''.join(parts)}</{name}>" if parts else f"<{name}{given}/>"


def picture(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """Return an SVG for HTML that fits narrow pages; ``title`` is for screen readers."""
    return element(
        "svg",
        tip(title),
        *parts,
        role="img",
        aria_label=plain(title),
        viewBox=f"0 0 {_short(width)} {_short(height)}",
        width=width,
        style="max-width:100%;height:auto;font:10px sans-serif;color-scheme:light dark",
    )


def label(x: float, y: float, content: str, anchor: str = "start") -> str:
    """Return a text in the colour of the page's own."""
    return element(
        "text", escape(plain(content)), x=x, y=y, text_anchor=anchor, fill="currentColor"
    )


def tip(content: str) -> str:
    """Return what is shown under the pointer and said by a screen reader."""
    return element("title", escape(plain(content)))


def cell(x: float, y: float, size: tuple[float, float], level: int, said: str) -> str:
    """Return a box of a level with its ``tip``; one of level 0 is an outline."""
    width, height = size
    if level:
        return element("rect", tip(said), x=x, y=y, width=width, height=height, rx=1, fill=ACCENT,
                       fill_opacity=OPACITIES[level])  # fmt: skip
    x, y, width, height = x + 0.5, y + 0.5, width - 1, height - 1
    return element("rect", tip(said), x=x, y=y, width=width, height=height, rx=1, fill="none",
                   stroke="currentColor", stroke_opacity=0.3)  # fmt: skip


def level(value: float, most: float) -> int:
    """Return 0 for nothing, else 1 to ``LEVELS``: by the share of the largest value."""
    if value <= 0 or most <= 0:
        return 0
    return min(LEVELS, 1 + int(LEVELS * value / most))


def short(number: float) -> str:
    """Return a count as a person reads it: ``999``, ``1.2k``, ``35M``."""
    amount, unit = float(number), ""
    for larger in ("k", "M", "G", "T"):
        if abs(amount) < 999.5:
            break
        amount, unit = amount / 1000, larger
    text = f"{amount:.0f}" if abs(amount) >= 10 else f"{amount:.1f}".removesuffix(".0")
    return text + unit


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(_columns(character) for character in text)


def fit(text: str, width: int, *, ascii_only: bool = False) -> str:
    """Return a text without control characters, cut or filled to ``width`` columns."""
    text = plain(text, ascii_only=ascii_only)
    if cells(text) > width:
        more = "~" if ascii_only else "…"
        while text and cells(text) > width - 1:
            text = text[:-1]
        text = text + more if width > 0 else ""
    return text + " " * (width - cells(text))


def plain(text: str, *, ascii_only: bool = False) -> str:
    """Return a text that cannot steer a terminal, and with ``ascii_only`` one of ASCII alone."""
    text = printable(text.encode("utf-8", "backslashreplace").decode())
    return text.encode("ascii", "backslashreplace").decode() if ascii_only else text


def columns(texts: Sequence[str]) -> int:
    """Return the width of the widest text."""
    return max((cells(text) for text in texts), default=0)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
