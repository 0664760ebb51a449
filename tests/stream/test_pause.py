# SPDX-License-Identifier: Apache-2.0
"""Views that are paused and go on: nothing is missed, nothing is counted twice, whatever they read."""
import random
import time

import psycopg
import pytest

TOPICS = """
CREATE TOPIC sites (site TEXT PRIMARY KEY, region TEXT);
CREATE TOPIC t (id BIGINT NOT NULL, k TEXT) WITH (partitions = 3);
"""
# name → pipeline, SELECT; in the order in which they stand on each other
VIEWS = {
    "a": ("main", "SELECT k, count(*) AS n, max(id) AS top FROM t GROUP BY k"),
    "b": ("main", "SELECT n, count(*) AS m, max(top) AS top FROM a GROUP BY n"),
    "rows": ("main", "SELECT n % 5 AS five FROM a"),
    "c": ("main", "SELECT sum(m) AS m, sum(n * m) AS n FROM b"),
    "mixed": ("main", "SELECT count(*) AS n, sum(x) AS x FROM (SELECT id AS x FROM t UNION ALL SELECT -n FROM a)"),
    "regions": ("main", "SELECT region, count(*) AS n FROM sites GROUP BY region"),
    "d": ("other", "SELECT m, count(*) AS groups, sum(n) AS n FROM b GROUP BY m"),
    "e": ("other", "SELECT sum(groups * m) AS keys FROM d"),
}


def insert(leat, rng, first, count):
    leat.sql("INSERT INTO t VALUES " + ", ".join(f"({i}, 'k{rng.randrange(12)}')" for i in range(first, first + count)))
    leat.sql("INSERT INTO sites VALUES " + ", ".join(f"('s{rng.randrange(9)}', 'r{rng.randrange(3)}')" for _ in range(3)))


def check(leat):
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    for name, (_, query) in VIEWS.items():
        assert sorted(leat.sql(f"SELECT * FROM {name}"), key=str) == sorted(leat.sql(query), key=str), name


def test_any_view_is_paused_and_goes_on(leat, seed, scale):
    rng = random.Random(seed)
    leat.sql(TOPICS)
    insert(leat, rng, 0, 50)
    for name, (pipeline, query) in VIEWS.items():
        leat.sql(f"CREATE MATERIALIZED VIEW {name} WITH (pipeline = '{pipeline}') AS {query}")
    check(leat)
    paused = set()
    leat.sql("SET leat.freshness = 'none'")
    for i in range(40 * scale):
        name = rng.choice(list(VIEWS))
        leat.sql(f"ALTER JOB {name} {'RESUME' if name in paused else 'PAUSE'}")
        paused ^= {name}
        insert(leat, rng, 50 + i * 20, 20)
        if rng.random() < 0.15:
            time.sleep(rng.uniform(0, 0.3))
            leat.kill_role("worker")
        if i % 10 == 9:
            for name in paused:
                leat.sql(f"ALTER JOB {name} RESUME")
            paused = set()
            check(leat)
            leat.sql("SET leat.freshness = 'none'")
    leat.wait_for("SELECT count(*) FROM (SELECT 1)", [(1,)])
    for name in VIEWS:
        done = leat.cli("verify", "--data", leat.data, "--view", name, "--kafka", leat.kafka, check=False)
        assert ", 0 differ" in done.stdout, name + done.stdout + done.stderr


def test_a_paused_view_is_not_read_as_if_it_were_fresh(leat):
    leat.sql(TOPICS)
    for name in ("a", "b", "d"):
        leat.sql(f"CREATE MATERIALIZED VIEW {name} WITH (pipeline = '{VIEWS[name][0]}') AS {VIEWS[name][1]}")
    leat.sql("INSERT INTO t VALUES (1, 'x')")
    assert leat.sql("SELECT n FROM d") == [(1,)]
    leat.sql("ALTER JOB a PAUSE")
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM b") == [(1,)]  # nothing has come since
    leat.sql("INSERT INTO t VALUES (2, 'x')")
    for name in ("a", "b", "d"):
        with pytest.raises(psycopg.Error, match='view "a" is paused'):
            leat.sql(f"SELECT n FROM {name}")
    leat.sql("SET leat.freshness = 'none'")
    assert leat.sql("SELECT n FROM b") == [(1,)]
    leat.sql("ALTER JOB a RESUME")
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM d") == [(2,)]
    leat.sql("ALTER JOB b PAUSE")
    leat.sql("INSERT INTO t VALUES (3, 'x')")
    with pytest.raises(psycopg.Error, match='view "b" is paused'):
        leat.sql("SELECT n FROM d")
    leat.sql("ALTER JOB b RESUME")
    assert leat.sql("SELECT n FROM d") == [(3,)]
