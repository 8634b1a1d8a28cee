"""Takes secrets out of texts that others wrote: server messages, statements, URLs."""

from __future__ import annotations

import os
import re

from ess_dask.secret import SHOWN, Secret

_VARIABLES = ("ESS_REDSHIFT_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SHORTEST = 6

# A literal of SQL or JSON, to its end or, in a text that was cut off, to the end of the text.
_QUOTED = r"""(?:'(?:[^'\\]|''|\\.)*(?:'|\\?$)|"(?:[^"\\]|""|\\.)*(?:"|\\?$))"""
_WORDS = (
    r"(?:aws_)?(?:access_?key(?:_?id)?|secret(?:_?access)?_?key|(?:session_?|security_?)?token)"
    r"|(?:db_?)?pass(?:word|wd)?|pwd|master_?(?:user_?password|symmetric_key)"
)
# One of these words as a key of JSON: what follows is no literal yet.
_KEY = rf"(?<=')(?:{_WORDS})'|(?<=\")(?:{_WORDS})\""

_RULES = (
    # COPY ... CREDENTIALS [AS] '...', CREATE USER x PASSWORD '...'
    (
        rf"(?is)(?<![a-z0-9])(?!{_KEY})((?:credentials|{_WORDS})(?:\s+as)?\s*)(?:{_QUOTED})",
        rf"\1'{SHOWN}'",
    ),
    # {"password": "..."}, password='...', token: ..., aws_secret_access_key=...;
    (rf"(?is)(([\"'])(?:{_WORDS})\2\s*[:=]\s*)(?:{_QUOTED})", rf"\1'{SHOWN}'"),
    (rf"(?is)(?<![a-z0-9])((?:{_WORDS})\s*[:=]\s*)(?:{_QUOTED})", rf"\1'{SHOWN}'"),
    (rf"(?is)(?<![a-z0-9])((?:{_WORDS})\s*[:=]\s*)[^\s,;&'\"]+", rf"\1{SHOWN}"),
    # Keys and tokens of AWS by their own shape, wherever they stand.
    (r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}\b", SHOWN),
    (r"\b(?:FwoG|IQoJ|FQoG|AgoJ)[A-Za-z0-9/+=]{40,}", SHOWN),
    (
        r"(?<![A-Za-z0-9/+=_.-])(?=[a-z0-9/+=]*[A-Z])(?=[A-Z0-9/+=]*[a-z])(?=[A-Za-z/+=]*[0-9])"
        r"[A-Za-z0-9/+=]{40}(?![A-Za-z0-9/+=_.-])",
        SHOWN,
    ),
)
_COMPILED = tuple((re.compile(pattern), shown) for pattern, shown in _RULES)

# Patterns from here to the last @ would be tried from every :// on, in quadratic time.
_RUN = re.compile(r"[^\s'\"]+")
_BEFORE_PASSWORD = re.compile(r"(?i)[a-z][a-z0-9+.-]{0,40}://[^:/@]*:")
_NO_PASSWORD = re.compile(r"\*{3}@|\d+\b")


def redact(text: str, *secrets: Secret | None) -> str:
    """Return ``text`` with every secret in it shown as ``***``.

    Taken out are ``secrets`` and those of this process's environment wherever they stand, what
    stands behind ``CREDENTIALS``, ``PASSWORD``, ``token=`` and the like, passwords in URLs, and
    what has the shape of an AWS key or token. Redacting twice changes nothing more.
    """
    known = [secret.reveal() for secret in secrets if secret]
    known += [value for name in _VARIABLES if len(value := os.environ.get(name, "")) >= _SHORTEST]
    for value in sorted(filter(None, known), key=len, reverse=True):
        text = text.replace(value, SHOWN)
    for pattern, shown in _COMPILED:
        text = pattern.sub(shown, text)
    return _RUN.sub(_without_password, text) if "://" in text else text


def _without_password(run: re.Match[str]) -> str:
    """Return text without blanks and quotes, and without the password of a URL in it.

    ``scheme://user:password@host``: a password may itself hold an @, or the text be cut in it.
    """
    text = run[0]
    first, last = _BEFORE_PASSWORD.search(text), text.rfind("@")
    if first and first.end() <= last:
        text = f"{text[: first.end()]}{SHOWN}{text[last:]}"
    if run.string[run.end() :] in ("", "\n"):
        for start in _BEFORE_PASSWORD.finditer(text):
            if not _NO_PASSWORD.match(text, start.end()):
                return f"{text[: start.end()]}{SHOWN}"
    return text
