# SPDX-License-Identifier: Apache-2.0
"""Views that read views of other pipelines: each pipeline is a process of its own, and follows the ticks of the others."""
import contextlib
import os
import random
import signal
import time

import pytest
from test_crash import Load

from conftest import wait_until

CHAIN = {
    "by_k": ("up", "SELECT k, count(*) AS n, sum(id) AS s FROM t GROUP BY k"),
    "by_n": ("mid", "SELECT n % 3 AS third, count(*) AS keys, sum(n) AS n, sum(s) AS s FROM by_k GROUP BY 1"),
    "all_of_it": ("down", "SELECT sum(keys) AS keys, sum(n) AS n, sum(s) AS s FROM by_n"),
}


def create(leat, name):
    pipeline, query = CHAIN[name]
    leat.sql(f"CREATE MATERIALIZED VIEW {name} WITH (pipeline = '{pipeline}') AS {query}")


def check(leat, names=CHAIN):
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    for name in names:
        assert sorted(leat.sql(f"SELECT * FROM {name}")) == sorted(leat.sql(CHAIN[name][1])), name


def verify(leat, name):
    done = leat.cli("verify", "--data", leat.data, "--view", name, "--kafka", leat.kafka)
    assert ", 0 differ" in done.stdout, done.stdout + done.stderr


def test_chain_of_three(leat):
    leat.sql("CREATE TOPIC t (id BIGINT NOT NULL, k TEXT) WITH (partitions = 3)")
    for name in CHAIN:
        create(leat, name)
    for i in range(20):
        leat.sql("INSERT INTO t VALUES " + ", ".join(f"({i * 10 + j}, 'k{j % 4}')" for j in range(10)))
    assert leat.sql("SELECT * FROM all_of_it") == [(4, 200, 19900)]  # what this session wrote, through all three
    check(leat)
    for name in CHAIN:
        verify(leat, name)


KILLS = ["--set", "role.deaths=1000000", "--set", "role.backoff=5 ms"]


@pytest.mark.parametrize("kept", ["ticks", "snapshots"])
def test_workers_are_killed_under_load(new_leat, seed, scale, kept):
    """Readers that come before, while and after the load; each worker dies at random. With `snapshots` the ticks that a
    worker missed while it was away are mostly gone, and it goes on by the difference to the view's snapshot."""
    args = KILLS + (["--set", "worker.manifest.interval=100 ms", "--set", "worker.tick.keep=0"] if kept == "snapshots" else [])
    leat = new_leat(args=args).start()
    leat.sql("CREATE TOPIC t (id BIGINT NOT NULL, k TEXT) WITH (partitions = 3)")
    create(leat, "by_k")
    create(leat, "by_n")
    load = Load(leat.kafka, "t", 3)
    load.start()
    rng = random.Random(seed)
    time.sleep(0.5)
    for i in range(16 * scale):
        time.sleep(rng.uniform(0.05, 0.6))
        if i == 5:
            create(leat, "all_of_it")
        workers = leat.role_pids("worker")
        for pid in rng.sample(workers, min(len(workers), rng.randrange(1, 4))):
            leat.kill_pid(pid)
        if rng.random() < 0.15:
            leat.kill_role("broker")
    for pid in leat.role_pids("worker") if kept == "snapshots" else []:  # one stands still while the others go on
        with contextlib.suppress(ProcessLookupError):  # one that was killed may still be on the list
            os.kill(pid, signal.SIGSTOP)
            time.sleep(1.5)
            os.kill(pid, signal.SIGCONT)
    load.stop_asked.set()
    load.join(150)
    assert not load.failed, load.failed[:3]
    leat.close()
    leat.sql("CREATE MATERIALIZED VIEW after WITH (pipeline = 'after') AS SELECT max(s) AS top, count(*) AS n FROM by_k")
    check(leat)
    assert leat.sql("SELECT * FROM after") == leat.sql("SELECT max(s), count(*) FROM by_k")
    assert leat.sql("SELECT n, s FROM all_of_it") == [(load.sent, load.sent * (load.sent - 1) // 2)]
    for name in [*CHAIN, "after"]:
        verify(leat, name)
    assert kept == "ticks" or "mirror compared" in "\n".join(leat.err)


SCANS = """
CREATE TOPIC scans (id BIGINT NOT NULL, site TEXT, weight INT, seen TIMESTAMPTZ NOT NULL,
  WATERMARK FOR seen AS seen - INTERVAL '5 seconds') WITH (partitions = 2);
"""
# upstream view: its SELECT, options, EMIT; and what is asked of it in another pipeline
KINDS = {
    "grouped": ("SELECT site, count(*) AS n, max(weight) AS top FROM scans GROUP BY site", "", "",
                "SELECT n, count(*) AS sites, max(top) AS top FROM {} GROUP BY n"),
    "single": ("SELECT count(*) AS n, sum(weight) AS w FROM scans", "", "", "SELECT n * 2 AS n, w FROM {}"),
    "filtered": ("SELECT site, count(*) AS n FROM scans GROUP BY site HAVING count(*) % 3 = 0", "", "",
                 "SELECT count(*) AS sites, sum(n) AS n FROM {}"),
    "uniques": ("SELECT DISTINCT site, weight % 5 AS five FROM scans", "", "", "SELECT site, count(*) AS n FROM {} GROUP BY site"),
    "kept": ("SELECT id, site, weight, seen FROM scans WHERE weight > 20", ", retention = '300 days'", "",
             "SELECT site, count(*) AS n, sum(weight) AS w FROM {} GROUP BY site"),
    "multiset": ("SELECT n FROM grouped", "", "", "SELECT n, count(*) AS times FROM {} GROUP BY n"),
    "windows": ("SELECT site, window_start, count(*) AS n FROM tumble(scans, seen, INTERVAL '10 seconds') GROUP BY ALL", "", "",
                "SELECT window_start, sum(n) AS n FROM {} GROUP BY window_start"),
    "closed": ("SELECT site, window_start, count(*) AS n FROM tumble(scans, seen, INTERVAL '10 seconds') GROUP BY ALL",
               ", retention = '300 days'", " EMIT ON WINDOW CLOSE",
               "SELECT site, count(*) AS windows, sum(n) AS n FROM {} GROUP BY site"),
}


def scans(leat, rng, first, count):
    base = 1790000000000
    leat.produce("scans", [f'{{"id":{i},"site":"s{rng.randrange(6)}","weight":{rng.randrange(100)},'
                           f'"seen":{base + i * 50 + rng.randrange(-4000, 4000)}}}' for i in range(first, first + count)])


def compare(leat, name, query):
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    key = lambda row: [str(value) for value in row]  # noqa: E731
    got, want = leat.sql(f"SELECT * FROM {name}"), leat.sql(query)
    assert sorted(got, key=key) == sorted(want, key=key), name


def test_every_kind_of_view(leat, seed):
    rng = random.Random(seed)
    leat.sql(SCANS)
    scans(leat, rng, 0, 500)
    for i, (name, (query, options, emit, over)) in enumerate(KINDS.items()):
        leat.sql(f"CREATE MATERIALIZED VIEW {name} WITH (pipeline = 'up'{options}) AS {query}{emit}")
        scans(leat, rng, 500 + i * 100, 100)
        leat.sql(f"CREATE MATERIALIZED VIEW over_{name} WITH (pipeline = 'down') AS {over.format(name)}")
    leat.sql("CREATE MATERIALIZED VIEW together WITH (pipeline = 'down') AS "
             "SELECT sum(n) AS n FROM (SELECT n FROM grouped UNION ALL SELECT -n FROM single)")
    for i in range(10):
        scans(leat, rng, 2000 + i * 100, 100)
        if i in (3, 6):
            for pid in leat.role_pids("worker"):
                leat.kill_pid(pid)
        for name, (_, _, _, over) in KINDS.items():
            compare(leat, f"over_{name}", over.format(name))
        assert leat.sql("SELECT n FROM together") == [(0,)]  # both views at the same tick of their pipeline
    for name in KINDS:
        verify(leat, f"over_{name}")


def test_watermarks_travel(leat, seed):
    """A window that closes downstream closes by the watermark of the view upstream, through two pipelines."""
    leat.sql(SCANS.replace("partitions = 2", "partitions = 1"))
    leat.sql("CREATE MATERIALIZED VIEW a WITH (pipeline = 'up', retention = '300 days') AS SELECT id, site, seen FROM scans WHERE weight > 10")
    leat.sql("CREATE MATERIALIZED VIEW b WITH (pipeline = 'mid', retention = '300 days') AS SELECT id, site, seen FROM a WHERE site <> 's5'")
    leat.sql("CREATE MATERIALIZED VIEW c WITH (pipeline = 'down') AS SELECT window_start, count(*) AS n "
             "FROM tumble(b, seen, INTERVAL '10 seconds') GROUP BY window_start EMIT ON WINDOW CLOSE")
    rng = random.Random(seed)
    scans(leat, rng, 0, 2000)
    leat.sql("SET leat.freshness = 'now'")
    want = leat.sql("SELECT time_bucket(INTERVAL '10 seconds', seen) AS w, count(*) FROM scans WHERE weight > 10 AND site <> 's5' "
                    "GROUP BY 1 ORDER BY 1")
    got = leat.sql("SELECT window_start, n FROM c ORDER BY 1")
    leat.sql("SELECT count(*) FROM a; SELECT count(*) FROM b")  # their pipelines are known to be up to date too
    jobs = {(row[0], row[3]): row for row in leat.sql("SHOW JOBS")}
    assert 6 <= len(got) <= len(want) - 1
    assert got == want[:len(got)]
    assert jobs["c", "b"][4] == jobs["b", "a"][4] == jobs["a", "scans"][4]


def test_pipelines_that_read_each_other_rest(leat):
    leat.sql("CREATE TOPIC t (id BIGINT NOT NULL, k TEXT) WITH (partitions = 3)")
    leat.sql("CREATE MATERIALIZED VIEW a WITH (pipeline = 'x') AS SELECT k, count(*) AS n FROM t GROUP BY k")
    leat.sql("CREATE MATERIALIZED VIEW b WITH (pipeline = 'y') AS SELECT n, count(*) AS m FROM a GROUP BY n")
    leat.sql("CREATE MATERIALIZED VIEW c WITH (pipeline = 'x') AS SELECT sum(m) AS m, sum(n * m) AS n FROM b")
    leat.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'a')")
    assert leat.sql("SELECT * FROM c") == [(2, 3)]

    def rests():
        ticks = [row[3] for row in leat.sql("SHOW PIPELINES")]
        time.sleep(3)
        return [row[3] for row in leat.sql("SHOW PIPELINES")] == ticks

    wait_until(rests)


def test_what_users_see(leat):
    leat.sql("CREATE TOPIC t (id BIGINT NOT NULL, k TEXT) WITH (partitions = 3)")
    leat.sql("CREATE MATERIALIZED VIEW a WITH (pipeline = 'x') AS SELECT k, count(*) AS n FROM t GROUP BY k")
    leat.sql("CREATE MATERIALIZED VIEW b WITH (pipeline = 'y') AS SELECT sum(n) AS n FROM a")
    leat.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    assert leat.sql("SELECT * FROM b") == [(2,)]
    assert ("b", "y", "running", "a") in [row[:4] for row in leat.sql("SHOW JOBS")]
    assert any("a of pipeline x" in str(row) for row in leat.sql("EXPLAIN SELECT * FROM b") + leat.sql(
        "EXPLAIN CREATE MATERIALIZED VIEW d WITH (pipeline = 'y') AS SELECT sum(n) AS n FROM a"))
    with pytest.raises(Exception, match="b"):
        leat.sql("DROP MATERIALIZED VIEW a")
    wait_until(lambda: age(leat, "b") == 0)
    leat.sql("ALTER JOB a PAUSE")
    leat.sql("SET leat.freshness = 'none'")
    leat.sql("INSERT INTO t VALUES (3, 'a')")
    wait_until(lambda: age(leat, "b") > 1000 and age(leat, "a") > 1000)
    assert leat.sql("SELECT * FROM b") == [(2,)]
    leat.sql("ALTER JOB a RESUME")
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT * FROM b") == [(3,)]
    wait_until(lambda: age(leat, "b") < 1000)
    leat.sql("DROP MATERIALIZED VIEW a CASCADE")
    assert leat.sql("SHOW JOBS") == []


def age(leat, view):
    with leat.connect() as connection:
        rows = connection.execute("SHOW JOBS")
        at = [column.name for column in rows.description].index("data_age_ms")
        return max(row[at] for row in rows if row[0] == view)
