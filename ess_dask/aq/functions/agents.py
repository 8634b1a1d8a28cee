"""Functions over user-agent strings, search queries and user names.

The agent rules are those of the package ``ua-parser``; it is loaded with the first agent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from ess_dask.aq.codecs import url_decode
from ess_dask.aq.errors import AqConfigError
from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import Type, Value
from ess_dask.aq.tree import Call

CRAWLER_ID = 2
"""The user ID of every crawler."""
_CACHED = 65536

_ENGINES = (
    ("google", ("q", "as_q")),
    ("bing", ("q",)),
    ("yahoo", ("p",)),
    ("duckduckgo", ("q",)),
    ("baidu", ("wd", "word")),
    ("yandex", ("text",)),
    ("ask", ("q",)),
    ("aol", ("q", "query")),
    ("ecosia", ("q",)),
    ("naver", ("query",)),
    ("goo", ("MT",)),
    ("sogou", ("query",)),
    ("so", ("q",)),
    ("qwant", ("q",)),
    ("startpage", ("query", "q")),
    ("nifty", ("q", "Text")),
    ("biglobe", ("q",)),
)
_SITE = re.compile(r"(?:https?://)?([^/?#:]*)(?::\d+)?(/[^#]*)?", re.IGNORECASE)


def search_key(*parts: str) -> str:
    """Return the words searched for: '' for no search engine, '-' for no words."""
    match = _SITE.match("".join(parts))
    assert match
    labels = match[1].lower().split(".")
    keys = next((keys for name, keys in _ENGINES if name in labels), None)
    if keys is None:
        return ""
    query = (match[2] or "").partition("?")[2]
    found = dict(pair.partition("=")[::2] for pair in reversed(query.split("&")))
    values = (url_decode(found.get(key, "")) for key in keys)
    return next((value for value in values if value), "-")


@lru_cache(maxsize=_CACHED)
def agent_code(agent: str) -> str:
    """Return ``browser:os:device type:device name``, a crawler's name, or ''."""
    if not agent or agent == "-":
        return ""
    try:
        from ua_parser import parse
    except ImportError:
        raise AqConfigError(
            "AgentParse() has no rules to parse agents with",
            hint="pip install 'ua-parser[builtins]'",
        ) from None
    found = parse(agent)
    browser = found.user_agent.family if found.user_agent else ""
    device = found.device.family if found.device else ""
    if device == "Spider":
        return _word(browser or device)
    if not browser:
        return ""
    system = found.os.family if found.os else ""
    name = device if device and device != "Other" else ""
    return ":".join(map(_word, (browser, system, _device_type(agent, device), name)))


def _word(text: str) -> str:
    return text.replace(":", " ").encode("utf-8").decode("latin-1")


def _device_type(agent: str, device: str) -> str:
    if re.search(r"iPad|Tablet|Kindle|PlayBook|Android(?!.*Mobile)", agent):
        return "Tablet"
    if re.search(r"Mobi|iPhone|iPod|Android|Phone", agent):
        return "Mobile"
    return "TV" if re.search(r"SmartTV|AppleTV|GoogleTV|HbbTV", agent) or "TV" in device else "PC"


def _part(number: int) -> Callable[[Call], Callable[[str], str]]:
    def part(code: str) -> str:
        parts = code.split(":")
        return parts[number] if len(parts) > max(number, 1) else ""

    return lambda _: part


def is_crawler(code: str) -> int:
    """Whether an agent code is a crawler's name."""
    return int(bool(code) and ":" not in code)


def agent_id(agent: str, *_: Value) -> int:
    """Return a number for an agent, 2 for every crawler."""
    if is_crawler(agent_code(agent)):
        return CRAWLER_ID
    return _digest(agent, b"agent-id") % ((1 << 32) - 3) + 3


def _digest(text: str, person: bytes) -> int:
    import hashlib

    digest = hashlib.blake2b(text.encode("latin-1"), digest_size=8, person=person).digest()
    return int.from_bytes(digest, "big")


def name_hash(name: str) -> str:
    """Return 8 letters and digits for a user name."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    number, out = _digest(name, b"name-hash"), ""
    for _ in range(8):
        number, digit = divmod(number, 36)
        out += digits[digit]
    return out


_AGENT = (Parameter.TEXT, Parameter.MORE_ADDRESS)
_CODE = (Parameter.TEXT,)
FUNCTIONS = (
    Function(
        "SearchKey",
        "SearchKey(Site, Path) or SearchKey(Url)",
        (Parameter.TEXT, Parameter.MORE_TEXT),
        Type.STR,
        lambda _: search_key,
    ),
    Function(
        "AgentParse",
        "AgentParse(Agent [, Ip])",
        _AGENT,
        Type.STR,
        lambda _: lambda agent, *_: agent_code(agent),
    ),
    Function("AgentToUId", "AgentToUId(Agent [, Ip])", _AGENT, Type.INT, lambda _: agent_id),
    Function("AgentName", "AgentName(Code)", _CODE, Type.STR, _part(0)),
    Function("AgentOS", "AgentOS(Code)", _CODE, Type.STR, _part(1)),
    Function("AgentDevType", "AgentDevType(Code)", _CODE, Type.STR, _part(2)),
    Function("AgentDevName", "AgentDevName(Code)", _CODE, Type.STR, _part(3)),
    Function("IsCrawler", "IsCrawler(Code)", _CODE, Type.INT, lambda _: is_crawler),
    Function("UNameHash", "UNameHash(Name)", _CODE, Type.STR, lambda _: name_hash),
)
