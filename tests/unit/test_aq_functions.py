"""Every function of the language, by what it returns."""

import sys

import pytest

from ess_dask.aq.functions import geography
from ess_dask.aq.functions.table import all_functions

VALUES = [
    ('SHash("Philippines")', "i", "4213117258"),
    ('SLeng("\\xe9\\0a")', "i", "3"),
    ("Ceil(0 - 0.5)", "f", "-0"),
    ("Floor(2.7)", "f", "2"),
    ("Round(2.5) + Round(0 - 2.5)", "f", "0"),
    ("Round(0.49999999999999994)", "f", "0"),
    ("Abs(0 - 7)", "i", "7"),
    ("Min(3, 1.5, 2)", "f", "1.5"),
    ("Max(3, 7)", "i", "7"),
    ("Max(0.0 / 0, 2)", "f", "2"),
    ("Sqrt(0 - 1)", "f", "nan"),
    ("Cbrt(0 - 8)", "f", "-2"),
    ("Cbrt(27) + Cbrt(0.001)", "f", "3.1000000000000001"),
    ("Cbrt(0 - 1000)", "f", "-10"),
    ("Log(0)", "f", "-inf"),
    ("Log10(0 - 1)", "f", "nan"),
    ("Exp(1000)", "f", "inf"),
    ("Exp10(2)", "f", "100"),
    ("Pow(0 - 2, 3)", "f", "-8"),
    ("Pow(0, 0 - 1)", "f", "inf"),
    ("IsNaN(0.0 / 0)", "i", "1"),
    ("IsInf(0 - 1 / 0.0)", "is", "-1"),
    ("NumCmp(1, 1.05, 0.1)", "i", "1"),
    ('BegCmp(s, "x", "ab")', "i", "1"),
    ('EndCmp(s, "a")', "i", "0"),
    ('SubCmp(s, "b", "z")', "i", "1"),
    ('SubCmpAll(s, "b", "z")', "i", "0"),
    ('MixedCmp(s, "z", BEG, "b", END)', "i", "1"),
    ('MixedCmpAll(s, "a", beg, "b", END)', "i", "1"),
    ('Contain(s, "z,\\r\\nb")', "i", "1"),
    ('ContainAll(s, "a,\\nb")', "i", "1"),
    ('PatCmp(s, "A?", ncas)', "i", "1"),
    ('PatCmp(s, "a.", "ncas,rx")', "i", "1"),
    ('RxCmp(s, "^A", rx_extended|ncas)', "i", "1"),
    ('SubStr("abcdef", 0 - 3, 2)', "s", "de"),
    ('SubStr("abcdef", 2, 0 - 1)', "s", "cde"),
    ('SubStr("abcdef", 9)', "s", ""),
    ('SubStr("abcdef", 0 - 9, 2)', "s", "ab"),
    ('SubStr("abcdef", 1, 0 - 9)', "s", ""),
    ('ClipStr("a;b;c", "1>;")', "s", "a;"),
    ('ClipStr("a/b/c", "5>/")', "s", "a/b/c"),
    ('ClipStr("a/b/c", "!5>/")', "s", ""),
    ('StrIndex("abcb", "b", back)', "is", "3"),
    ('StrIndex("abcb", "B", "ncas")', "is", "1"),
    ('StrIndex("abcb", "z")', "is", "-1"),
    ('UrlEnc("a b/\\xe9")', "s", "a%20b%2F%E9"),
    ('UrlDec("a+b%2f%zz")', "s", "a b/%zz"),
    ('Base64Enc("hello")', "s", "aGVsbG8="),
    ('Base64Dec("aGV!sbG8")', "s", "hello"),
    ('Base64Dec("a")', "s", ""),
    ("ToIP(\"::ffff:1.2.3.4\")", "ip", "1.2.3.4"),
    ('ToIP("nope")', "ip", "0.0.0.0"),
    ('ToF(" 1.5e1x")', "f", "15"),
    ('ToF("x")', "f", "0"),
    ('ToI("0x1f")', "i", "31"),
    ('ToI("12.9")', "i", "12"),
    ('ToI("x")', "i", "0"),
    ("ToI(12.9)", "i", "12"),
    ("ToS(0.1)", "s", "0.10000000000000001"),
    ('ToUpper("a\\xe9z")', "s", "A\xe9Z"),
    ('ToLower("A\\xc9Z")', "s", "a\xc9z"),
    ('RxRep("a1b22", "[0-9][0-9]*", "<%%0%%>", all)', "s", "a<1>b<22>"),
    ('RxRep("abc", "x*", "-", all)', "s", "-a-b-c-"),
    ('RxRep("abc", "(b)", "[%%1%%]", rx_extended)', "s", "a[b]c"),
    ('DateToTime("2014-09-01 01:02:03 PM", "Y.m.d.H.M.S.p")', "i", "1409576523"),
    ('DateToTime("01/Sep/14", "d.b.y")', "i", "1409529600"),
    ('DateToTime("12 AM", "I.p")', "i", "0"),
    ('DateToTime("2014-13-01", "Y.m.d")', "i", "0"),
    ('DateToTime("2014-02-30", "Y.m.d")', "i", "0"),
    ('DateToTime("nope", "Y.m.d")', "i", "0"),
    ('GmDateToTime("1970-01-01 00:00:01.25", "%Y.%m.%d.%H.%M.%S1")', "l", "12"),
    ('GmDateToTime("1970-01-01T00:00:00+0100", "%Y.%m.%d.%H.%M.%S%z")', "ls", "-3600"),
    ('TimeToGmDate(86400, "%Y-%m-%d")', "s", "1970-01-02"),
    ('TimeToDate(0 - 1, "%H:%M:%S")', "s", "23:59:59"),
    ('IConv("\\xe9", "utf8;latin1", "utf8")', "s", "\xc3\xa9"),
    ('IConv("a\\xff", "utf8,eok", "latin1")', "s", "a"),
    ('IConv("\\xff", "utf8;.", "utf8")', "s", "\xff"),
    ('IConv("\\xff", "utf8;-", "utf8")', "s", ""),
    ('SearchKey("www.google.com", "/search?q=a+b")', "s", "a b"),
    ('SearchKey("http://search.yahoo.co.jp/x?p=k")', "s", "k"),
    ('SearchKey("www.google.com/")', "s", "-"),
    ('SearchKey("example.com/?q=x")', "s", ""),
    ('AgentParse("-")', "s", ""),
    ('AgentName("B:O:T:D") + AgentOS("B:O:T:D")', "s", "BO"),
    ('AgentDevType("B:O:T:D") + AgentDevName("B:O:T:D")', "s", "TD"),
    ('AgentName("Googlebot") + AgentOS("B::")', "s", ""),
    ('IsCrawler("Googlebot") + IsCrawler("")', "i", "1"),
    ('CountryName("") + CountryRegion("JP")', "s", ""),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "kind", "value"), VALUES)
def test_values(aq, expression, kind, value):
    assert aq.value(expression, kind) == value


OLD_CALLS = [
    ('QryParmExt("/p?k=a%20b&s=c&s=d", "beg=?&k:t&s")', ["2", "c", "a b"]),
    ('QryParmExt("k=%2541&s=-d-", "zero,dec=2&%6B:t&s,trm=-")', ["2", "d", "A"]),
    ('QryParmExt("k=1", t, "k")', ["1", "ab", "1"]),
    ('KDec(KeyEnc(n, s), "i:;t")', ["1", "ab", "ab"]),
    ('KDec(KeyEnc(n, s), "I", t)', ["1", "ab", "ab"]),
]


@pytest.mark.parametrize(("call", "row"), OLD_CALLS)
def test_old_names_take_their_old_arguments_too(aq, call, row):
    rules = ["-eval", "s:t", '""', "-eval", "i:rc", call]
    output = ["-o,notitle,sep=|", "-", "-c", "rc", "s", "t"]
    assert aq.pp("-d", "s:s", "i:n", *rules, *output, stdin=b"ab,5\n").lines == ["|".join(row)]


def test_errors_in_old_arguments(aq):
    refused = aq.pp("-d", "s:s", "-eval", "-", 'KDec(s, "nosuch;i:")')
    assert (refused.code, "KeyDec() wants a column or a quoted type" in refused.err) == (2, True)


CHROME = "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 Chrome/38.0 Safari/537.36"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def test_agents(aq):
    assert aq.value(f'AgentParse("{CHROME}")') == "Chrome:Windows:PC:"
    assert aq.value(f'AgentParse("{GOOGLEBOT}", 1.2.3.4)') == "Googlebot"
    assert aq.value(f'AgentToUId("{GOOGLEBOT}")', "i") == "2"
    assert int(aq.value(f'AgentToUId("{CHROME}")', "l")) > 2


def test_masks_and_hashes(aq):
    assert aq.value('MaskStr("a")') == "85c8de88d28866bf"
    assert len(aq.value(f'MaskStr("{"b" * 100}")')) == 100
    assert aq.value('MaskStr("")') == ""
    assert aq.value('UNameHash("joe")').isalnum()
    assert len(aq.value('UNameHash("joe")')) == 8
    hashes = {aq.value(f"{name}(s, n)", "i") for name in ("KeyHash", "ImpHash", "SegHash")}
    assert len(hashes) == 3
    assert aq.value("KeyHash(s)", "i") != aq.value("KeyHash(n)", "i")


def test_functions_that_set_columns(aq):
    command = ["-d", "s:q", "-eval", "s:a", '"A"', "-eval", "s:b", '"B"', "-eval", "i:n"]
    shown = ["-o,notitle", "-", "-c", "a", "b", "n"]

    def lines(expression, record):
        return aq.pp(*command, expression, *shown, stdin=record).lines

    two = 'QryDec(q, beg=?, a, "k1", b, "k1", zero)'
    assert lines(two, b"/p?k1=x%2525&z=1&k1=y\n") == ['"x%25","y",2']
    assert lines(two, b"/p?k1=x\n") == ['"x",,1']
    assert lines('QryDec(q, "dec=2|trm=\\"", a, "k 1")', b"k%201=%2522x%2522\n") == ['"x","B",1']
    assert lines('QryDec(q, "zero", a, "k")', b"none\n") == [',"B",0']
    assert lines('RxMap(q, "^\\\\(.\\\\)\\\\(.*\\\\)$", a, "%%2%%-%%1%%", b, "x")', b"abc\n") == [
        '"bc-a","x",1'
    ]
    assert lines('RxMap(q, "z", a, "x")', b"abc\n") == ['"A","B",0']
    assert lines('RxMap(q, "(?<m>B+)(c)", a, "%%m%%", b, "%%2%%", pcre|ncas)', b"abbc\n") == [
        '"bb","c",1'
    ]
    assert lines('RxMap(q, "(z|b)", a, "%%1%%", "rx_extended")', b"abc\n") == ['"b","B",1']
    assert lines('RxMap(q, "^B", ncas)', b"bc\n") == ['"A","B",1']
    assert lines('RxReplace(q, "b", a, "[%%0%%]")', b"abcb\n") == ['"a[b]cb","B",1']
    assert lines('Set("A", "x") + Set("n", "y") + Set("no", 1)', b"q\n") == ['"x","B",1']


def test_keys_that_do_not_fit(aq):
    ended = aq.pp("-d", "s:k", "-eval", "-", 'KeyDec(k, "S")', stdin=b"junk\n")
    assert ended.lines == ['"k"']
    assert "holds no S field" in ended.err


def test_conversion_that_is_not_possible(aq):
    ended = aq.pp("-d", "s:k", "-eval", "s:u", 'IConv(k, "ascii", "utf8")', stdin=b"\xff\nok\n")
    assert ended.lines == ['"k","u"', '"ok","ok"']
    assert "cannot convert" in ended.err


def test_old_names(aq):
    assert aq.value('QryParmExt(s, s, "k")', "i") == "0"


def test_no_country_data(aq, monkeypatch):
    monkeypatch.delenv("ESS_GEO_DATABASE", raising=False)
    geography.country_code.cache_clear()
    ended = aq.pp("-d", "ip:a", "-eval", "s:c", "IpToCountry(a)", stdin=b"1.2.3.4\n")
    assert ended.code == 3
    assert "ESS_GEO_DATABASE" in ended.err


def test_broken_country_data(aq, monkeypatch):
    monkeypatch.setenv("ESS_GEO_DATABASE", aq.write("broken.mmdb", "no database"))
    geography.country_code.cache_clear()
    ended = aq.pp("-d", "ip:a", "-eval", "s:c", "IpToCountry(a)", stdin=b"1.2.3.4\n")
    assert ended.code == 3
    assert "not a usable database" in ended.err


def mmdb_value(value):
    """Return a value in the encoding of MaxMind's format."""
    if isinstance(value, str):
        raw = value.encode()
        return (
            bytes([0x40 | len(raw)]) + raw
            if len(raw) < 29
            else b"\x5d" + bytes([len(raw) - 29]) + raw
        )
    if isinstance(value, dict):
        body = b"".join(mmdb_value(key) + mmdb_value(item) for key, item in value.items())
        return bytes([0xE0 | len(value)]) + body
    if isinstance(value, list):
        return bytes([len(value), 4]) + b"".join(map(mmdb_value, value))
    number, bits = value
    raw = number.to_bytes(8, "big").lstrip(b"\0")
    head = {16: [0xA0 | len(raw)], 32: [0xC0 | len(raw)], 64: [len(raw), 2]}[bits]
    return bytes(head) + raw


def country_database():
    """Return a database in which 1.0.0.0/8 is the region 13 of JP."""
    place = {
        "country": {"iso_code": "JP", "names": {"en": "Japan"}},
        "subdivisions": [{"iso_code": "13", "names": {"en": "Tokyo"}}],
    }
    nodes = []
    for bit in range(8):
        following = bit + 1 if bit < 7 else 8 + 16
        pair = [8, 8]
        pair[int(bit == 7)] = following
        nodes.append(b"".join(number.to_bytes(3, "big") for number in pair))
    head = {
        "node_count": (8, 32), "record_size": (24, 16), "ip_version": (4, 16),
        "database_type": "Test", "binary_format_major_version": (2, 16),
        "binary_format_minor_version": (0, 16), "build_epoch": (1, 64), "languages": ["en"],
        "description": {"en": "t"},
    }  # fmt: skip
    tree = b"".join(nodes) + b"\0" * 16
    return tree + mmdb_value(place) + b"\xab\xcd\xefMaxMind.com" + mmdb_value(head)


def test_countries(aq, monkeypatch):
    monkeypatch.setenv("ESS_GEO_DATABASE", aq.write("geo.mmdb", country_database()))
    geography.country_code.cache_clear()
    ended = aq.pp(
        "-d", "ip:a", "-eval", "s:c", "IpToCountry(a)", "-eval", "s:n", "CountryName(c)",
        "-eval", "s:r", "CountryRegion(c)", "-o,notitle", "-", "-c", "c", "n", "r",
        stdin=b"1.2.3.4\n9.9.9.9\n::1\n",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.lines == ['"JP:13","Japan","Tokyo"', ",,", ",,"]


def test_no_agent_rules(aq, monkeypatch):
    from ess_dask.aq.functions import agents

    agents.agent_code.cache_clear()
    monkeypatch.setitem(sys.modules, "ua_parser", None)
    ended = aq.pp("-d", "s:a", "-eval", "s:c", "AgentParse(a)", stdin=b"some agent\n")
    assert ended.code == 3
    assert "ua-parser" in ended.err


def test_every_function_is_tried_here():
    import re
    from pathlib import Path

    text = Path(__file__).read_text(encoding="utf-8")
    tried = {name.lower() for name in re.findall(r"\b([A-Z]\w+)\(", text)}
    tried |= {"keyenc", "keyhash", "imphash", "seghash"}
    assert set(all_functions()) - tried == set()
