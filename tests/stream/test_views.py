# SPDX-License-Identifier: Apache-2.0
"""Materialized views against the same query run as a batch: the invariant of streaming, over random data and disorder."""
import json
import math
import random
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from conftest import PATIENCE_S, wait_until

BASE = datetime(2026, 11, 1, 12, 0, tzinfo=timezone.utc)

TOPICS = """
CREATE TOPIC sites (site TEXT PRIMARY KEY, region TEXT, capacity INT);
CREATE TOPIC scans (id BIGINT NOT NULL, site TEXT, weight INT, price DOUBLE, amount DECIMAL(12,2), ok BOOLEAN,
  seen TIMESTAMPTZ NOT NULL, WATERMARK FOR seen AS seen - INTERVAL '5 seconds') WITH (partitions = 3);
CREATE TOPIC returns (id BIGINT NOT NULL, site TEXT, weight INT, seen TIMESTAMPTZ NOT NULL,
  WATERMARK FOR seen AS seen - INTERVAL '5 seconds');
"""

# name → the SELECT. Each becomes a materialized view and is run as a batch too.
VIEWS = {
    "counts": "SELECT site, count(*) AS n, count(weight) AS weighed FROM scans GROUP BY site",
    "total": "SELECT count(*) AS n, sum(weight) AS w, min(price) AS low, max(price) AS high FROM scans",
    "sums": "SELECT site, sum(weight) AS w, avg(weight) AS mean, sum(amount) AS amount, min(seen) AS first, max(seen) AS last "
            "FROM scans GROUP BY site",
    "filtered": "SELECT site, count(*) FILTER (WHERE ok) AS good, count(*) FILTER (WHERE weight > 50) AS heavy, "
                "sum(weight) FILTER (WHERE NOT ok) AS lost FROM scans GROUP BY site",
    "frequent": "SELECT site, count(*) AS n FROM scans GROUP BY site HAVING count(*) > 20",
    "spread": "SELECT site, stddev_samp(price) AS sd, var_pop(weight) AS vp FROM scans GROUP BY site",
    "logic": "SELECT site, bool_and(ok) AS every, bool_or(ok) AS some FROM scans GROUP BY site",
    "tumbling": "SELECT site, window_start, count(*) AS n, max(weight) AS top "
                "FROM tumble(scans, seen, INTERVAL '10 seconds') GROUP BY site, window_start",
    "hopping": "SELECT window_start, count(*) AS n, sum(weight) AS w "
               "FROM hop(scans, seen, INTERVAL '5 seconds', INTERVAL '15 seconds') GROUP BY window_start",
    "distincts": "SELECT site, count(DISTINCT weight) AS kinds FROM scans GROUP BY site",
    "uniques": "SELECT DISTINCT site, ok FROM scans",
    "rows_of_interest": "SELECT id, seen, upper(site) AS site, weight * 2 AS twice, price + 1 AS more FROM scans "
                        "WHERE weight > 80 AND ok",
    "all_moves": "SELECT site, count(*) AS n FROM (SELECT site, weight FROM scans UNION ALL SELECT site, weight FROM returns) GROUP BY site",
    "enriched": "SELECT s.id, s.seen, s.weight, t.region FROM scans s JOIN sites t ON s.site = t.site WHERE s.weight > 70",
    "by_region": "SELECT coalesce(t.region, 'none') AS region, count(*) AS n, sum(s.weight) AS w "
                 "FROM scans s LEFT JOIN sites t ON s.site = t.site GROUP BY 1",
    "on_view": "SELECT n, count(*) AS sites FROM counts GROUP BY n",
    "best_on_view": "SELECT max(n) AS most, min(n) AS least, sum(n) AS all_of_them FROM counts",
}


# Rows that are kept one by one need a bound.
KEPT = {name: "WITH (retention = '30 days') " for name in ("rows_of_interest", "enriched")}


def scan(rng, i):
    value = {"id": i, "site": rng.choice(["a", "b", "c", "d", "élan", None]), "weight": rng.choice([None, rng.randrange(100)]),
             "price": round(rng.uniform(-50, 50), 3), "amount": round(rng.uniform(0, 1000), 2), "ok": rng.random() < 0.7,
             "seen": (BASE + timedelta(seconds=i / 20 + rng.uniform(-4, 4))).isoformat()}
    if rng.random() < 0.02:
        value["weight"] = "heavy"  # does not fit: goes to quarantine, counts nowhere
    return value


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))
    return a == b


def key(row):
    return [(value is None, str(round(value, 6)) if isinstance(value, float) else str(value)) for value in row]


def compare(leat, name):
    leat.sql("SET leat.freshness = 'now'")
    got = sorted(leat.sql(f"SELECT * FROM {name}"), key=key)
    want = sorted(leat.sql(VIEWS[name]), key=key)
    assert len(got) == len(want), f"{name}: {len(got)} rows, batch has {len(want)}\n{got[:5]}\n{want[:5]}"
    for a, b in zip(got, want):
        assert all(same(x, y) for x, y in zip(a, b)), f"{name}: view has {a}, batch has {b}"


@pytest.fixture(scope="module")
def filled(shared_leat):
    leat = shared_leat
    leat.sql(TOPICS)
    rng = random.Random(20261124)
    leat.sql("INSERT INTO sites VALUES ('a', 'north', 10), ('b', 'south', 20), ('c', 'north', 30)")
    early = [name for name in VIEWS if hash(name) % 2 == 0 or name == "counts"]
    for name in VIEWS:
        if name in early:
            leat.sql(f"CREATE MATERIALIZED VIEW {name} {KEPT.get(name, '')}AS {VIEWS[name]}")
    leat.produce("scans", [scan(rng, i) for i in range(1500)])
    # The others fill from what is there already.
    for name in VIEWS:
        if name not in early:
            leat.sql(f"CREATE MATERIALIZED VIEW {name} {KEPT.get(name, '')}AS {VIEWS[name]}")
    leat.produce("scans", [scan(rng, i) for i in range(1500, 3000)])
    leat.produce("returns", [{"id": i, "site": rng.choice("ab"), "weight": i % 50, "seen": (BASE + timedelta(seconds=i)).isoformat()}
                             for i in range(200)])
    return leat


@pytest.mark.parametrize("name", VIEWS)
def test_view_equals_batch(filled, name):
    compare(filled, name)


def test_views_hold_after_restart(filled):
    filled.restart()
    for name in VIEWS:
        compare(filled, name)


def test_views_hold_after_kill(filled):
    filled.produce("scans", [scan(random.Random(7), i) for i in range(3000, 3300)])
    filled.restart(kill=True)
    for name in VIEWS:
        compare(filled, name)


def test_quarantine_has_the_reason(filled):
    rows = filled.sql('SELECT "column", reason, value FROM "scans$quarantine" LIMIT 3')
    assert rows and rows[0][0] == "weight" and "heavy" in rows[0][1]
    bad = filled.sql('SELECT count(*) FROM "scans$quarantine"')[0][0]
    good = filled.sql("SELECT count(*) FROM scans")[0][0]
    assert bad > 20 and bad + good == 3300


def test_watermark_survives_the_worker(leat):
    """What each partition has seen of time is in the ticks: after a death nothing waits for what had come before it."""
    leat.sql("CREATE TOPIC t (seen TIMESTAMPTZ, WATERMARK FOR seen AS seen - INTERVAL '2 seconds') "
             "WITH (partitions = 2, idle_timeout = '1 hour')")
    leat.sql("CREATE MATERIALIZED VIEW closed AS SELECT window_start, count(*) AS n FROM tumble(t, seen, INTERVAL '10 seconds') "
             "GROUP BY 1 EMIT ON WINDOW CLOSE")
    def send(partition, *seconds):
        leat.produce("t", [{"seen": (BASE + timedelta(seconds=s)).isoformat()} for s in seconds], partition)
    send(1, 2)  # first: a partition that has no record yet holds nothing back
    send(0, 1, 25)
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM closed") == []
    leat.kill_role("worker")
    send(1, 26)  # the watermark is 23 s: partition 0 had seen 25 s
    assert leat.sql("SELECT n FROM closed") == [(2,)]


def test_verify_of_lookups(leat):
    """Equal while the keyed topic stands as it did; later that cannot be told, which is no difference."""
    leat.sql("CREATE TOPIC t (k TEXT); CREATE TOPIC names (k TEXT PRIMARY KEY, name TEXT); INSERT INTO names VALUES ('a', 'ann')")
    leat.sql("CREATE MATERIALIZED VIEW by_name AS SELECT name, count(*) AS n FROM t JOIN names USING (k) GROUP BY name")
    def verify():
        leat.sql("SET leat.freshness = 'now'; SELECT * FROM by_name")
        return leat.cli("verify", "--data", leat.data, "--view", "by_name", "--kafka", leat.kafka, check=False)
    leat.sql("INSERT INTO t VALUES ('a'), ('b')")
    assert " 0 differ" in verify().stdout
    leat.sql("INSERT INTO names VALUES ('a', 'anna')")
    assert "looked up names as it was when each row came" in verify().stderr


def test_verify_beside_manifests(new_leat):
    """The worker cuts ticks and deletes files while they are read."""
    leat = new_leat(args=["--set", "worker.manifest.interval=100 ms", "--set", "worker.tick.min=1 ms"]).start()
    leat.sql("CREATE TOPIC t (k TEXT)")
    leat.sql("CREATE MATERIALIZED VIEW by_k AS SELECT k, count(*) AS n FROM t GROUP BY k")
    leat.sql("SET leat.freshness = 'now'; SELECT * FROM by_k")
    stop = threading.Event()

    def load():
        connection = leat.connect()
        while not stop.is_set():
            connection.execute("INSERT INTO t SELECT 'k' || (i % 50) FROM range(20) r(i)")
        connection.close()

    loader = threading.Thread(target=load, daemon=True)
    loader.start()
    try:
        for _ in range(12):
            assert " 0 differ" in leat.cli("verify", "--data", leat.data, "--view", "by_k", "--kafka", leat.kafka).stdout
    finally:
        stop.set()
        loader.join()


def test_rows_without_time(leat):
    """They lie in no window, and no retention can tell their age: the view and its query agree."""
    leat.sql("CREATE TOPIC t (k TEXT, seen TIMESTAMPTZ, WATERMARK FOR seen AS seen - INTERVAL '2 seconds')")
    leat.sql("CREATE MATERIALIZED VIEW tumbled AS SELECT window_start, count(*) AS n FROM tumble(t, seen, INTERVAL '10 seconds') GROUP BY 1")
    leat.sql("CREATE MATERIALIZED VIEW hopped AS SELECT window_start, count(*) AS n "
             "FROM hop(t, seen, INTERVAL '5 seconds', INTERVAL '10 seconds') GROUP BY 1")
    leat.sql("CREATE MATERIALIZED VIEW kept WITH (retention = '3000 days') AS WITH q AS (SELECT * FROM t) SELECT k, seen FROM q")
    leat.produce("t", [{"k": "a", "seen": BASE.isoformat()}, {"k": "b", "seen": None}, {"k": "c"}])
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM tumbled") == leat.sql("SELECT count(*) FROM tumble(t, seen, INTERVAL '10 seconds') GROUP BY window_start") == [(1,)]
    assert leat.sql("SELECT n FROM hopped") == [(1,), (1,)]
    assert leat.sql("SELECT k FROM kept") == [("a",)]
    for view in ("tumbled", "hopped", "kept"):
        assert " 0 differ" in leat.cli("verify", "--data", leat.data, "--view", view, "--kafka", leat.kafka).stdout


def test_emit_on_window_close(leat):
    leat.sql("CREATE TOPIC t (k TEXT, seen TIMESTAMPTZ NOT NULL, WATERMARK FOR seen AS seen - INTERVAL '2 seconds')")
    leat.sql("CREATE MATERIALIZED VIEW closed AS SELECT k, window_start, count(*) AS n "
             "FROM tumble(t, seen, INTERVAL '10 seconds') GROUP BY k, window_start EMIT ON WINDOW CLOSE")
    leat.produce("t", [{"k": "a", "seen": (BASE + timedelta(seconds=s)).isoformat()} for s in (1, 2, 11, 13)])
    leat.sql("SET leat.freshness = 'now'")
    # The watermark is 12:00:11: the first window is closed, the second open.
    assert leat.sql("SELECT k, n FROM closed") == [("a", 2)]
    # Late for the first window: dropped. On time for the second; then the second closes too.
    leat.produce("t", [{"k": "a", "seen": (BASE + timedelta(seconds=s)).isoformat()} for s in (3, 14, 25)])
    assert leat.sql("SELECT n FROM closed ORDER BY window_start") == [(2,), (3,)]


def test_a_fill_over_partitions_of_far_times_drops_nothing(leat, seed):
    """One partition is days behind the other: a view that comes afterwards has each window once and whole."""
    rng = random.Random(seed)
    leat.sql("CREATE TOPIC t (id BIGINT, pad TEXT, seen TIMESTAMPTZ NOT NULL, WATERMARK FOR seen AS seen - INTERVAL '10 seconds') "
             "WITH (partitions = 3)")
    count = 30000  # some megabytes in each partition: more than is read ahead
    for partition, day in enumerate((4, 0, 2)):
        leat.produce("t", [{"id": i, "pad": "x" * 80,
                            "seen": (BASE + timedelta(days=day, seconds=i + rng.uniform(0, 9))).isoformat()}
                           for i in range(count)], partition)
    query = "SELECT window_start, count(*) AS n, sum(id) AS ids FROM tumble(t, seen, INTERVAL '1 minute') GROUP BY window_start"
    leat.sql(f"CREATE MATERIALIZED VIEW closed AS {query} EMIT ON WINDOW CLOSE")
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    assert leat.sql("SELECT sum(n) BETWEEN 29800 AND 30100 FROM closed") == [(True,)]  # the watermark is at the oldest
    # Of equal ids the one that is read first is kept: far from the partitions' beginnings that of the oldest.
    leat.sql(f"CREATE MATERIALIZED VIEW oldest AS SELECT arg_min(seen, id) AS seen FROM t WHERE id >= {count - 5000}")
    assert leat.sql("SELECT seen < '2026-11-02' FROM oldest") == [(True,)]
    for partition in range(3):
        leat.produce("t", [{"id": 0, "seen": (BASE + timedelta(days=9)).isoformat()}], partition)
    assert leat.sql("SELECT sum(n) FROM closed") == [(3 * count,)]
    assert leat.sql("SELECT * FROM closed ORDER BY 1") == leat.sql(query + " HAVING count(*) <> 3 OR sum(id) <> 0 ORDER BY 1")
    names = [column[0] for column in leat.connect().execute("SHOW JOBS").description]
    assert [row[names.index("late_rows")] for row in leat.sql("SHOW JOBS")] == [0] * len(leat.sql("SHOW JOBS"))


def test_refusals_have_place_and_hint(leat):
    import psycopg
    leat.sql(TOPICS)
    cases = [
        ("SELECT site, random() FROM scans", "random"),
        ("SELECT *, row_number() OVER (ORDER BY id) FROM scans", "OVER"),
        ("SELECT a.id FROM scans a JOIN returns b ON a.id = b.id", "JOIN"),
        ("SELECT site FROM scans ORDER BY site LIMIT 3", "LIMIT"),
        ("SELECT nope FROM scans", "nope"),
    ]
    for body, word in cases:
        with pytest.raises(psycopg.Error) as error:
            leat.sql(f"CREATE MATERIALIZED VIEW refused AS {body}")
        diagnosis = error.value.diag
        assert diagnosis.message_primary, body
        assert diagnosis.message_hint or diagnosis.statement_position, f"{body}: neither hint nor place: {diagnosis.message_primary}"
        assert word  # the message may use other words; place or hint must be there
    assert leat.sql("SHOW VIEWS") == []


def test_subscription_follows(leat):
    leat.sql("CREATE TOPIC t (k TEXT, v INT)")
    leat.sql("CREATE MATERIALIZED VIEW c AS SELECT k, sum(v) AS s FROM t GROUP BY k")
    leat.produce("t", [{"k": "a", "v": 1}, {"k": "b", "v": 2}])
    leat.sql("SET leat.freshness = 'now'")
    assert sorted(leat.sql("SELECT * FROM c")) == [("a", 1), ("b", 2)]
    reader = leat.connect()
    state = {}
    with reader.cursor().copy("COPY (SUBSCRIBE TO c) TO STDOUT") as copy:
        rows = iter(copy.rows())
        for _ in range(2):
            tick, diff, k, s = next(rows)
            assert diff == "1"
            state[k] = s
        leat.produce("t", [{"k": "a", "v": 5}])
        for _ in range(2):
            tick, diff, k, s = next(rows)
            if diff == "-1":
                assert state.pop(k) == s
            else:
                state[k] = s
        assert state == {"a": "6", "b": "2"}
        reader.cancel()
        with pytest.raises(Exception):
            for _ in rows:
                pass
    reader.close()


def test_insert_is_read_back_by_the_same_session(leat):
    leat.sql("CREATE TOPIC t (k TEXT, v INT)")
    leat.sql("CREATE MATERIALIZED VIEW c AS SELECT k, count(*) AS n FROM t GROUP BY k")
    for i in range(1, 20):
        leat.sql("INSERT INTO t VALUES ('x', 1)")
        assert leat.sql("SELECT n FROM c WHERE k = 'x'") == [(i,)]


def test_drop_and_recreate(leat):
    leat.sql("CREATE TOPIC t (k TEXT)")
    for round_number in range(3):
        leat.sql("CREATE MATERIALIZED VIEW c AS SELECT k, count(*) AS n FROM t GROUP BY k")
        leat.produce("t", [{"k": "a"}])
        leat.sql("SET leat.freshness = 'now'")
        assert leat.sql("SELECT n FROM c") == [(round_number + 1,)]
        leat.sql("DROP MATERIALIZED VIEW c")
    import psycopg
    leat.sql("CREATE MATERIALIZED VIEW c AS SELECT k, count(*) AS n FROM t GROUP BY k")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as error:
        leat.sql("DROP TOPIC t")
    assert "materialized view c" in str(error.value) and "CASCADE" in error.value.diag.message_hint
    leat.sql("DROP TOPIC t CASCADE")
    assert leat.sql("SHOW VIEWS") == []


def test_json_rules_are_the_same_for_views_and_selects(leat):
    leat.sql("CREATE TOPIC t (n INT, s TEXT, seen TIMESTAMPTZ, WATERMARK FOR seen AS seen - INTERVAL '5 seconds')")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT n, s, seen, count(*) AS c FROM t GROUP BY n, s, seen")
    leat.produce("t", ['{"n":1,"s":2}', '{"n":"1"}', '{"n":1.5}', '{"n":null,"other":1}', "not json", '{"n":3,"seen":1700000000000}',
                       '{"n":4,"s":"a","seen":"2026-01-02T03:04:05"}', '{"s":"\\u00e9"}'])
    leat.sql("SET leat.freshness = 'now'")
    view = sorted(leat.sql("SELECT * FROM v"), key=str)
    assert view == sorted(leat.sql("SELECT n, s, seen, count(*) FROM t GROUP BY n, s, seen"), key=str)
    assert len(view) == 5 and (1, "2", None, 1) in view
    leat.wait_for('SELECT count(*) FROM "t$quarantine"', [(3,)])
    assert json.dumps(leat.sql('SELECT "column" FROM "t$quarantine" ORDER BY "offset"')) == '[["n"], ["n"], [null]]'


def test_pause_and_resume_miss_nothing(leat):
    import psycopg
    leat.sql("CREATE TOPIC t (k TEXT)")
    leat.sql("CREATE MATERIALIZED VIEW c AS SELECT k, count(*) AS n FROM t GROUP BY k")
    leat.sql("CREATE MATERIALIZED VIEW sums_up AS SELECT sum(n) AS all_of_them FROM c")
    leat.produce("t", [{"k": "a"}] * 3)
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT * FROM sums_up") == [(3,)]
    leat.sql("ALTER JOB c PAUSE")
    leat.produce("t", [{"k": "a"}] * 4)
    leat.sql("SET leat.freshness = 'none'")
    assert leat.sql("SELECT n FROM c") == [(3,)]
    leat.restart(kill=True)
    leat.sql("ALTER JOB c RESUME; SET leat.freshness = 'none'")
    leat.wait_for("SELECT n FROM c", [(7,)])
    leat.wait_for("SELECT * FROM sums_up", [(7,)])
    leat.sql("ALTER JOB sums_up PAUSE")
    leat.produce("t", [{"k": "a"}] * 5)
    leat.wait_for("SELECT n FROM c", [(12,)])
    assert leat.sql("SELECT * FROM sums_up") == [(7,)]
    leat.sql("ALTER JOB sums_up RESUME")
    leat.wait_for("SELECT * FROM sums_up", [(12,)])


def test_a_view_beyond_max_state_is_paused_with_the_reason(new_leat):
    leat = new_leat(args=["--set", "worker.manifest.interval=300 ms"]).start()
    leat.sql("CREATE TOPIC t (k TEXT)")
    leat.sql("CREATE MATERIALIZED VIEW small WITH (max_state = '20 kB') AS SELECT k, count(*) AS n FROM t GROUP BY k")
    leat.sql("CREATE MATERIALIZED VIEW free AS SELECT count(*) AS n FROM t")
    leat.produce("t", [{"k": f"key number {i}"} for i in range(5000)])
    leat.sql("SET leat.freshness = 'none'")
    leat.wait_for("SELECT n FROM free", [(5000,)])
    deadline = time.monotonic() + PATIENCE_S
    while True:
        # Manifests come with ticks.
        leat.produce("t", [{"k": "one more"}])
        states = {row[0]: (row[2], row[-1]) for row in leat.sql("SHOW JOBS")}
        if states["small"][0] == "failed":
            break
        assert time.monotonic() < deadline, states
    assert "max_state" in states["small"][1] and states["free"][0] == "running"
    leat.sql("ALTER JOB small SET (max_state = '100 MB')")
    leat.sql("ALTER JOB small RESUME")
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT sum(n) FROM small") == leat.sql("SELECT count(*) FROM t")


def test_partitions_tell_position_and_idleness(shared_leat):
    shared_leat.sql("CREATE TOPIC two (id BIGINT, at TIMESTAMPTZ, WATERMARK FOR at AS at - INTERVAL '1 second')"
                    " WITH (partitions = 2, idle_timeout = '300 ms')")
    shared_leat.sql("CREATE MATERIALIZED VIEW of_two AS SELECT count(*) AS n FROM two")
    shared_leat.produce("two", [{"id": i, "at": "2026-01-01T00:00:0%dZ" % i} for i in range(4)], partition=1)
    shared_leat.sql("SET leat.freshness = 'now'; SELECT * FROM of_two")
    rows = {row[2]: row for row in shared_leat.sql("SHOW PARTITIONS") if row[1] == "two"}
    assert (rows[0][3], rows[0][4], rows[0][5], rows[0][7]) == (0, 0, None, True)
    assert (rows[1][3], rows[1][4]) == (4, 0)
    assert rows[1][5].isoformat() == "2026-01-01T00:00:03+00:00" and rows[1][6].isoformat() == "2026-01-01T00:00:02+00:00"
    wait_until(lambda: all(row[7] for row in shared_leat.sql("SHOW PARTITIONS") if row[1] == "two"),
               "a silent partition does not become idle")
