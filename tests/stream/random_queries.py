# SPDX-License-Identifier: Apache-2.0
"""Random topics, random records for them, random continuous queries over them.

Every query is made as two texts: the one that Leat is given, and one for an oracle outside of Leat (the duckdb package over
tables that hold what was produced), in which windows, late rows and lookups are spelled out as the documents describe them:

* windows are plain arithmetic on the event time;
* each row of a topic's table knows the watermark when it was produced (`w_at`), which tells whether it was late;
* the work is cut into phases. Keyed topics change only between them, so each row knows by its phase which version of a
  keyed row it was joined with: the tables of keyed topics hold all versions with the phases of their validity.

Values are chosen so that answers are exact: floats are multiples of 1/8, ties are broken by a column without ties.
"""
import base64
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

BASE = datetime(2026, 11, 1, 12, 0, tzinfo=timezone.utc)
DELAY_S = 5

SQL_TYPES = {"bool": "BOOLEAN", "small": "SMALLINT", "int": "INT", "big": "BIGINT", "huge": "HUGEINT", "real": "REAL",
             "float": "DOUBLE PRECISION", "dec": "NUMERIC(12,2)", "text": "TEXT", "blob": "BYTEA", "date": "DATE", "time": "TIME",
             "ts": "TIMESTAMP", "tstz": "TIMESTAMPTZ", "uuid": "UUID", "ival": "INTERVAL", "list": "TEXT[]",
             "struct": "STRUCT(a INT, b TEXT)"}
ORACLE_TYPES = {**SQL_TYPES, "float": "DOUBLE", "blob": "BLOB"}

TEXTS = ["", "a", "b", "A", "é", "é", "ß", "日本語", "🙂👍🏽", "שלום", "a'b", 'q"uote', "back\\slash", "tab\there", "line\nbreak",
         " lead", "trail ", "%", "_", "NULL", "null", "0", "12", "-7", "1e3", "x" * 40, "Ω" * 13, "\ufeff", "\u200d", "a\u0301", "I", "İ", "ſ"]
ODD_BIG = [0, 1, -1, 2**63 - 1, -2**63, 2**53 + 1, -2**53 - 1, 2**31, -2**31 - 1, 255]


@dataclass
class Column:
    name: str
    kind: str
    low: bool = False    # few different values: fit to group by
    exact: bool = True   # False: a float that comes out of sums in some order
    pool: list = field(default_factory=list)
    not_null: bool = False


@dataclass
class Topic:
    name: str
    columns: list
    partitions: int = 1
    keys: list = field(default_factory=list)  # names; PRIMARY KEY

    def ddl(self):
        parts = []
        for c in self.columns:
            null = " NOT NULL" if c.not_null else ""
            parts.append(f"{c.name} {SQL_TYPES[c.kind]}{null}")
        if self.keys:
            parts.append(f"PRIMARY KEY ({', '.join(self.keys)})")
            return f"CREATE TOPIC {self.name} ({', '.join(parts)})"
        parts.append(f"WATERMARK FOR ts AS ts - INTERVAL '{DELAY_S} seconds'")
        return (f"CREATE TOPIC {self.name} ({', '.join(parts)}) "
                f"WITH (partitions = {self.partitions}, idle_timeout = '1 hour')")


# ---- values ------------------------------------------------------------------------------------------------------------


def random_value(rng, kind):
    """A value as it stands in JSON."""
    if kind == "bool":
        return rng.random() < 0.6
    if kind == "small":
        return rng.choice([rng.randrange(-20, 20), rng.randrange(-32768, 32768), 32767, -32768])
    if kind == "int":
        return rng.choice([rng.randrange(-50, 50), rng.randrange(-10**6, 10**6), 2**31 - 1, -2**31])
    if kind == "big":
        return rng.choice([rng.choice(ODD_BIG), rng.randrange(-2**63, 2**63), rng.randrange(-100, 100)])
    if kind == "huge":
        return rng.choice([rng.randrange(-10**30, 10**30), rng.randrange(-5, 5), 2**64, -2**64])
    if kind in ("real", "float"):
        return rng.choice([rng.randrange(-400, 400) / 8, float(rng.randrange(-9, 9)), 0.0, rng.randrange(-2**20, 2**20) / 8])
    if kind == "dec":
        return rng.choice([rng.randrange(-10000, 10000) / 100, rng.randrange(-10**9, 10**9), 0, 0.01])
    if kind == "text":
        return rng.choice(TEXTS)
    if kind == "blob":
        return base64.b64encode(bytes(rng.randrange(256) for _ in range(rng.choice([0, 1, 3, 20])))).decode()
    if kind == "date":
        return (BASE + timedelta(days=rng.randrange(-4000, 400))).strftime("%Y-%m-%d")
    if kind == "time":
        return (BASE + timedelta(microseconds=rng.randrange(86400 * 10**6))).strftime("%H:%M:%S.%f")
    if kind in ("ts", "tstz"):
        return stamp(BASE + timedelta(microseconds=rng.randrange(-10**12, 10**9)), kind)
    if kind == "uuid":
        return "-".join("%0*x" % (n, rng.randrange(16**n)) for n in (8, 4, 4, 4, 12))
    if kind == "ival":
        return rng.choice(["1 day", "02:03:04", "3 days 00:00:01.5", "-00:10:00", "00:00:00"])
    if kind == "list":
        return [rng.choice(TEXTS + [None]) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
    assert kind == "struct"
    return {"a": rng.choice([None, rng.randrange(9)]), "b": rng.choice(TEXTS)}


def stamp(at, kind="tstz"):
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + ("Z" if kind == "tstz" else "")


def column_value(rng, column):
    if not column.not_null and rng.random() < 0.12:
        return None
    return rng.choice(column.pool) if column.pool else random_value(rng, column.kind)


# ---- schemas ------------------------------------------------------------------------------------------------------------


def make_column(rng, name, kind, low=None):
    low = rng.random() < 0.5 if low is None else low
    if kind in ("bool",):
        return Column(name, kind, True)
    column = Column(name, kind, low)
    if low:
        column.pool = [random_value(rng, kind) for _ in range(rng.randrange(2, 7))]
    return column


def make_schema(rng):
    """Two append topics and two keyed ones; the first keyed one by a TEXT, the second by two columns."""
    topics = []
    shared = [make_column(rng, "k", "text", True), make_column(rng, "n", "int", True)]
    kinds = [k for k in SQL_TYPES]
    for number in range(2):
        columns = [Column("id", "big", not_null=True), Column("ts", "tstz", not_null=number == 0), *shared]
        for i, kind in enumerate(["int", "float", "text", "bool"] + rng.sample(kinds, rng.randrange(3, 9))):
            columns.append(make_column(rng, f"c{i}", kind))
        topics.append(Topic(f"ev{number}", columns, partitions=rng.choice([1, 2, 3, 4])))
    simple = [k for k in kinds if k not in ("list", "struct")]
    for number, keys in enumerate([["k"], ["n", "k"]]):
        columns = [Column(c.name, c.kind, True, pool=c.pool + [random_value(rng, c.kind)], not_null=True)
                   for key in keys for c in shared if c.name == key]
        for i, kind in enumerate(["text", "int", "float"] + rng.sample(simple, 2)):
            columns.append(make_column(rng, f"r{i}", kind))
        topics.append(Topic(f"ref{number}", columns, keys=keys))
    return topics


# ---- expressions -----------------------------------------------------------------------------------------------------------


class Scope:
    """The columns that an expression may name."""

    def __init__(self, rng, columns, prefix=""):
        self.rng = rng
        self.columns = columns
        self.prefix = prefix

    def of(self, kinds, low=None, exact=True):
        return [c for c in self.columns
                if c.kind in kinds and (low is None or c.low or not low) and (c.exact or not exact)]

    def pick(self, kinds, low=None, exact=True):
        found = self.of(kinds, low, exact)
        return self.rng.choice(found) if found else None

    def int_expr(self, depth=1):
        """An integer that no arithmetic here can push over the edge."""
        rng = self.rng
        column = self.pick(("small", "int", "count", "big"))
        base = column.name if column else str(rng.randrange(9))
        if column and column.kind == "big":
            base = rng.choice([f"({base} % 1000)", f"({base} // 7 % 100)", f"({base} & 255)", f"CAST({base} % 97 AS INT)"])
        if depth <= 0 or rng.random() < 0.3:
            return base
        text = self.pick(("text",))
        more = [f"({base} % {rng.randrange(2, 9)})", f"coalesce({base}, {rng.randrange(9)})", f"nullif({base}, {rng.randrange(5)})",
                f"(({base} % 1000) * {rng.randrange(1, 9)} - {rng.randrange(99)})", f"abs({base} % 100)",
                f"CASE WHEN {self.bool_expr(depth - 1)} THEN {base} ELSE {self.int_expr(depth - 1)} END",
                f"greatest({base}, {self.int_expr(depth - 1)})", f"CAST({self.bool_expr(depth - 1)} AS INT)",
                f"sign({base})", f"({base} // {rng.randrange(2, 9)})", f"({base} = {rng.randrange(9)})::INT"]
        if text:
            more += [f"length({text.name})", f"TRY_CAST({text.name} AS INT)", f"strpos({text.name}, 'a')", f"ascii({text.name})",
                     f"CAST(hash({text.name}) % 10 AS INT)"]
        time = self.pick(("tstz", "ts"))
        if time:
            more += [f"CAST(date_part('minute', {time.name}) AS INT)", f"(epoch_us({time.name}) % 1000)"]
        items = self.pick(("list",))
        if items:
            more.append(f"len({items.name})")
        struct = self.pick(("struct",))
        if struct:
            more.append(f"{struct.name}.a")
        return rng.choice(more)

    def bool_expr(self, depth=1):
        rng = self.rng
        options = []
        column = rng.choice(self.columns) if self.columns else None
        if column and column.exact:
            options += [f"{column.name} IS NULL", f"{column.name} IS NOT NULL"]
        flag = self.pick(("bool",))
        if flag:
            options += [flag.name, f"NOT {flag.name}", f"{flag.name} IS TRUE"]
        number = self.pick(("small", "int", "count", "big", "dec", "float", "real", "huge"))
        if number:
            options += [f"{number.name} > {rng.randrange(-9, 30)}", f"{number.name} BETWEEN {rng.randrange(-50, 0)} AND {rng.randrange(60)}",
                        f"{number.name} <> {rng.randrange(-3, 4)}", f"{number.name} IN (0, 1, {rng.randrange(-9, 9)})"]
        text = self.pick(("text",))
        if text:
            options += [f"{text.name} LIKE '%a%'", f"{text.name} IN ('a', 'b', '日本語', '')", f"{text.name} > 'a'",
                        f"starts_with({text.name}, 'a')", f"{text.name} IS DISTINCT FROM 'b'", f"{text.name} ILIKE 'A%'"]
        if depth > 0:
            a, b = self.bool_expr(depth - 1), self.bool_expr(depth - 1)
            options += [f"({a} AND {b})", f"({a} OR {b})", f"NOT ({a})", f"coalesce({a}, {b})", f"{self.int_expr(0)} % 3 = 1"]
        return f"({rng.choice(options)})" if options else "(1 = 1)"

    def text_expr(self, depth=1):
        rng = self.rng
        column = self.pick(("text",))
        if column is None:
            return f"CAST({self.int_expr(depth)} AS TEXT)", False
        t, low = column.name, column.low
        return rng.choice([t, f"upper({t})", f"lower({t})", f"left({t}, 2)", f"replace({t}, 'a', 'ä')", f"({t} || '-x')",
                           f"concat_ws('/', {t}, 'z')", f"coalesce({t}, 'none')", f"nullif({t}, 'a')", f"trim({t})", f"reverse({t})",
                           f"substring({t}, 1, 3)", f"md5({t})", f"CASE WHEN {self.bool_expr(0)} THEN {t} END",
                           f"lpad({t}, 5, '*')", f"regexp_replace({t}, '[aeiou]', '_')"]), low

    def float_expr(self):
        column = self.pick(("float", "real", "dec"))
        if column is None:
            return f"CAST({self.int_expr(0)} AS DOUBLE) / 4"
        x = f"CAST({column.name} AS DOUBLE)" if column.kind != "float" else column.name
        if column.kind == "dec":
            return f"(round({x}) / 8)"
        return self.rng.choice([x, f"({x} * 0.5::DOUBLE)", f"({x} + 1)", f"coalesce({x}, 0.25)", f"abs({x})", f"-{x}"])

    def group_expr(self):
        """(text, kind) of something with few values."""
        rng = self.rng
        roll = rng.random()
        column = self.pick(("bool", "small", "int", "big", "huge", "dec", "text", "date", "time", "ts", "tstz", "uuid", "blob", "float", "real"),
                           low=True)
        if column and roll < 0.5:
            return column.name, column.kind
        if roll < 0.65:
            text, low = self.text_expr()
            return (text, "text") if low else (f"left({text}, 1)", "text")
        if roll < 0.8:
            return f"({self.int_expr()} % {rng.randrange(2, 8)})", "count"
        if roll < 0.9:
            return self.bool_expr(), "bool"
        time = self.pick(("tstz", "ts"))
        if time:
            return rng.choice([(f"date_trunc('minute', {time.name})", time.kind), (f"CAST({time.name} AS DATE)", "date"),
                               (f"strftime({time.name}, '%S')", "text")])
        return f"({self.int_expr()} % 3)", "count"

    def scalar_expr(self):
        """(text, kind) of anything for a row that is kept."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.3:
            column = rng.choice([c for c in self.columns if c.kind not in ("list", "struct") and c.exact] or [None])
            if column:
                return column.name, column.kind
        if roll < 0.5:
            return self.int_expr(2), "count"
        if roll < 0.7:
            return self.text_expr()[0], "text"
        if roll < 0.85:
            return self.float_expr(), "float"
        return self.bool_expr(2), "bool"

    def aggregate(self, updating):
        """(text, kind, exact)"""
        rng = self.rng
        flt = f" FILTER (WHERE {self.bool_expr()})" if rng.random() < 0.25 else ""
        number = self.int_expr()
        ordered = self.pick(("bool", "small", "int", "count", "big", "huge", "real", "float", "dec", "text", "blob", "date", "time", "ts",
                             "tstz", "uuid"))
        any_column = rng.choice([c for c in self.columns if c.exact and c.kind not in ("list", "struct")] or [None])
        options = [("count(*)" + flt, "count", True), (f"sum({number}){flt}", "huge", True), (f"avg({number}){flt}", "float", False),
                   (f"count_if({self.bool_expr()}){flt}", "huge", True), (f"bool_and({self.bool_expr()}){flt}", "bool", True),
                   (f"bool_or({self.bool_expr()}){flt}", "bool", True), (f"sum({self.float_expr()}){flt}", "float", False),
                   (f"avg({self.float_expr()}){flt}", "float", False), (f"count(DISTINCT {number}){flt}", "count", True),
                   (f"sum(DISTINCT {number}){flt}", "huge", True), (f"min({self.text_expr()[0]}){flt}", "text", True),
                   (f"max({number}){flt}", "count", True), (f"min({self.float_expr()}){flt}", "float", True),
                   (f"{rng.choice(['stddev', 'stddev_pop', 'var_samp', 'var_pop', 'variance', 'stddev_samp'])}({number}){flt}", "float", False),
                   (f"count(DISTINCT {self.text_expr()[0]}){flt}", "count", True), (f"coalesce(sum({number}){flt}, 0) * 2 + count(*)", "huge", True)]
        if any_column:
            options += [(f"count({any_column.name}){flt}", "count", True), (f"count(DISTINCT {any_column.name}){flt}", "count", True)]
        if ordered:
            options += 2 * [(f"{rng.choice(['min', 'max'])}({ordered.name}){flt}", ordered.kind, True)]
        for kind, kept in (("big", "huge"), ("dec", "decsum"), ("huge", "huge")):
            column = self.pick((kind,))
            if column:
                options += [(f"sum({column.name}){flt}", kept, True), (f"avg({column.name}){flt}", "float", False)]
        if not updating:
            options.append((f"{rng.choice(['bit_and', 'bit_or', 'bit_xor'])}({number}){flt}", "count", True))
            if any(c.name.endswith("id") and c.kind == "big" for c in self.columns):
                by = next(c.name for c in self.columns if c.name.endswith("id") and c.kind == "big")
                what = ordered.name if ordered else number
                kind = ordered.kind if ordered else "count"
                options += 2 * [(f"{rng.choice(['arg_min', 'arg_max', 'max_by', 'min_by'])}({what}, {by}){flt}", kind, True)]
        return rng.choice(options)


# ---- queries ---------------------------------------------------------------------------------------------------------------


@dataclass
class Query:
    leat: str
    oracle: str
    columns: list
    updating: bool = True
    options: dict = field(default_factory=dict)  # WITH (...)
    emit: str = ""
    lookup: bool = False     # what it gives depends on when rows were joined
    drops: bool = False      # what it gives depends on what was late
    retention_s: int = 0     # windows that are older may be gone
    time: str = ""           # its column with the window_start or event time, when windows go away
    size_s: int = 0
    early: bool = False      # must be made before there are rows
    hazard: bool = False     # as a batch it fails
    timed: bool = False      # rows without a time are not kept
    bases: set = field(default_factory=set)


class Generator:
    def __init__(self, rng, topics):
        self.rng = rng
        self.topics = {t.name: t for t in topics}
        self.views = {}  # name → Query, those that Leat took

    # ---- relations: (leat, oracle, columns, updating, query flags)

    def topic(self):
        name = self.rng.choice(["ev0", "ev1"])
        topic = self.topics[name]
        return name, f"(SELECT * FROM {name} WHERE ⟨start⟩)", topic.columns

    def window(self, name, oracle, columns):
        rng = self.rng
        size = rng.choice([1, 2, 5, 10, 10, 30, 60])
        span = f"INTERVAL '{size} seconds'"
        offset = rng.choice([0, 0, 0, 3])
        extra = f", INTERVAL '{offset} seconds'" if offset else ""
        us, off = size * 10**6, offset * 10**6
        def floor(step):
            return f"(floor((epoch_us(ts) - {off}) / {step}.0)::BIGINT * {step} + {off})"
        if rng.random() < 0.55:
            leat = f"tumble({name}, ts, {span}{extra})"
            start = f"SELECT *, {floor(us)} AS w_us FROM {oracle}"
        else:
            slide = rng.choice([s for s in (1, 2, 3, 4, 5, 10, 20) if s <= size and size / s <= 12])
            step = slide * 10**6
            leat = f"hop({name}, ts, INTERVAL '{slide} seconds', {span}{extra})"
            start = (f"SELECT * FROM (SELECT *, unnest([{floor(step)} - i * {step} for i in range(0, {(us + step - 1) // step})]) AS w_us "
                     f"FROM {oracle}) WHERE w_us + {us} > epoch_us(ts)")
        text = (f"(SELECT *, make_timestamptz(w_us) AS window_start, make_timestamptz(w_us + {us}) AS window_end FROM ({start}) WHERE ts IS NOT NULL)")
        return leat, text, columns + [Column("window_start", "tstz", True), Column("window_end", "tstz", True)], size

    def lookup(self, leat, oracle, columns, prefix="r_"):
        """Joins a relation with a keyed topic; all columns get names of their own."""
        rng = self.rng
        topic = self.topics[rng.choice(["ref0", "ref1"])]
        kind = rng.choice(["JOIN", "LEFT JOIN"])
        asked = {"k": ["e.k", "e.k", "e.c2", "coalesce(e.k, 'a')", "lower(e.k)"], "n": ["e.n", "e.n", "(e.n % 7)", "e.c0"]}
        on = " AND ".join(rng.choice([f"{what} = r.{key}", f"r.{key} = {what}"]) for key in topic.keys
                          for what in [rng.choice(asked[key])])
        rest = [c for c in topic.columns if c.name not in topic.keys]
        if rng.random() < 0.3:
            scope = Scope(rng, [Column(f"r.{c.name}", c.kind, c.low) for c in rest])
            on += f" AND {scope.bool_expr(0)}"
        if rng.random() < 0.2:
            on += f" AND {Scope(rng, [Column('e.id', 'big')]).bool_expr(0)}"
        version = "AND greatest(e.phase, ⟨born⟩) >= r.valid_from AND greatest(e.phase, ⟨born⟩) < r.valid_to"
        extra = [Column(f"{prefix}{c.name}", c.kind, c.low) for c in topic.columns]
        chosen = ", ".join(f"r.{c.name} AS {prefix}{c.name}" for c in topic.columns)
        return (f"(SELECT e.*, {chosen} FROM {leat} e {kind} {topic.name} r ON {on})",
                f"(SELECT e.*, {chosen} FROM {oracle} e {kind} {topic.name} r ON {on} {version})", columns + extra)

    def where(self, columns, chance=0.5):
        return f" WHERE {Scope(self.rng, columns).bool_expr()}" if self.rng.random() < chance else ""

    # ---- shapes

    def grouped(self, leat, oracle, columns, updating, must=(), late="", groups_max=2, distinct_ok=True):
        """SELECT groups, aggregates FROM relation GROUP BY groups."""
        rng = self.rng
        scope = Scope(rng, [c for c in columns if c.exact])
        groups = [(name, "tstz") for name in must] + [scope.group_expr() for _ in range(rng.randrange(0, groups_max + 1))]
        where = self.where(scope.columns, 0.4)
        if distinct_ok and groups and rng.random() < 0.12:
            names = [f"g{i}" for i in range(len(groups))]
            items = ", ".join(f"{text} AS {name}" for (text, _), name in zip(groups, names))
            out = [Column(name, kind, True) for (_, kind), name in zip(groups, names)]
            both = f"SELECT DISTINCT {items} FROM "
            return both + leat + where, both + oracle + self.with_late(where, late), out
        aggregates = [scope.aggregate(updating) for _ in range(rng.randrange(1, 6))]
        items = [f"{text} AS g{i}" for i, (text, _) in enumerate(groups)] + [f"{text} AS a{i}" for i, (text, _, _) in enumerate(aggregates)]
        out = [Column(f"g{i}", kind, True) for i, (_, kind) in enumerate(groups)]
        out += [Column(f"a{i}", kind, kind == "count", exact) for i, (_, kind, exact) in enumerate(aggregates)]
        tail = f" GROUP BY {', '.join(text if rng.random() < 0.5 else str(i + 1) for i, (text, _) in enumerate(groups))}" if groups else ""
        if rng.random() < 0.2:
            tail += rng.choice([" HAVING count(*) > 2", " HAVING count(*) % 2 = 0", f" HAVING {scope.aggregate(updating)[0]} IS NOT NULL",
                                f" HAVING bool_or({scope.bool_expr()})", f" HAVING sum({scope.int_expr()}) > 10"])
        head = f"SELECT {', '.join(items)} FROM "
        if rng.random() < 0.15:
            return f"WITH q AS (SELECT * FROM {leat}{where}) {head}q{tail}", head + oracle + self.with_late(where, late) + tail, out
        return head + leat + where + tail, head + oracle + self.with_late(where, late) + tail, out

    def with_late(self, where, late):
        return where if not late else (f"{where} AND {late}" if where else f" WHERE {late}")

    def row_query(self, leat, oracle, columns, key, keep=""):
        rng = self.rng
        scope = Scope(rng, [c for c in columns if c.exact])
        chosen = [scope.scalar_expr() for _ in range(rng.randrange(1, 6))]
        items = [f"{name} AS {name}" for name in key] + [f"{text} AS x{i}" for i, (text, _) in enumerate(chosen)]
        out = [Column(name, "big" if name.endswith("id") else "tstz") for name in key]
        out += [Column(f"x{i}", kind) for i, (_, kind) in enumerate(chosen)]
        where = self.where(scope.columns, 0.8)
        head = f"SELECT {', '.join(items)} FROM "
        return head + leat + where, head + oracle + self.with_late(where, keep), out

    def source(self, windowed, joined=0.3):
        """A relation over an append topic: perhaps in a window, perhaps joined, perhaps through a subquery."""
        rng = self.rng
        leat, oracle, columns = self.topic()
        size, lookup = 0, False
        if rng.random() < 0.2:
            where = self.where(columns, 1)
            leat, oracle = f"(SELECT * FROM {leat}{where})", f"(SELECT * FROM {oracle}{where})"
        if windowed:
            leat, oracle, columns, size = self.window(leat, oracle, columns)
        if rng.random() < joined:
            leat, oracle, columns = self.lookup(leat, oracle, columns)
            lookup = True
            if rng.random() < 0.25:
                leat, oracle, columns = self.lookup(leat, oracle, columns, "s_")
        items = next((c for c in columns if c.kind == "list"), None)
        if items and not windowed and rng.random() < 0.3:
            both = f"(SELECT *, unnest({items.name}) AS item FROM "
            leat, oracle = f"{both}{leat})", f"{both}{oracle})"
            columns = columns + [Column("item", "text", True)]
        return leat, oracle, columns, size, lookup

    def view_over(self, wanted):
        names = [n for n, q in self.views.items() if wanted(q)]
        if not names:
            return None, None
        name = self.rng.choice(names)
        return name, self.views[name]

    def query(self):
        """One random query."""
        rng = self.rng
        shape = rng.choices(["group", "window", "late", "closed", "rows", "union", "nested", "view", "view_rows", "keyed", "retained", "hazard"],
                            [5, 5, 2, 3, 2, 2, 3, 5, 1, 2, 1, 1])[0]
        return getattr(self, f"make_{shape}")()

    def make_group(self):
        leat, oracle, columns, _, lookup = self.source(False)
        return Query(*self.grouped(leat, oracle, columns, False), lookup=lookup)

    def make_hazard(self):
        """An expression that some rows cannot be put into: these go to quarantine, the others count."""
        windowed = self.rng.random() < 0.4
        leat, oracle, columns, size, lookup = self.source(windowed, joined=0)
        column = self.rng.choice([c for c in columns if c.kind in ("text", "int", "small")])
        bad, fails = {"text": (f"CAST({column.name} AS INT)", f"{column.name} IS NOT NULL AND TRY_CAST({column.name} AS INT) IS NULL"),
                      "int": (f"CAST({column.name} AS SMALLINT)", f"abs({column.name}::BIGINT) > 32767 AND {column.name} <> -32768"),
                      "small": (f"CAST({column.name} AS TINYINT)", f"{column.name} NOT BETWEEN -128 AND 127")}[column.kind]
        leat, oracle = f"(SELECT *, {bad} AS hz FROM {leat})", (f"(SELECT *, TRY_CAST({column.name} AS BIGINT) AS hz FROM {oracle} "
                                                               f"WHERE ({fails}) IS NOT TRUE)")
        scope = Scope(self.rng, [c for c in columns if c.exact])
        groups = (["window_start"] if windowed else []) + [scope.group_expr()[0] for _ in range(self.rng.randrange(2))]
        items = [f"{g} AS g{i}" for i, g in enumerate(groups)] + ["count(*) AS a0", "sum(hz) AS a1", "max(hz) AS a2"]
        out = [Column(f"g{i}", "ts", True) for i in range(len(groups))] + [Column("a0", "count"), Column("a1", "huge"), Column("a2", "count")]
        tail = f" GROUP BY {', '.join(str(i + 1) for i in range(len(groups)))}" if groups else ""
        both = f"SELECT {', '.join(items)} FROM "
        return Query(both + leat + tail, both + oracle + tail, out, lookup=lookup, hazard=True, size_s=size)

    def make_window(self):
        leat, oracle, columns, size, lookup = self.source(True)
        must = self.rng.choice([["window_start"], ["window_end"], ["window_start", "window_end"]])
        query = Query(*self.grouped(leat, oracle, columns, False, must), lookup=lookup, size_s=size)
        return query

    def late_option(self, options):
        late = self.rng.choice(options)
        grace = 0
        if late == "grace":
            grace = self.rng.choice([1, 3, 10])
            late = f"grace {grace} seconds"
        return late, grace

    def make_late(self):
        leat, oracle, columns, size, lookup = self.source(True)
        late, grace = self.late_option(["drop", "grace"])
        keep = f"window_end > w_at - INTERVAL '{grace} seconds'"
        must = self.rng.choice([["window_start"], ["window_end"], ["window_start", "window_end"]])
        return Query(*self.grouped(leat, oracle, columns, False, must, keep), lookup=lookup, drops=True, early=True,
                     options={"late": late}, size_s=size)

    def make_closed(self):
        leat, oracle, columns, size, lookup = self.source(True)
        late, grace = self.late_option(["drop", "", "grace", "reemit"])
        keep = f"window_end <= ⟨now⟩ - INTERVAL '{grace} seconds'"
        if late != "reemit":
            keep += f" AND window_end > w_at - INTERVAL '{grace} seconds'"
        must = self.rng.choice([["window_start"], ["window_end"], ["window_start", "window_end"]])
        return Query(*self.grouped(leat, oracle, columns, False, must, keep), lookup=lookup, drops=True,
                     early=True, emit=" EMIT ON WINDOW CLOSE", options={"late": late} if late else {}, size_s=size, updating=late == "reemit")

    def make_retained(self):
        leat, oracle, columns, size, lookup = self.source(True)
        query = Query(*self.grouped(leat, oracle, columns, False, ["window_start"], distinct_ok=False), lookup=lookup, size_s=size)
        query.retention_s = self.rng.choice([30, 120])
        query.options = {"retention": f"{query.retention_s} seconds"}
        query.time, query.early, query.drops = "g0", True, True
        return query

    def make_rows(self):
        leat, oracle, columns, _, lookup = self.source(False)
        return Query(*self.row_query(leat, oracle, columns, ["id", "ts"], "ts IS NOT NULL"), lookup=lookup, updating=False, timed=True,
                     options={"retention": "3000 days"})

    def make_union(self):
        rng = self.rng
        parts, lookup = [], False
        kinds = rng.sample(["count", "text", "float", "bool"], rng.randrange(2, 5))
        for _ in range(rng.randrange(2, 4)):
            leat, oracle, columns, _, joined = self.source(False)
            lookup |= joined
            scope = Scope(rng, columns)
            made = {"count": lambda s=scope: f"CAST({s.int_expr()} AS BIGINT)", "text": lambda s=scope: s.text_expr()[0],
                    "float": lambda s=scope: f"CAST({s.float_expr()} AS DOUBLE)", "bool": lambda s=scope: s.bool_expr()}
            items = ", ".join(f"{made[kind]()} AS u{i}" for i, kind in enumerate(kinds))
            where = self.where(columns)
            parts.append((f"SELECT {items} FROM {leat}{where}", f"SELECT {items} FROM {oracle}{where}"))
        leat, oracle = ("(" + " UNION ALL ".join(p[i] for p in parts) + ")" for i in (0, 1))
        columns = [Column(f"u{i}", kind, kind == "bool") for i, kind in enumerate(kinds)]
        return Query(*self.grouped(leat, oracle, columns, False), lookup=lookup)

    def make_nested(self):
        """An aggregate over an aggregate."""
        windowed = self.rng.random() < 0.4
        leat, oracle, columns, size, lookup = self.source(windowed)
        inner = self.grouped(leat, oracle, columns, False, ["window_start"] if windowed else [])
        if self.rng.random() < 0.25:
            other = self.source(False)
            more = self.grouped(*other[:3], False)
            a = next((c for c in inner[2] if c.kind == "count" and c.exact), None)
            b = next((c for c in more[2] if c.kind == "count" and c.exact), None)
            if a and b:
                union = [f"(SELECT CAST({a.name} AS BIGINT) AS u FROM ({inner[i]}) UNION ALL SELECT CAST({b.name} AS BIGINT) FROM ({more[i]}))" for i in (0, 1)]
                return Query(*self.grouped(*union, [Column("u", "count", True)], True), lookup=lookup or other[4])
        return Query(*self.grouped(f"({inner[0]})", f"({inner[1]})", inner[2], True), lookup=lookup, size_s=size)

    def make_view(self):
        name, base = self.view_over(lambda q: not q.retention_s and not q.hazard)
        if base is None:
            return self.make_group()
        leat, oracle = name, f"({base.oracle})"
        columns = base.columns
        if not [c for c in columns if c.exact]:
            return self.make_group()
        query = Query(*self.grouped(leat, oracle, columns, base.updating), lookup=base.lookup, drops=base.drops, early=base.early)
        query.options = {k: v for k, v in base.options.items() if k == "pipeline"}
        query.bases = {name} | base.bases
        return query

    def make_view_rows(self):
        name, base = self.view_over(lambda q: q.updating and not q.retention_s and not q.hazard)
        if base is None or not [c for c in base.columns if c.exact]:
            return self.make_nested()
        leat, oracle, columns = self.row_query(name, f"({base.oracle})", base.columns, [])
        return Query(leat, oracle, columns, lookup=base.lookup, drops=base.drops, early=base.early, bases={name} | base.bases,
                     options={k: v for k, v in base.options.items() if k == "pipeline"})

    def make_keyed(self):
        """Over a keyed topic, whose rows come and go."""
        topic = self.topics[self.rng.choice(["ref0", "ref1"])]
        now = f"(SELECT * FROM {topic.name} WHERE valid_to = 1000000)"
        if self.rng.random() < 0.4:
            leat, oracle, columns = self.row_query(topic.name, now, topic.columns, topic.keys)
            kinds = {c.name: c.kind for c in topic.columns}
            for column in columns:
                column.kind = kinds.get(column.name, column.kind)
            return Query(leat, oracle, columns)
        return Query(*self.grouped(topic.name, now, topic.columns, True))
