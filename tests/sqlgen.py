"""Random statements over random tables, for the SQL engine: DuckDB on the whole data is the judge.

Floats are quarters, so that their sums are exact in any order; what is rounded is compared within
a tolerance.
"""

import datetime as dt
import decimal
import random

import pyarrow as pa

WORDS = ["", "a", "A", "b", "été", "日本", "zz", "a b", "'q'", "\u0000x"[1:], "🙂"]
FLOATS = [0.0, -0.0, 0.25, -1.5, 3.75, 1e6, float("nan"), float("inf")]
NUMBERS = ("n", "b", "x", "d")


def _maybe(random_, value, nulls=0.12):
    return None if random_.random() < nulls else value


def make_table(random_, rows):
    """Return ``t``: every type, nulls, skewed keys."""
    keys = [f"k{i}" for i in range(random_.choice([1, 3, 12]))]
    day = dt.date(2014, 9, 1)
    made = []
    for _ in range(rows):
        key = keys[0] if random_.random() < 0.4 else random_.choice(keys)
        moment = dt.datetime(2014, 9, 1, tzinfo=dt.UTC).replace(tzinfo=None) + dt.timedelta(
            seconds=random_.randrange(10**6)
        )
        made.append(
            {
                "k": _maybe(random_, key, 0.05),
                "n": _maybe(random_, random_.randrange(-5, 6)),
                "b": _maybe(random_, random_.choice([0, 1, -(2**40), 2**62])),
                "x": _maybe(random_, random_.choice(FLOATS[: random_.choice([5, 6, 8])])),
                "d": _maybe(random_, decimal.Decimal(random_.randrange(-500, 500)) / 100),
                "f": _maybe(random_, random_.random() < 0.5),
                "s": _maybe(random_, random_.choice(WORDS)),
                "day": _maybe(random_, day + dt.timedelta(days=random_.randrange(4))),
                "ts": _maybe(random_, moment),
            }
        )
    return pa.Table.from_pylist(made, SCHEMA_T)


SCHEMA_T = pa.schema(
    {
        "k": pa.string(),
        "n": pa.int32(),
        "b": pa.int64(),
        "x": pa.float64(),
        "d": pa.decimal128(12, 2),
        "f": pa.bool_(),
        "s": pa.string(),
        "day": pa.date32(),
        "ts": pa.timestamp("us"),
    }
)
SCHEMA_U = pa.schema({"k": pa.string(), "m": pa.int32(), "w": pa.string()})


def make_side(random_, rows):
    """Return ``u``, which shares the key of ``t``, or ``v``, which has its own."""
    made = [
        {
            "k": _maybe(random_, f"k{random_.randrange(14)}", 0.05),
            "m": _maybe(random_, random_.randrange(-3, 4)),
            "w": _maybe(random_, random_.choice(WORDS)),
        }
        for _ in range(rows)
    ]
    return pa.Table.from_pylist(made, SCHEMA_U)


class Statement:
    """One statement, made of one random source. ``exact``: its rows come in one possible order."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.joined = False
        self.ordered = False
        self.text = self.statement()

    def one(self, *choices):
        return self.random.choice(choices)

    def chance(self, share):
        return self.random.random() < share

    # --- Expressions over t (alias q)

    def number(self, a="q"):
        return self.one(
            f"{a}.n",
            f"{a}.n",
            f"{a}.b",
            f"{a}.x",
            f"{a}.d",
            f"{a}.n + 1",
            f"-{a}.n",
            f"length({a}.s)",
            f"case when {a}.f then {a}.n else {a}.d end",
            f"coalesce({a}.n, 0)",
            f"{a}.n % 3",
        )

    def scalar(self, a="q"):
        return self.one(
            self.number(a),
            f"{a}.k",
            f"{a}.s",
            f"upper({a}.s)",
            f"{a}.day",
            f"{a}.f",
            f"{a}.ts",
            f"{a}.s || '-' || {a}.k",
            f"date_trunc('day', {a}.ts)",
            f"{a}.day + 1",
            f"cast({a}.n as varchar)",
            f"{a}.x is null",
            f"try_cast({a}.s as integer)",
        )

    def condition(self, a="q", deep=True):
        choices = [
            f"{a}.n > {self.random.randrange(-4, 4)}",
            f"{a}.x >= 0.25",
            f"{a}.x = 0",
            f"{a}.s like '%a%'",
            f"{a}.f",
            f"not {a}.f",
            f"{a}.k in ('k0', 'k2', 'k5')",
            f"{a}.day between date '2014-09-02' and date '2014-09-03'",
            f"{a}.s is not null",
            f"{a}.d < 1.5",
            f"{a}.b <> 0",
            f"{a}.n is distinct from 2",
            f"{a}.k = 'k1'",
        ]
        if deep:
            choices += [
                f"{a}.n in (select m from u where m > {self.random.randrange(-3, 3)})",
                f"{a}.k in (select k from v)",
                f"{a}.n not in (select m from u where m is not null)",
                f"{a}.n > (select avg(m) from v)",
                "exists (select 1 from u where m = 3)",
                f"exists (select 1 from u where u.k = {a}.k and u.m > 0)",
                f"not exists (select 1 from v where v.m = {a}.n)",
                f"{a}.n = any (select n from t where x > 1)",
            ]
        first = self.one(*choices)
        if self.chance(0.4):
            return f"({first} {self.one('and', 'or')} {self.condition(a, deep=False)})"
        return first

    def where(self, a="q"):
        return f" where {self.condition(a)}" if self.chance(0.6) else ""

    def aggregate(self, a="q"):
        number, scalar = self.number(a), self.scalar(a)
        choices = [
            "count(*)",
            f"count({scalar})",
            f"sum({a}.{self.one('n', 'd', 'b')})",
            f"sum({a}.x)",
            f"avg({number})",
            f"avg({a}.{self.one('n', 'x', 'd')})",
            f"min({scalar})",
            f"max({scalar})",
            f"count(distinct {scalar})",
            f"sum(distinct {a}.n)",
            f"stddev({a}.n)",
            f"var_pop({a}.n + 0.5)",
            f"variance({a}.d)",
            f"bool_and({a}.f)",
            f"bool_or({a}.f)",
            f"bit_or({a}.n)",
            f"median({a}.n)",
            f"quantile_cont({a}.d, 0.3)",
            f"string_agg(distinct {a}.s, '|' order by {a}.s)",
            f"string_agg({a}.s, ',' order by {a}.s desc)",
            f"list({a}.n order by {a}.n nulls last)",
            f"approx_count_distinct({a}.{self.one('k', 's', 'n')})",
            f"count(*) filter (where {self.condition(a, deep=False)})",
            f"sum({a}.n) filter (where {self.condition(a, deep=False)})",
            f"count(distinct {a}.s) filter (where {a}.n > 0)",
            f"max({a}.n) - min({a}.n)",
            f"sum({a}.n) * 2 + count(*)",
            f"arg_max({a}.n, {a}.n)",
        ]
        if not self.joined:
            choices += [
                f"string_agg({a}.s, '')",
                f"first({a}.n)",
                f"any_value({a}.s)",
                f"list({a}.d)",
                f"approx_quantile({a}.n, 0.5)",
            ]
        return self.one(*choices)

    # --- Sources with an alias q that has t's columns

    def source(self):
        kind = self.random.random()
        if kind < 0.5:
            return "t as q"
        if kind < 0.6:
            return f"(select * from t where {self.condition('t', deep=False)}) q"
        if kind < 0.65:
            return "(select k, n, b, x, d, f, s, day, ts, n + 1 as n2 from t) as q"
        self.joined = True
        other = self.one("u", "v")
        how = self.one("join", "left join", "inner join")
        on = self.one("q.k = o.k", "o.k = q.k and q.n > o.m", "q.k = o.k and o.m > 0")
        on = on if other == "u" or self.chance(0.3) else "q.n = o.m"
        return self.one(
            f"t q {how} {other} o on {on}",
            f"t q {how} (select k, m from {other} where m > -1) o on {on}",
            f"t q left join (select k, max(m) as m from {other} group by k) o on {on}",
            f"{other} o {self.one('join', 'right join')} t q on {on}",
            f"t q semi join {other} o on {on}",
            f"t q anti join {other} o on {on}",
            f"t q full join {other} o on q.k = o.k",
            "t q join t o on q.k = o.k and q.n = o.n and o.f",
            f"t q, {other} o where {on}" if False else "t q cross join (select 1 as m, 'k' as k) o",
        )

    # --- Statements

    def rows(self):
        source = self.source()
        items = [f"{self.scalar()} as c{at}" for at in range(self.random.randrange(1, 4))]
        text = f"select {', '.join(items)} from {source}{self.where()}"
        return self.ending(text)

    def ending(self, text):
        kind = self.random.random()
        if kind < 0.4:
            self.ordered = True
            way = self.one("", " desc", " nulls first", " desc nulls last")
            text += f" order by all{way}"
            if self.chance(0.7):
                text += f" limit {self.random.randrange(0, 9)}"
                text += self.one("", f" offset {self.random.randrange(4)}")
        elif kind < 0.5 and not self.joined:
            text += f" limit {self.random.randrange(1, 9)}"
        return text

    def first_rows(self):
        hidden = self.one("q.n desc", "q.n + 1", "q.s, q.n", "length(q.s) desc nulls last")
        self.ordered = True
        every = "q.k, q.n, q.b, q.x, q.d, q.f, q.s, q.day, q.ts"
        text = f"select q.k, q.n as n2, q.s from t q{self.where()} order by {hidden}, {every}"
        return text + self.one("", " limit 5", " limit 3 offset 2")

    def star(self):
        text = (
            self.one("select *", "select q.*", "select * exclude (b)") + f" from t q{self.where()}"
        )
        return self.ending(text)

    def distinct(self):
        source = self.source()
        items = [f"{self.scalar()} as c{at}" for at in range(self.random.randrange(1, 3))]
        text = f"select distinct {', '.join(items)} from {source}{self.where()}"
        if self.chance(0.5):
            self.ordered = True
            text += self.one(" order by all", " order by all limit 4")
        return text

    def grouped(self):
        source = self.source()
        keys = [self.scalar() for _ in range(self.random.randrange(0, 3))]
        rolled = len(keys) == 2 and self.chance(0.2)
        # What follows the order of rows is then worked out from groups.
        self.joined |= rolled
        items = [f"{key} as g{at}" for at, key in enumerate(keys)]
        values = [self.aggregate() for _ in range(self.random.randrange(1, 4))]
        items += [f"{value} as a{at}" for at, value in enumerate(values)]
        text = f"select {', '.join(items)} from {source}{self.where()}"
        if keys:
            places = ", ".join(str(at + 1) for at in range(len(keys)))
            names = ", ".join(f"g{at}" for at in range(len(keys)))
            by = self.one(places, names, ", ".join(keys), "all")
            if rolled:
                by = f"rollup ({', '.join(keys)})"
            text += f" group by {by}"
        if self.chance(0.3):
            text += f" having {self.one('count(*) > 1', 'max(q.n) > 0', 'a0 is not null')}"
        if keys and self.chance(0.4):
            self.ordered = True
            text += " order by all" + self.one("", " limit 3")
        return text

    def by_key(self):
        values = [self.aggregate("t") for _ in range(2)]
        text = f"select t.k, {values[0]} as a, {values[1]} as b from t group by t.k"
        return self.one(
            text,
            "select count(*), sum(c) from (select k, count(*) as c from t group by k) z",
            "select z.k, z.c, u.m from (select k, count(*) as c from t group by k) z "
            "join u on z.k = u.k",
            f"select max(a), count(b) from ({text}) z",
        )

    def window(self):
        over = self.one("partition by q.k", "partition by q.s", "partition by q.k, q.n")
        every = "q.n, q.b, q.x, q.d, q.f, q.s, q.day, q.ts, q.k"
        function = self.one(
            f"row_number() over ({over} order by {every})",
            f"rank() over ({over} order by q.n)",
            f"sum(q.n) over ({over})",
            f"count(*) over ({over} order by q.n)",
            f"lag(q.n) over ({over} order by {every})",
        )
        text = f"select q.k, q.n, {function} as w from t q{self.where()}"
        if self.chance(0.3):
            return f"select q.k, {function} as w from t q qualify w > 1"
        if self.chance(0.3):
            return f"select w, count(*) from ({text}) z group by w"
        return text

    def cte(self):
        source = f"select k, n, x, s from t q where {self.condition('q', deep=False)}"
        return self.one(
            f"with a as ({source}) select k, count(*), sum(n) from a group by k",
            f"with a as ({source}) select count(*) from a join u on a.k = u.k where m > 0",
            f"with a as ({source}), b as (select s, max(n) as n from a group by s) "
            "select a.k, b.n from a join b on a.s = b.s where a.n = b.n",
            f"with a as materialized ({source}) select x.k, y.n from a x join a y on x.n = y.n",
            "with a(p, q) as (select k, sum(n) from t group by k) select max(q), min(p) from a",
            "with a as (select n, count(*) as c from t group by n) "
            "select * from a where c > (select avg(c) from a)",
            "with recursive r(i) as (select 1 union all select i + 1 from r where i < 4) "
            "select i, count(*) from r join t on t.n = i group by i",
        )

    def union(self):
        first = f"select q.k, q.n from t q{self.where()}"
        second = self.one("select k, m from u", "select w, m from v where m > 0", "select 'z', 7")
        how = self.one("union all", "union", "except", "intersect", "union all by name")
        second = "select k, m as n from u" if "name" in how else second
        return self.one(
            f"{first} {how} {second}",
            f"select n, count(*) from ({first} {how} {second}) z group by n",
            f"select count(distinct z.k) from ({first} {how} {second}) z",
        )

    def odd(self):
        return self.one(
            "select 1 as one, 'x' as two",
            "select * from (values (1, 'a'), (2, 'b')) z(i, j)",
            "select i, count(*) from range(3) r(i) left join t on t.n = i group by i",
            "select (select max(n) from t) as m, (select count(*) from u) as c",
            "select q.k from t q where q.n = (select max(o.n) from t o where o.k = q.k)",
            "select a.n from t a, u b where a.k = b.k and b.m = 1",
            "select upper(s) as s, count(*) from t group by s",
            "select -n as n, count(*) from t group by n order by n",
            "select -n as n, count(*) from t group by n having n > 1",
            "select distinct on (k) k, n from t order by k, n nulls first",
            "select n, n from t where n > 3",
            "select count(*) from (select n, n from t)",
            "select sum(n) over () from t",
            "select k, sum(sum(n)) over () as w from t group by k",
            "select grouping(s), s, count(*) from t group by cube (s)",
            "select count(*) from t join u using (k) join v using (k)",
            "select t.k, u.k from t full join u on t.k = u.k",
            "select min(columns(*)) from t",
            "select q from (select k, n from t) q",
            "select unnest([n, 1]) as z from t",
            "select z from t, unnest([t.n, t.n + 1]) as x(z)",
            "select s, n from t where n + 1 = 2 limit 3",
            "select sum(n) from t where false",
            "select n, count(*) from t where false group by n",
            "select case when count(*) > 3 then 'many' else 'few' end as c from t",
        )

    def statement(self):
        made = [self.grouped] * 9 + [self.rows] * 5 + [self.first_rows, self.star] * 2
        made += [self.distinct] * 2 + [self.by_key] * 2 + [self.window] * 2
        made += [self.cte] * 2 + [self.union] * 2 + [self.odd] * 2
        return self.random.choice(made)()
