"""A whole HTML page around pieces of HTML: one file, light or dark as the reader likes it."""

from __future__ import annotations

from ess_dask import markup
from ess_dask.markup import escape

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  background: Canvas; color: CanvasText; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; } thead th { border-bottom: 1px solid GrayText; }
figure { margin: .5rem 0; overflow-x: auto; } figcaption { color: GrayText; font-size: .85rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def document(title: str, body: str) -> str:
    """Return a complete page; ``body`` is HTML already. Nothing is loaded from elsewhere."""
    return markup.document(title, _STYLE, body)


def figure(picture: str, caption: str = "") -> str:
    """Return a picture with what is said below it; '' for no picture."""
    if not picture:
        return ""
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{picture}{said}</figure>"
