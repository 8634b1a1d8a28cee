"""Encodings of text in text: URL, base64."""

from __future__ import annotations

import base64
import re

_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.~-]")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


def url_decode(text: str) -> str:
    """Decode ``%HH`` and ``+``; what is not an encoding stays."""
    if "+" in text:
        text = text.replace("+", " ")
    return _PERCENT.sub(lambda match: chr(int(match[1], 16)), text) if "%" in text else text


def url_encode(text: str) -> str:
    """Encode every byte but letters, digits and ``_.~-`` as ``%HH``."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", text)


def base64_encode(text: str) -> str:
    """Return the bytes of ``text`` in base64, padded."""
    return base64.b64encode(text.encode("latin-1")).decode("ascii")


def base64_decode(text: str) -> str:
    """Decode base64 of either alphabet; characters outside it are skipped, padding is optional."""
    text = _NOT_BASE64.sub("", text.replace("-", "+").replace("_", "/"))
    whole = text[: len(text) - (len(text) % 4 == 1)]
    return base64.b64decode(whole + "=" * (-len(whole) % 4)).decode("latin-1")
