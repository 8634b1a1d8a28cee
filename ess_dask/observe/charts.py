"""Drawings of a run as SVG: real text, a title and a description, a bounded number of shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from ess_dask.drawing.shapes import element, fit, plain, tip
from ess_dask.markup import count, escape, show_bytes
from ess_dask.observe.batches import FileWork
from ess_dask.observe.summary import Span, Work

WIDTH = 960
LEFT = 170
RIGHT = 20
SHAPES = 1500
"""Batches that a timeline draws one by one; of more it draws how busy each worker was."""

_BINS = 120
_LANES = 32
_ROW = 26


def figure(name: str, caption: str, about: str, height: int, shapes: Iterable[str]) -> str:
    """Return a drawing with its caption; ``about`` says in words what it shows."""
    return (
        f'<figure><figcaption>{escape(caption)}</figcaption><svg role="img" '
        f'viewBox="0 0 {WIDTH} {height}" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(caption)}</title><desc id="{name}-d">{escape(about)}</desc>'
        f"{''.join(shapes)}</svg></figure>"
    )


def timeline(work: Work) -> str:
    """Return when each worker was at work: a lane each, batches side by side where they overlap."""
    total = work.seconds or 1.0
    by_worker: dict[str, list[Span]] = {name: [] for name in work.workers}
    for span in work.spans:
        by_worker[span.worker].append(span)
    workers = work.workers[:_LANES]
    is_fine = len(work.spans) <= SHAPES
    shapes, top = [], 8
    for worker in workers:
        spans = sorted(by_worker[worker], key=lambda span: span.start)
        lanes = _lanes(spans) if is_fine else [spans]
        height = max(_ROW, 10 * len(lanes))
        shapes.append(_text(LEFT - 8, top + height / 2 + 4, fit(worker, 24).rstrip(), "end"))
        for place, lane in enumerate(lanes):
            y, each = top + place * height / len(lanes), height / len(lanes)
            shapes += _bars(lane, total, y, each) if is_fine else _busy(lane, total, y, each)
        top += height + 6
    shapes += _time_axis(total, top)
    more = len(work.workers) - len(workers)
    caption = f"Timeline by worker{f' (the first {_LANES} of {more + _LANES})' if more else ''}"
    about = (
        f"{count(len(work.spans), 'batch', 'batches')} on "
        f"{count(len(work.workers), 'worker', 'workers')} in {show_time(work.seconds)}"
    )
    return figure("timeline", caption, about, top + 34, shapes)


def _lanes(spans: Sequence[Span]) -> list[list[Span]]:
    """Deal spans to as few lanes as keep them apart; at most eight."""
    lanes: list[list[Span]] = []
    for span in spans:
        free = [lane for lane in lanes if lane[-1].end <= span.start + 0.002]
        if not free and len(lanes) < 8:
            lanes.append([])
        (free or lanes[-1:])[0].append(span)
    return lanes or [[]]


def _bars(lane: Sequence[Span], total: float, y: float, height: float) -> Iterable[str]:
    for span in lane:
        about = (
            f"batch {span.number}: {count(span.files, 'file', 'files')}, {span.rows:,} rows, "
            f"{show_time(span.seconds)}"
        )
        width = max(1.0, _across(span.seconds, total) - 0.5)
        yield _rect(LEFT + _across(span.start, total), y + 1, width, height - 2, "a", about)


def _busy(spans: Sequence[Span], total: float, y: float, height: float) -> Iterable[str]:
    """Draw for each moment what share of the worker's threads was at work, as far as is known."""
    seconds = _spread([(span.start, span.end, span.seconds) for span in spans], total)
    most = max(seconds) or 1.0
    width = _across(total / _BINS, total)
    for place, value in enumerate(seconds):
        if value > 0:
            tall = (height - 2) * value / most
            yield _rect(LEFT + place * width, y + height - 1 - tall, width, tall, "a")


def speed(work: Work) -> str:
    """Return rows read per second over time."""
    total = work.seconds or 1.0
    rows = _spread([(span.start, span.end, float(span.rows)) for span in work.spans], total)
    each = total / _BINS
    speeds = [value / each for value in rows]
    most = max(speeds) or 1.0
    width, height = _across(each, total), 120.0
    shapes = [
        _rect(LEFT + place * width, 10 + height - tall, width, tall, "b")
        for place, value in enumerate(speeds)
        if (tall := height * value / most) > 0
    ]
    shapes.append(_text(LEFT - 8, 18, f"{most:,.0f} rows/s", "end"))
    shapes.append(_text(LEFT - 8, 10 + height, "0", "end"))
    shapes += _time_axis(total, 10 + height)
    mean = work.rows_read / total
    about = f"{mean:,.0f} rows a second on the whole, {most:,.0f} at most"
    return figure("speed", "Rows read per second, over time", about, 170, shapes)


def _spread(parts: Sequence[tuple[float, float, float]], total: float) -> list[float]:
    """Spread (start, end, amount) evenly over ``_BINS`` equal parts of the time."""
    bins = [0.0] * _BINS
    for start, end, amount in parts:
        first = min(_BINS - 1, max(0, int(start / total * _BINS)))
        last = min(_BINS - 1, max(first, math.ceil(end / total * _BINS) - 1))
        for place in range(first, last + 1):
            bins[place] += amount / (last - first + 1)
    return bins


def sizes(points: Sequence[FileWork]) -> str:
    """Return files by stored bytes and seconds, both on logarithmic scales."""
    shown = [point for point in points if point.size > 0 and point.seconds > 0]
    if not shown:
        return ""
    x_from, x_to = _decades([point.size for point in shown])
    y_from, y_to = _decades([point.seconds for point in shown])
    height, across = 220.0, WIDTH - LEFT - RIGHT
    shapes = []
    for power in range(x_from, x_to + 1):
        x = LEFT + across * (power - x_from) / (x_to - x_from)
        shapes.append(_line(x, 10, x, 10 + height))
        place = "end" if power == x_to else "middle"
        shapes.append(_text(x, 26 + height, _power(power), place))
    for power in range(y_from, y_to + 1):
        y = 10 + height - height * (power - y_from) / (y_to - y_from)
        shapes.append(_line(LEFT, y, WIDTH - RIGHT, y))
        shapes.append(_text(LEFT - 8, y + 4, show_time(10.0**power), "end"))
    for point in shown:
        x = LEFT + across * (math.log10(point.size) - x_from) / (x_to - x_from)
        y = 10 + height - height * (math.log10(point.seconds) - y_from) / (y_to - y_from)
        shapes.append(element("circle", class_="p", cx=round(x, 1), cy=round(y, 1), r=3))
    about = f"{len(shown)} files, from {show_bytes(min(p.size for p in shown))} to "
    about += f"{show_bytes(max(p.size for p in shown))}; the slowest took "
    about += show_time(max(p.seconds for p in shown))
    return figure("sizes", "Files by stored size and seconds", about, 270, shapes)


def _power(power: int) -> str:
    """Return a power of ten in bytes: ``100 B``, ``10 kB``, ``1 MB``."""
    thousands = min(4, max(0, power) // 3)
    return f"{10 ** (power - 3 * thousands):g} {('B', 'kB', 'MB', 'GB', 'TB')[thousands]}"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low = math.floor(math.log10(min(values)))
    return low, max(low + 1, math.ceil(math.log10(max(values))))


def funnel(way: Sequence[tuple[str, int]], aside: Sequence[tuple[str, int]], caption: str) -> str:
    """Return rows on their ``way`` as bars below each other, a mark where some are lost, and what
    became of those: ``aside``."""
    rows = [*way, *aside]
    most = max((number for _, number in rows), default=0) or 1
    shapes, across = [], WIDTH - LEFT * 2 - RIGHT - 130
    for place, (name, number) in enumerate(rows):
        y = 8 + place * (_ROW + 6)
        shapes.append(_text(LEFT * 2 - 8, y + 17, fit(name, 40).rstrip(), "end"))
        width = max(1.0 if number else 0.0, across * number / most)
        shapes.append(_rect(LEFT * 2, y, width, _ROW, "a" if place < len(way) else "r"))
        shapes.append(_text(LEFT * 2 + width + 8, y + 17, f"{number:,}"))
    for place, ((_, before), (_, after)) in enumerate(pairwise(way)):
        if before and after < before:
            y = 8 + place * (_ROW + 6) + _ROW
            x = LEFT * 2 + across * after / most
            shapes.append(_rect(x, y, across * (before - after) / most, 4, "r"))
    about = "; ".join(f"{name}: {number:,} rows" for name, number in rows)
    return figure("funnel", caption, about, 16 + len(rows) * (_ROW + 6), shapes)


def show_time(seconds: float) -> str:
    """Return a time as a person reads it: ``350 ms``, ``4.2 s``, ``12 min 5 s``, ``3 h 20 min``."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60} min"


def _time_axis(total: float, y: float) -> list[str]:
    shapes = [_line(LEFT, y, WIDTH - RIGHT, y)]
    for part in range(5):
        place = "start" if part == 0 else "end" if part == 4 else "middle"
        x = LEFT + _across(total * part / 4, total)
        shapes.append(_text(x, y + 18, show_time(total * part / 4) if part else "0", place))
    return shapes


def _across(seconds: float, total: float) -> float:
    return (WIDTH - LEFT - RIGHT) * seconds / total


def _rect(x: float, y: float, width: float, height: float, kind: str, about: str = "") -> str:
    said = (tip(about),) if about else ()
    x, y, width, height = (round(each, 1) for each in (x, y, width, height))
    return element("rect", *said, class_=kind, x=x, y=y, width=width, height=height)


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    return element("line", x1=round(x, 1), y1=round(y, 1), x2=round(to_x, 1), y2=round(to_y, 1))


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    x, y = round(x, 1), round(y, 1)
    return element("text", escape(plain(text)), x=x, y=y, text_anchor=anchor)
