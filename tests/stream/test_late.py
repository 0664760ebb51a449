# SPDX-License-Identifier: Apache-2.0
"""Views that drop late rows, checked by `leat verify`: which rows were late follows from when they came, which nobody outside
knows when ticks fall as they like. So there is no other oracle here, and the records may be as disordered as they want."""
import json
import random
import time
from datetime import datetime, timedelta, timezone

import pytest

BASE = datetime(2024, 11, 1, 12, 0, tzinfo=timezone.utc)
TUMBLE = "tumble(t, at, INTERVAL '10 seconds')"
HOP = "hop(t, at, INTERVAL '4 seconds', INTERVAL '10 seconds')"
CLOSE = " EMIT ON WINDOW CLOSE"

# name → WITH options, the SELECT and what follows it
VIEWS = {
    "dropped": ("late = 'drop'", f"SELECT window_start, k, count(*) AS n, sum(x) AS x FROM {TUMBLE} GROUP BY ALL"),
    "graced": ("late = 'grace 3 seconds'", f"SELECT window_end, count(DISTINCT k) AS k, min(x) AS x FROM {TUMBLE} GROUP BY 1"),
    "unseen": ("late = 'drop'", f"SELECT k, max(n) AS n FROM (SELECT k, window_start, count(*) AS n FROM {TUMBLE} GROUP BY ALL) GROUP BY k"),
    "hopped": ("late = 'drop'", f"SELECT window_start, count(*) AS n, sum(x) AS x FROM {HOP} GROUP BY 1"),
    "hop_sets": ("late = 'grace 1 second'", f"SELECT window_start, k, count(DISTINCT x) AS n FROM {HOP} WHERE x % 3 > 0 GROUP BY ALL"),
    "shifted": ("late = 'drop'", "SELECT window_start, count(*) AS n FROM hop(t, at, INTERVAL '5 seconds', INTERVAL '10 seconds', INTERVAL '2 seconds') GROUP BY 1"),
    "closed": ("", f"SELECT window_start, k, count(*) AS n, max(x) AS x FROM {TUMBLE} GROUP BY ALL{CLOSE}"),
    "closed_hops": ("late = 'grace 2 seconds'", f"SELECT window_end, count(*) AS n, avg(x) AS x FROM {HOP} GROUP BY 1{CLOSE}"),
    "again": ("late = 'reemit'", f"SELECT window_start, count(*) AS n FROM {HOP} GROUP BY 1{CLOSE}"),
    "named": ("late = 'drop'", "SELECT w.window_start, names.name, count(*) AS n FROM tumble((SELECT *, x + 1 AS y FROM t WHERE x > 2), at, "
                               "INTERVAL '5 seconds') w LEFT JOIN names ON names.k = w.k GROUP BY ALL"),
    "twice": ("late = 'drop'", f"SELECT window_start, count(*) AS n FROM {TUMBLE} GROUP BY 1 UNION ALL "
                              f"SELECT window_end, sum(x) FROM {TUMBLE} GROUP BY 1"),
    "kept": ("late = 'drop', retention = '60 seconds'", f"SELECT window_start, k, count(*) AS n FROM {TUMBLE} GROUP BY ALL"),
    "kept_hops": ("retention = '60 seconds'", f"SELECT window_start, count(*) AS n FROM {HOP} GROUP BY 1{CLOSE}"),
}


def create(leat, name):
    options, query = VIEWS[name]
    leat.sql(f"CREATE MATERIALIZED VIEW {name}{f' WITH ({options})' if options else ''} AS {query}")


def verify(leat, name):
    return leat.cli("verify", "--data", leat.data, "--view", name, "--kafka", leat.kafka, check=False)


def late_rows(leat):
    return {row[0]: row[6] for row in leat.sql("SHOW JOBS") if row[3] == "t"}


@pytest.mark.parametrize("records", ["5", "50000"])
def test_views_that_drop_late_rows_equal_their_queries(new_leat, seed, scale, records):
    rng = random.Random(seed)
    leat = new_leat(args=["--set", "role.deaths=1000000", "--set", "role.backoff=5 ms", "--set", "worker.tick.min=1 ms", "--set",
                          f"worker.tick.records={records}", "--set", f"worker.manifest.interval={rng.choice(['100 ms', '10 seconds'])}"]).start()
    leat.expects_death = True
    leat.sql("CREATE TOPIC t (k TEXT, x INT, at TIMESTAMPTZ, WATERMARK FOR at AS at - INTERVAL '2 seconds') "
             "WITH (partitions = 3, idle_timeout = '200 ms')")
    leat.sql("CREATE TOPIC names (k TEXT PRIMARY KEY, name TEXT)")
    leat.sql("INSERT INTO names VALUES ('a', 'Ann'), ('b', 'Bob')")
    names, made, now = list(VIEWS), [], 0.0
    rng.shuffle(names)
    for turn in range(6 * scale):
        for name in names[2 * turn:] if turn == 5 else names[2 * turn:2 * turn + 2]:  # the later ones fill
            create(leat, name)
            made.append(name)
        for _ in range(4):
            values = []
            for _ in range(rng.choice([1, 10, 60])):
                now += rng.random() * 0.4
                at = now - rng.choice([0, rng.random() * 4, rng.random() * 30])
                value = {"k": rng.choice("abc"), "x": rng.randrange(10), "at": (BASE + timedelta(seconds=at)).isoformat()}
                if rng.random() < 0.03:
                    value["at"] = None
                values.append(json.dumps(value))
            leat.produce("t", values, partition=rng.randrange(3))
            if rng.random() < 0.3:
                time.sleep(rng.random() * 0.3)
        if rng.random() < 0.4:
            leat.kill_role("worker")
        paused = rng.choice(made) if rng.random() < 0.3 else None
        if paused:
            leat.sql(f"ALTER JOB {paused} PAUSE; ALTER JOB {paused} RESUME")
        if turn == 3:
            leat.restart(kill=True)
        leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
        for name in made:
            leat.sql(f"SELECT count(*) FROM {name}")
        for name in made if turn == 6 * scale - 1 else rng.sample(made, min(3, len(made))):
            done = verify(leat, name)
            assert done.stdout.rstrip().endswith(" 0 differ"), f"seed {seed}, turn {turn}, {name}: {done.stdout}{done.stderr}"
    late = late_rows(leat)
    assert all(late[name] > 0 for name in ("dropped", "hopped", "closed", "closed_hops", "kept")), late


def test_what_verify_cannot_tell_apart(leat):
    """Late rows that no single record stands for are refused by name, once there are some."""
    leat.sql("CREATE TOPIC t (k TEXT, x INT, at TIMESTAMPTZ, WATERMARK FOR at AS at)")
    views = {
        "beside": (f"SELECT k, count(*) AS n FROM {TUMBLE} GROUP BY k, window_start UNION ALL SELECT k, count(*) FROM t GROUP BY k",
                   "reads the same rows outside of its windows"),
        "over_hops": (f"SELECT max(n) AS n FROM (SELECT window_start, count(*) AS n FROM {HOP} GROUP BY 1)", "puts the windows together"),
        "many": ("SELECT window_start, count(*) AS n FROM hop(t, at, INTERVAL '1 second', INTERVAL '5 minutes') GROUP BY 1",
                 "more than 100 windows"),
    }
    for name, (query, _) in views.items():
        leat.sql(f"CREATE MATERIALIZED VIEW {name} WITH (late = 'drop') AS {query}")
    leat.sql("CREATE MATERIALIZED VIEW rows WITH (retention = '3000 days') AS SELECT k, at FROM t")
    leat.sql(f"CREATE MATERIALIZED VIEW over_rows AS SELECT window_end, count(*) AS n FROM {HOP.replace('t, at', 'rows, at')} GROUP BY 1{CLOSE}")
    views["over_rows"] = ("", "not kept which ones they were")
    for second in (1, 2, 600):
        leat.sql(f"INSERT INTO t VALUES ('a', 1, TIMESTAMPTZ '2024-01-01 00:00:00Z' + INTERVAL '{second} seconds')")
        leat.sql("SET leat.freshness = 'now'")
        for name in views:
            leat.sql(f"SELECT * FROM {name}")
            done = verify(leat, name)
            assert " 0 differ" in done.stdout, name + done.stdout + done.stderr
    assert leat.sql("SELECT sum(n) FROM over_rows") == [(5,)]
    leat.sql("INSERT INTO t VALUES ('a', 1, '2024-01-01 00:00:03Z')")
    for name, (_, why) in views.items():
        leat.sql(f"SELECT * FROM {name}")
        assert why in (done := verify(leat, name)).stderr, name + done.stdout + done.stderr
