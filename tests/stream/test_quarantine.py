# SPDX-License-Identifier: Apache-2.0
"""Records that do not fit their topic: none is lost, each is seen once, and they can be played back."""
import random
import threading
import time

import conftest
from confluent_kafka import Producer


def test_newest_row_of_each_of_many_keys():
    """Memory that the allocator filled with ones must not hide rows of a keyed topic's SELECT."""
    conftest.need_binary()
    leat = conftest.Leat(env={"MALLOC_PERTURB_": "90"}).start()
    try:
        leat.sql("CREATE TOPIC k (k TEXT PRIMARY KEY, n INT)")
        rows = 20000
        leat.sql(f"INSERT INTO k SELECT 'k' || i, i FROM range({rows}) r(i)")
        assert leat.sql("SELECT count(*), count(DISTINCT n) FROM k") == [(rows, rows)]
        assert leat.stop() == 0
        leat.check()
    finally:
        leat.done()


class Load(threading.Thread):
    """Sends numbered records, one in twenty of them bad, with an idempotent producer until told to stop."""

    def __init__(self, address, partitions):
        super().__init__(daemon=True)
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 5,
                                  "message.timeout.ms": 120000, "reconnect.backoff.max.ms": 500})
        self.partitions = partitions
        self.stop_asked = threading.Event()
        self.sent, self.good, self.bad, self.failed = 0, 0, set(), []

    def run(self):
        while not self.stop_asked.is_set():
            for _ in range(50):
                number, partition = self.sent, self.sent % self.partitions
                self.sent += 1
                value = f'{{"id":"{number}"}}' if number % 20 == 7 else f'{{"id":{number}}}'
                while len(self.producer) > 20000:
                    self.producer.poll(0.1)
                self.producer.produce("t", value, partition=partition, on_delivery=self.delivered)
            self.producer.poll(0.02)
        self.producer.flush(120)

    def delivered(self, error, message):
        if error is not None:
            self.failed.append(str(error))
        elif b'"id":"' in message.value():
            self.bad.add((message.partition(), message.offset()))
        else:
            self.good += 1


def wait_refused(leat, want, timeout_s=20):
    """Until SHOW JOBS has these (view, input, quarantined); it follows the ticks, and begins anew after a start."""
    deadline = time.monotonic() + timeout_s
    while (got := sorted((row[0], row[3], row[7]) for row in leat.sql("SHOW JOBS"))) != want:
        assert time.monotonic() < deadline, f"{got}, not {want}"
        time.sleep(0.05)


def test_no_refused_record_is_lost_when_roles_are_killed(new_leat, seed, scale):
    leat = new_leat(args=["--set", "role.deaths=1000000", "--set", "role.backoff=5 ms"]).start()
    leat.sql("CREATE TOPIC t (id BIGINT NOT NULL) WITH (partitions = 3)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    load = Load(leat.kafka, 3)
    load.start()
    rng = random.Random(seed)
    for _ in range(15 * scale):
        time.sleep(rng.uniform(0.02, 0.5))
        leat.kill_role(rng.choice(["worker", "worker", "worker", "broker"]))
    load.stop_asked.set()
    load.join(150)
    assert not load.failed, load.failed[:3]
    leat.restart(kill=True)
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    assert leat.sql("SELECT n FROM v") == [(load.good,)]
    # The topic itself is not read by any SELECT here: what is there the jobs have written.
    assert set(leat.sql('SELECT "partition", "offset" FROM "t$quarantine"')) == load.bad
    assert leat.sql('SELECT count(*) FROM "t$quarantine"') == [(len(load.bad),)]
    wait_refused(leat, [("v", "t", len(load.bad))])


def test_refused_are_counted_over_restarts(leat):
    leat.sql("CREATE TOPIC t (n INT)")
    leat.sql("CREATE TOPIC k (k TEXT PRIMARY KEY, n INT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t JOIN k ON k.k = t.n::TEXT")
    leat.produce("t", ['{"n":1}', '{"n":"x"}', '{"n":2}', "{}}"])
    leat.kcat("-P", "-t", "k", "-K:", input='1:{"n":1}\n1:{"n":"x"}\n')
    leat.sql("SET leat.freshness = 'now'")
    leat.sql("SELECT * FROM v")
    leat.wait_for('SELECT count(*) FROM "k$quarantine"', [(1,)])
    wait_refused(leat, [("v", "k", 1), ("v", "t", 2)])
    leat.restart()
    wait_refused(leat, [("v", "k", 1), ("v", "t", 2)])
    leat.restart(kill=True)
    wait_refused(leat, [("v", "k", 1), ("v", "t", 2)])
    leat.produce("t", ["[]"])
    leat.sql("SET leat.freshness = 'now'")
    leat.sql("SELECT * FROM v")
    wait_refused(leat, [("v", "k", 1), ("v", "t", 3)])
    # A view that is made later reads, refuses and counts the same records; each is seen once.
    leat.sql("CREATE MATERIALIZED VIEW w AS SELECT sum(n) AS n FROM t")
    assert leat.sql("SELECT n FROM w") == [(3,)]
    wait_refused(leat, [("v", "k", 1), ("v", "t", 3), ("w", "t", 3)])
    assert leat.sql('SELECT count(*) FROM "t$quarantine"') == [(3,)]


def test_large_records_fit_into_the_quarantine(leat):
    """In base64 a record of the largest size is larger than a topic takes by default."""
    leat.sql("CREATE TOPIC t (n INT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    big = '{"n":"' + "x" * 1000000 + '"}'
    producer = Producer({"bootstrap.servers": leat.kafka, "message.max.bytes": 1048576})
    for value in (big, '{"n":1}', '{"n":"y"}'):
        producer.produce("t", value)
    assert producer.flush(20) == 0
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM v") == [(1,)]
    rows = leat.sql('SELECT "offset", octet_length(value) FROM "t$quarantine" ORDER BY 1')
    assert rows == [(0, len(big)), (2, 9)]


def test_a_quarantine_with_small_batches_keeps_what_fits(leat):
    leat.sql("CREATE TOPIC t (n INT)")
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({"bootstrap.servers": leat.kafka})
    admin.create_topics([NewTopic("t.quarantine", 1, config={"max.message.bytes": "20000"})])["t.quarantine"].result(10)
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    leat.produce("t", ['{"n":"' + "x" * size + '"}' for size in (10, 100000, 10)] + ['{"n":1}'])
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM v") == [(1,)]
    rows = leat.sql('SELECT octet_length(value), reason FROM "t$quarantine" ORDER BY "offset"')
    assert [size for size, _ in rows][::2] == [18, 18] and 8000 < rows[1][0] < 15000
    assert "cut: key and value have 100008 bytes" in rows[1][1]


def test_a_quarantine_that_was_deleted_is_made_again(leat):
    from confluent_kafka.admin import AdminClient
    leat.sql("CREATE TOPIC t (n INT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    leat.produce("t", ["bad", '{"n":1}'])
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM v") == [(1,)]
    admin = AdminClient({"bootstrap.servers": leat.kafka})
    admin.delete_topics(["t.quarantine"])["t.quarantine"].result(10)
    leat.produce("t", ["worse", '{"n":1}'])
    assert leat.sql("SELECT n FROM v") == [(2,)]
    assert leat.sql('SELECT "offset", value FROM "t$quarantine"') == [(2, b"worse")]


def test_what_a_view_cannot_compute_is_counted_and_named(leat):
    leat.sql("CREATE TOPIC t (s TEXT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT sum(s::INT) AS n FROM t")
    leat.produce("t", [{"s": "1"}, {"s": "one"}, {"s": "2"}])
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM v") == [(3,)]
    (reason,), = leat.sql('SELECT reason FROM "t$quarantine"')
    assert reason.startswith("view v: ") and "one" in reason
    wait_refused(leat, [("v", "t", 1)])
    leat.restart()
    wait_refused(leat, [("v", "t", 1)])
