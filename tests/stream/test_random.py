# SPDX-License-Identifier: Apache-2.0
"""Random continuous queries over random records against two oracles: the invariant of streaming.

A round makes random topics (random_queries.py), then goes through phases. In each, records come in bursts over several
partitions: out of order, late, doubled, half a per cent of them broken, while the worker is killed or everything restarted.
Views are made before there are rows, in the middle (they fill beside the running ticks), and at the end. Keyed topics
change between phases. At the end of a phase and at moments in between, views are compared with

* the duckdb package over what was produced (random_queries.py tells how it knows what was late and what was joined),
* the same SELECT run by Leat over the topics, where that means the same,
* `leat verify --view`, which works in the middle of everything.

`make test` runs three rounds with fixed seeds, `make soak` 27 more with new ones. To run one again:

    LEAT_TEST_SEED=n make test T=tests/stream/test_random.py
"""
import base64
import collections
import json
import math
import os
import random
import tempfile
import time
from datetime import timedelta
from decimal import Decimal

import duckdb
import psycopg
import pytest
from confluent_kafka import Producer

from random_queries import BASE, DELAY_S, ORACLE_TYPES, Generator, column_value, make_schema, stamp

SCALE = int(os.environ.get("LEAT_TEST_SCALE", "1"))
FIXED = [1, 2, 3]


def seeds():
    """The same three each time; `make soak` goes where nobody has been, in all of its processes the same way."""
    new = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))
    if "LEAT_TEST_SEED" in os.environ:
        return [int(os.environ["LEAT_TEST_SEED"])]
    return [*FIXED, *(new.randrange(10**9) for _ in range(3 * SCALE - len(FIXED)))]


# ---- the oracle outside of Leat ------------------------------------------------------------------------------------------


class Oracle:
    """What was produced, in tables of the duckdb package."""

    def __init__(self, topics):
        self.db = duckdb.connect(config={"threads": "1"})
        self.db.execute("SET TimeZone = 'UTC'")
        self.topics = {t.name: t for t in topics}
        self.rows = {t.name: [] for t in topics}
        self.versions = {t.name: {} for t in topics if t.keys}  # key → the row that is valid
        for topic in topics:
            columns = [f"{c.name} {ORACLE_TYPES[c.kind]}" for c in topic.columns]
            columns += ["valid_from INT", "valid_to INT"] if topic.keys else ["phase INT", "w_at TIMESTAMPTZ"]
            self.db.execute(f"CREATE TABLE {topic.name} ({', '.join(columns)})")

    def append(self, topic, value, phase, w_at):
        self.rows[topic].append({**value, "phase": phase, "w_at": w_at})

    def upsert(self, topic, key, value, phase):
        """@value None deletes the key."""
        old = self.versions[topic].pop(key, None)
        if old is not None:
            old["valid_to"] = phase
        if value is not None:
            row = {**value, "valid_from": phase, "valid_to": 1000000}
            self.versions[topic][key] = row
            self.rows[topic].append(row)

    def load(self):
        """Brings the tables up to what was produced since."""
        for name, rows in self.rows.items():
            topic = self.topics[name]
            if topic.keys:
                self.db.execute(f"DELETE FROM {name}")
                rows = [row for row in rows if row["valid_from"] < row["valid_to"]]
            if not rows:
                continue
            names = [c.name for c in topic.columns] + (["valid_from", "valid_to"] if topic.keys else ["phase", "w_at"])
            kinds = {c.name: c.kind for c in topic.columns}
            with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
                for row in rows:
                    file.write(json.dumps({n: self.text(row.get(n), kinds.get(n)) for n in names}) + "\n")
                file.flush()
                columns = ", ".join(f"{n}: '{self.file_type(kinds.get(n))}'" for n in names)
                items = ", ".join(self.cast(n, kinds.get(n)) for n in names)
                self.db.execute(f"INSERT INTO {name} SELECT {items} FROM read_json('{file.name}', format = 'newline_delimited', "
                                f"columns = {{{columns}}})")
            if not topic.keys:
                rows.clear()

    @staticmethod
    def text(value, kind):
        if value is None or kind in ("list", "struct"):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else repr(value)

    @staticmethod
    def file_type(kind):
        return {"list": "VARCHAR[]", "struct": "STRUCT(a INT, b VARCHAR)"}.get(kind, "VARCHAR")

    @staticmethod
    def cast(name, kind):
        if kind == "blob":
            return f"from_base64({name})"
        if kind is None:
            return f"CAST({name} AS {'TIMESTAMPTZ' if name == 'w_at' else 'INT'})"
        return f"CAST({name} AS {ORACLE_TYPES[kind]})"

    def select(self, sql):
        return self.db.execute(sql).fetchall()


# ---- comparing --------------------------------------------------------------------------------------------------------------

PLAIN = {"small", "int", "big", "huge", "count", "bool", "text", "dec", "decsum"}
FLOATS = {"float", "real"}


def wrapped(query, text):
    """The rows of @text with values that both clients give alike."""
    items = [c.name if c.kind in PLAIN | FLOATS else f"CAST({c.name} AS VARCHAR) AS {c.name}" for c in query.columns]
    return f"SELECT {', '.join(items)} FROM ({text}) AS wrapped"


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-5 if abs(a) < 1e-5 and abs(b) < 1e-5 else 0.0) or (math.isnan(a) and math.isnan(b))
    return a == b and (a is None) == (b is None)


def ordered(query, rows):
    """By exact columns first, so that floats that differ in their last digits stay beside each other."""
    def key(row):
        plain, floats = [], []
        for column, value in zip(query.columns, row):
            if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
                value = f"{Decimal(value).normalize():f}"
            if column.kind in FLOATS:
                floats.append((value is None, value or 0.0))
            else:
                plain.append((value is None, str(value)))
        return plain, floats
    return sorted(rows, key=key)


def difference(query, have, want):
    """None, or the first rows that only one of them has."""
    have, want = ordered(query, have), ordered(query, want)
    if len(have) == len(want) and all(all(map(same, a, b)) for a, b in zip(have, want)):
        return None
    left = collections.Counter(map(repr, have))
    right = collections.Counter(map(repr, want))
    only_have = list((left - right).elements())[:4]
    only_want = list((right - left).elements())[:4]
    return f"{len(have)} rows, {len(want)} expected\n  only in the view: {only_have}\n  only in the oracle: {only_want}"


# ---- a round -------------------------------------------------------------------------------------------------------------------


class Round:
    def __init__(self, leat, seed):
        self.leat, self.seed = leat, seed
        self.rng = random.Random(seed)
        self.topics = make_schema(self.rng)
        self.by_name = {t.name: t for t in self.topics}
        self.oracle = Oracle(self.topics)
        self.generator = Generator(self.rng, self.topics)
        self.phase = 0
        self.max_s = {t.name: 60.0 for t in self.topics}  # the greatest event time, in seconds since BASE
        self.next_id = 0
        self.recent = {t.name: [] for t in self.topics}
        self.refused, self.asked, self.checked = 0, 0, collections.Counter()
        self.producer = None
        self.paused = set()
        self.heavy = self.rng.random() < 0.2

    # ---- views

    def view_add(self, early, busy=False):
        """Makes one view of a random query; @early before there are rows, @busy while rows come."""
        query = self.generator.query()
        if query.early and not early:
            return
        name = f"v{self.asked}"
        self.asked += 1
        if not early and not busy and not query.lookup and not query.bases and "retention" not in query.options and self.rng.random() < 0.15:
            query.options["start"] = "latest"
            self.quiet()
        if not query.bases and self.rng.random() < 0.15:
            query.options["pipeline"] = "second"
        options = ", ".join(f"{k} = '{v}'" for k, v in query.options.items())
        query.ddl = f"CREATE MATERIALIZED VIEW {name}{f' WITH ({options})' if options else ''} AS {query.leat}{query.emit}"
        try:
            self.leat.sql(query.ddl)
        except psycopg.Error as error:
            assert error.sqlstate in ("0A000", "42803", "42883", "42804", "22023"), self.report(query, f"{error.sqlstate}: {error}")
            self.refused += 1
            if "LEAT_RANDOM_SHOW" in os.environ:
                print(f"refused {error.sqlstate}: {str(error).splitlines()[0]}\n   {query.ddl}")
            return
        start = f"phase > {self.phase}" if query.options.get("start") == "latest" else "true"
        if start != "true":
            self.wait(name)
        query.born, query.template = self.phase, query.oracle
        query.oracle = query.oracle.replace("⟨born⟩", str(self.phase)).replace("⟨start⟩", start)
        self.generator.views[name] = query

    def report(self, query, text):
        ddl = "\n".join(t.ddl() + ";" for t in self.topics)
        bases = "\n".join(f"{self.generator.views[b].ddl};" for b in sorted(query.bases, key=lambda n: int(n[1:])))
        return (f"\nseed {self.seed}, phase {self.phase}\n{ddl}\n{bases}\n{query.ddl};\n{text}\n"
                f"again: LEAT_TEST_SEED={self.seed} make test T=tests/stream/test_random.py")

    def wait(self, name):
        self.leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
        return self.leat.sql(f"SELECT count(*) FROM {name}")

    # ---- rows

    def w_at(self, topic):
        """The watermark of a topic that stands still."""
        return BASE + timedelta(seconds=self.max_s[topic] - DELAY_S) if self.phase > 1 else BASE - timedelta(days=30000)

    def event(self, topic, at_s):
        value = {}
        for column in self.by_name[topic].columns:
            value[column.name] = column_value(self.rng, column)
        value["id"] = self.next_id
        if self.by_name[topic].columns[1].not_null or self.rng.random() < 0.97:
            value["ts"] = stamp(BASE + timedelta(microseconds=int(at_s * 10**6)))
        else:
            value["ts"] = None
        self.next_id += 1
        return value

    def spoil(self, value):
        """A record that does not fit its topic."""
        way = self.rng.randrange(5)
        if way == 0:
            return json.dumps(value)[:-3]
        if way == 1:
            return json.dumps({**value, "id": "no number"})
        if way == 2:
            return json.dumps({**value, "ts": "yesterday"})
        return json.dumps({**value, "n": 1.5}) if way == 3 else "[1, 2]"

    def send(self, topic, value, partition, key=None):
        while len(self.producer) > 50000:
            self.producer.poll(0.1)
        self.producer.produce(topic, value, key=key, partition=partition, on_delivery=self.delivered)

    def delivered(self, error, message):
        assert error is None, str(error)

    def burst(self, topic, rows, advance):
        """Rows that are on time however the worker cuts its ticks (@advance: to this second), or, while the watermark stands
        still, any."""
        rng, parts = self.rng, self.by_name[topic].partitions
        only = rng.choice([None, rng.randrange(parts)])
        for _ in range(rows):
            if self.recent[topic] and rng.random() < 0.02:
                value = dict(rng.choice(self.recent[topic]))  # a duplicate, late perhaps
                if advance is not None:
                    continue
            elif advance is not None:
                value = self.event(topic, advance - rng.random() * DELAY_S * 0.999)
            else:
                value = self.event(topic, self.max_s[topic] - rng.choice([rng.random() * 6, rng.random() * 40, rng.random() * 200]))
            partition = rng.randrange(parts) if only is None else only
            if rng.random() < 0.005:
                self.send(topic, self.spoil(value), partition)
                continue
            self.send(topic, json.dumps(value, ensure_ascii=rng.random() < 0.5), partition)
            self.oracle.append(topic, value, self.phase, stamp(self.w_at(topic)))
            self.recent[topic] = (self.recent[topic] + [value])[-50:]

    def mark(self, topic, at_s):
        """Brings every partition, and so the watermark, to exactly here."""
        for partition in range(self.by_name[topic].partitions):
            value = {**self.event(topic, at_s), "ts": stamp(BASE + timedelta(microseconds=int(at_s * 10**6)))}
            self.send(topic, json.dumps(value), partition)
            self.oracle.append(topic, value, self.phase, stamp(self.w_at(topic)))

    def keyed_change(self, everything=False):
        """Upserts and deletes in the keyed topics; all is quiet."""
        rng = self.rng
        for name in ("ref0", "ref1"):
            topic = self.by_name[name]
            pools = [next(c.pool for c in topic.columns if c.name == key) for key in topic.keys]
            for _ in range(rng.randrange(1, 8)):
                key = [rng.choice(pool) for pool in pools]
                record_key = key[0] if len(key) == 1 else json.dumps(dict(zip(topic.keys, key)), separators=(",", ":"))
                if rng.random() < 0.25 and not everything:
                    self.oracle.upsert(name, tuple(key), None, self.phase)
                    self.send(name, None, 0, record_key)
                    continue
                value = {c.name: column_value(rng, c) for c in topic.columns}
                value.update(zip(topic.keys, key))
                self.oracle.upsert(name, tuple(key), value, self.phase)
                self.send(name, json.dumps(value), 0, record_key)
        self.flush()

    def flush(self):
        assert self.producer.flush(60) == 0

    # ---- checks

    def check_verify(self, name):
        query = self.generator.views[name]
        own = not query.bases  # over a view: from the rows that it has
        if own and query.lookup or query.hazard or name in self.paused:
            return
        done = self.leat.cli("verify", "--data", self.leat.data, "--view", name, "--kafka", self.leat.kafka, check=False)
        self.checked["verify"] += 1
        assert done.returncode == 0 and done.stdout.rstrip().endswith(" 0 differ"), self.report(query, f"verify: {done.stdout}{done.stderr}")

    def watermark(self, query):
        return min(self.max_s[t] for t in ("ev0", "ev1") if t in query.oracle) - DELAY_S

    def check(self, name):
        """The view against the outer oracle and, where it means the same, against a SELECT in Leat."""
        query = self.generator.views[name]
        sql = query.oracle
        if "⟨now⟩" in sql:
            sql = sql.replace("⟨now⟩", f"TIMESTAMPTZ '{stamp(BASE + timedelta(seconds=self.watermark(query)))}'")
        view = f"SELECT * FROM {name}"
        if query.retention_s:
            kept = BASE + timedelta(seconds=self.watermark(query) - query.retention_s)
            view, sql = (f"SELECT * FROM ({text}) q WHERE {query.time} >= TIMESTAMPTZ '{stamp(kept)}'" for text in (view, sql))
        try:
            have = self.leat.sql(wrapped(query, view))
        except psycopg.Error as error:
            jobs = [row for row in self.leat.sql("SHOW JOBS") if row[0] == name]
            raise AssertionError(self.report(query, f"{error}\n{jobs}")) from None
        try:
            want = self.oracle.select(wrapped(query, sql))
        except duckdb.Error as error:
            raise AssertionError(self.report(query, f"the oracle: {error}\n{sql}")) from None
        self.checked["outer oracle"] += 1
        wrong = difference(query, have, want)
        assert wrong is None, self.report(query, f"against the outer oracle: {wrong}\noracle: {sql}")
        if query.drops or query.lookup or query.hazard or query.options.get("start"):
            return
        if any(self.generator.views[b].options.get("start") for b in query.bases):
            return
        want = self.leat.sql(wrapped(query, f"SELECT * FROM ({query.leat}) q WHERE ts IS NOT NULL" if query.timed else query.leat))
        self.checked["SELECT"] += 1
        wrong = difference(query, have, want)
        assert wrong is None, self.report(query, f"against its SELECT: {wrong}")

    def check_some(self, share):
        self.leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
        self.oracle.load()
        names = list(self.generator.views)
        for name in self.rng.sample(names, max(1, int(len(names) * share))) if names else []:
            self.check(name)

    # ---- phases

    def trouble(self):
        """Something that the views must survive."""
        roll = self.rng.random()
        if roll < 0.15:
            self.leat.kill_role("worker")
        elif roll < 0.22:
            self.leat.close()
            self.leat.restart(kill=True)
        elif roll < 0.3 and self.generator.views:
            self.check_verify(self.rng.choice(list(self.generator.views)))
        elif roll < 0.4 and self.generator.views:
            self.pause(self.rng.choice(list(self.generator.views)))

    def replace(self):
        """CREATE OR REPLACE of a view that nobody reads: it fills anew, with keyed rows as they are now."""
        names = [n for n, q in self.generator.views.items() if not q.drops and not q.options.get("start") and n not in self.paused
                 and not any(n in other.bases for other in self.generator.views.values())]
        if not names:
            return
        query = self.generator.views[self.rng.choice(names)]
        self.leat.sql(query.ddl.replace("CREATE", "CREATE OR REPLACE", 1))
        query.oracle, query.born = query.template.replace("⟨born⟩", str(self.phase)).replace("⟨start⟩", "true"), self.phase

    def pause(self, name):
        """Until the end of the phase; then the view makes up for what it has missed."""
        query = self.generator.views[name]
        if query.drops or query.lookup or query.bases or name in self.paused or any(name in q.bases for q in self.generator.views.values()):
            return
        if "ref" in query.leat:
            return
        self.leat.sql(f"ALTER JOB {name} PAUSE")
        self.paused.add(name)

    def phase_run(self, advances):
        self.phase += 1
        topics = [t for t in ("ev0", "ev1")]
        to = {t: self.max_s[t] + self.rng.uniform(0.5, 30) if advances else None for t in topics}
        for _ in range(self.rng.randrange(2, 6)):
            topic = self.rng.choice(topics)
            self.burst(topic, self.rng.choice([1, 5, 40, 200, 200, 1500 if self.heavy else 40]), to[topic])
            if self.phase > 1 and self.rng.random() < 0.2:
                self.view_add(False, busy=True)
            if self.rng.random() < 0.7:
                self.flush()
                self.trouble()
            if self.rng.random() < 0.1:
                self.replace()
        for topic in topics if advances else []:
            self.flush()
            self.mark(topic, to[topic])
        self.flush()
        for topic in topics if advances else []:
            self.max_s[topic] = to[topic]
        for name in sorted(self.paused):
            self.leat.sql(f"ALTER JOB {name} RESUME")
        self.paused.clear()
        if self.rng.random() < 0.4:
            self.trouble()
        for name in sorted(self.paused):
            self.leat.sql(f"ALTER JOB {name} RESUME")
        self.paused.clear()

    def quiet(self):
        """Waits until every view has everything: what is produced next belongs to the next phase."""
        for name in self.generator.views:
            self.wait(name)
        # Every partition has been brought to the same time: no death of a worker may have held the watermark back.
        for row in self.leat.sql("SHOW JOBS") if self.phase > 0 else []:
            if row[3] in ("ev0", "ev1") and self.generator.views[row[0]].born == 0 and "start" not in self.generator.views[row[0]].options:
                want = BASE + timedelta(microseconds=int(self.max_s[row[3]] * 10**6) - DELAY_S * 10**6)
                assert row[4] == want, self.report(self.generator.views[row[0]], f"the watermark of {row[3]} is {row[4]}, not {want}")

    def run(self, early, middle, late, phases):
        self.producer = Producer({"bootstrap.servers": self.leat.kafka, "enable.idempotence": True, "linger.ms": 1,
                                  "message.timeout.ms": 120000, "reconnect.backoff.max.ms": 200})
        for topic in self.topics:
            self.leat.sql(topic.ddl())
        self.keyed_change(everything=True)
        for _ in range(early):
            self.view_add(True)
        for number in range(phases):
            self.phase_run(number % 2 == 0)
            if number > 0:
                for _ in range(middle // (phases - 1)):
                    self.view_add(False)
            self.quiet()
            self.check_some(0.4)
            if self.rng.random() < 0.6:
                self.phase += 1
                self.keyed_change()
                self.quiet()
        self.phase += 1
        for _ in range(late):
            self.view_add(False)
        self.quiet()
        self.check_some(1)
        names = list(self.generator.views)
        for name in self.rng.sample(names, min(len(names), 5 + len(names) // 4)):
            self.check_verify(name)


@pytest.mark.parametrize("seed", seeds())
def test_random_views(new_leat, seed, capsys):
    started = time.monotonic()
    rng = random.Random(seed)
    settings = {"role.deaths": "1000000", "role.backoff": "5 ms",
                "worker.manifest.interval": rng.choice(["100 ms", "1 second", "10 seconds"]),
                "worker.tick.records": rng.choice(["7", "60", "500000"]), "worker.tick.min": rng.choice(["1 ms", "10 ms"])}
    leat = new_leat(args=[word for name, value in settings.items() for word in ("--set", f"{name}={value}")]).start()
    leat.expects_death = True
    one = Round(leat, seed)
    one.run(early=14, middle=6, late=3, phases=4)
    with capsys.disabled():
        print(f"\n  seed {seed}: {one.asked} queries, {one.refused} refused ({100 * one.refused // max(1, one.asked)} %), {one.next_id} rows, "
              f"{', '.join(f'{n} x {what}' for what, n in sorted(one.checked.items()))}, {time.monotonic() - started:.1f} s", end="")
    assert one.refused * 3 <= one.asked + 6
