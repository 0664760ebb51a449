# SPDX-License-Identifier: Apache-2.0
"""Records that do not fit their topic: none is lost, each is seen once, and they can be played back."""
import os
import random
import signal
import threading
import time

import conftest
import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic


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


def wait_refused(leat, want, timeout_s=conftest.PATIENCE_S):
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
    assert producer.flush(conftest.PATIENCE_S) == 0
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM v") == [(1,)]
    rows = leat.sql('SELECT "offset", octet_length(value) FROM "t$quarantine" ORDER BY 1')
    assert rows == [(0, len(big)), (2, 9)]


def test_a_quarantine_with_small_batches_keeps_what_fits(leat):
    leat.sql("CREATE TOPIC t (n INT)")
    admin = AdminClient({"bootstrap.servers": leat.kafka})
    admin.create_topics([NewTopic("t.quarantine", 1, config={"max.message.bytes": "20000"})])["t.quarantine"].result(conftest.PATIENCE_S)
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    leat.produce("t", ['{"n":"' + "x" * size + '"}' for size in (10, 100000, 10)] + ['{"n":1}'])
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM v") == [(1,)]
    rows = leat.sql('SELECT octet_length(value), reason FROM "t$quarantine" ORDER BY "offset"')
    assert [size for size, _ in rows][::2] == [18, 18] and 8000 < rows[1][0] < 15000
    assert "cut: key and value have 100008 bytes" in rows[1][1]


def test_a_quarantine_that_was_deleted_is_made_again(leat):
    leat.sql("CREATE TOPIC t (n INT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    leat.produce("t", ["bad", '{"n":1}'])
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM v") == [(1,)]
    admin = AdminClient({"bootstrap.servers": leat.kafka})
    admin.delete_topics(["t.quarantine"])["t.quarantine"].result(conftest.PATIENCE_S)
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


def test_views_quarantine_and_counts_agree_at_once(leat, seed, scale):
    """Flat out with one bad record in twenty: as soon as the views cover what was sent, nothing is missing anywhere."""
    leat.sql("CREATE TOPIC t (id BIGINT NOT NULL, k TEXT) WITH (partitions = 3)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    leat.sql("CREATE MATERIALIZED VIEW w AS SELECT k, count(*) AS n FROM t GROUP BY k")
    leat.sql("SET leat.freshness = 'now'")
    rng, sent, bad = random.Random(seed), 0, 0
    producer = Producer({"bootstrap.servers": leat.kafka, "linger.ms": 2, "queue.buffering.max.messages": 1000000})
    for _ in range(5 * scale):
        for _ in range(20000):
            spoiled = rng.random() < 0.05
            producer.produce("t", f'{{"id":{sent},"k":{sent % 100}}}' if not spoiled else rng.choice(['{"id":"x"}', "{}", "x", ""]),
                             partition=sent % 3)
            sent, bad = sent + 1, bad + spoiled
        assert producer.flush(60) == 0
        assert leat.sql("SELECT n FROM v") == [(sent - bad,)]
        assert leat.sql("SELECT sum(n) FROM w") == [(sent - bad,)]
        assert leat.sql('SELECT count(*) FROM "t$quarantine"') == [(bad,)]
        assert sorted((row[0], row[7]) for row in leat.sql("SHOW JOBS")) == [("v", bad), ("w", bad)]


# ---- SELECTs --------------------------------------------------------------------------------------------------------
def ask(leat, text):
    """Rows and notices of a statement on a connection of its own."""
    notices = []
    with leat.connect() as connection:
        connection.add_notice_handler(lambda d: notices.append(d.message_primary))
        return connection.execute(text).fetchall(), notices


def log_end(leat, topic):
    consumer = Consumer({"bootstrap.servers": leat.kafka, "group.id": "tests"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=conftest.PATIENCE_S)[1]
    finally:
        consumer.close()


def test_a_select_puts_aside_what_it_skips_and_says_so(leat):
    leat.sql("CREATE TOPIC t (n INT, s TEXT NOT NULL) WITH (partitions = 2)")
    leat.produce("t", ['{"n":1,"s":"a"}', '{"n":"x","s":"a"}', '{"n":1}'], partition=0)
    leat.produce("t", ["oops"], partition=1)
    note = '3 records of topic t did not fit their columns: SELECT * FROM "t$quarantine"'
    assert ask(leat, "SELECT count(*) FROM t") == ([(1,)], [note])
    rows = [(0, 1, "n", b'{"n":"x","s":"a"}'), (0, 2, "s", b'{"n":1}'), (1, 0, None, b"oops")]
    look = 'SELECT "partition", "offset", "column", value FROM "t$quarantine" ORDER BY 1, 2'
    assert ask(leat, look) == (rows, [])
    # They are written once, whoever asks again.
    for _ in range(3):
        assert ask(leat, "SELECT n FROM t WHERE n > 5") == ([], [note])
        assert ask(leat, "SELECT count(*) FROM t a JOIN t b USING (n)") == ([(1,)], [note])
    assert leat.sql(look) == rows and log_end(leat, "t.quarantine") == 3
    # Also when query starts anew, and when a job has written them.
    leat.restart(kill=True)
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    assert leat.sql("SELECT n FROM v") == [(1,)]
    ends = log_end(leat, "t.quarantine")
    assert ask(leat, "SELECT count(*) FROM t") == ([(1,)], [note])
    assert leat.sql(look) == rows and log_end(leat, "t.quarantine") == ends
    # What a SELECT does not read it does not tell.
    assert ask(leat, "SELECT count(*) FROM t WHERE kafka_partition = 1")[1] == [
        '1 record of topic t did not fit its columns: SELECT * FROM "t$quarantine"']
    assert ask(leat, "SELECT n FROM t WHERE kafka_partition = 0 LIMIT 1")[0] == [(1,)]
    assert leat.psql("-c", "SELECT count(*) FROM t").stderr.strip() == f"NOTICE:  {note}"


def test_a_select_answers_when_the_quarantine_takes_nothing(leat):
    leat.sql("CREATE TOPIC t (n INT)")
    leat.produce("t", ["bad", '{"n":1}'])
    admin = AdminClient({"bootstrap.servers": leat.kafka})
    admin.create_topics([NewTopic("t.quarantine", 1, config={"max.message.bytes": "1"})])["t.quarantine"].result(conftest.PATIENCE_S)
    begun = time.monotonic()
    rows, notices = ask(leat, "SELECT n FROM t")
    assert rows == [(1,)] and len(notices) == 1 and time.monotonic() - begun < 5
    leat.wait_log("refused records were not put aside")
    # When the cause is gone the next SELECT writes them.
    resource = ConfigResource("topic", "t.quarantine", incremental_configs=[
        ConfigEntry("max.message.bytes", "1000000", incremental_operation=AlterConfigOpType.SET)])
    admin.incremental_alter_configs([resource])[resource].result(conftest.PATIENCE_S)
    assert ask(leat, "SELECT n FROM t")[0] == [(1,)]
    assert leat.sql('SELECT value FROM "t$quarantine"') == [(b"bad",)]


def retention_ms(leat, topic):
    admin = AdminClient({"bootstrap.servers": leat.kafka})
    resource = ConfigResource("topic", topic)
    return int(admin.describe_configs([resource])[resource].result(conftest.PATIENCE_S)["retention.ms"].value)


def test_a_quarantine_is_kept_as_long_as_its_topic(leat):
    leat.sql("CREATE TOPIC t (n INT) WITH (retention = '3 days')")
    leat.sql("CREATE TOPIC k (k TEXT PRIMARY KEY, n INT)")
    leat.produce("t", ["bad"])
    leat.kcat("-P", "-t", "k", "-K:", input='1:{"n":"x"}\n')
    assert ask(leat, "SELECT * FROM t")[0] == ask(leat, "SELECT * FROM k")[0] == []
    assert leat.sql('SELECT count(*) FROM "t$quarantine"') == leat.sql('SELECT count(*) FROM "k$quarantine"') == [(1,)]
    day = 24 * 3600 * 1000
    assert retention_ms(leat, "t.quarantine") == 3 * day and retention_ms(leat, "k.quarantine") == 30 * day
    leat.sql("ALTER TOPIC t SET (retention = '5 days')")
    assert retention_ms(leat, "t.quarantine") == 5 * day


# ---- REPLAY ---------------------------------------------------------------------------------------------------------
def replay(leat, text, connection=None):
    """(command tag, notice) of a REPLAY."""
    notices = []
    with connection or leat.connect() as own:
        own.add_notice_handler(lambda d: notices.append(d.message_primary))
        cursor = own.execute(text)
        return cursor.statusmessage, "; ".join(notices)


def test_replay_makes_records_fit(leat):
    leat.sql("CREATE TOPIC t (id INT NOT NULL, n INT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c, sum(n) AS n FROM t")
    assert replay(leat, "REPLAY QUARANTINE OF t") == ("REPLAY 0", "topic t: 0 records played back")
    leat.kcat("-P", "-t", "t", "-K|", input='a|{"id":1,"n":"5"}\nb|{"id":2,"n":7}\nc|{"n":1}\nd|{"id":3,"n":"6"}\n')
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT c, n FROM v") == [(1, 7)]
    # Nothing has changed: they fit no better than before.
    tag, note = replay(leat, "REPLAY QUARANTINE OF t")
    assert tag == "REPLAY 0" and note == 'topic t: 0 records played back, 3 do not fit: "5" is a string, not a number (INTEGER)'
    assert leat.sql('SELECT count(*) FROM "t$quarantine" WHERE replayed IS NULL') == [(3,)]
    # The producer wrote numbers as text.
    fix = """REPLAY QUARANTINE OF t USING regexp_replace(decode(value), '"n":"(\\d+)"', '"n":\\1') WHERE "column" = 'n'"""
    assert replay(leat, "VALIDATE " + fix)[0] == "VALIDATE"
    assert replay(leat, fix) == ("REPLAY 2", "topic t: 2 records played back")
    assert leat.sql("SELECT c, n FROM v") == [(3, 18)]
    assert leat.sql("SELECT id, n, kafka_key, kafka_offset FROM t WHERE kafka_offset > 3") == [(1, 5, b"a", 4), (3, 6, b"d", 5)]
    assert leat.sql("SELECT kafka_headers[1].key, kafka_headers[1].value FROM t WHERE kafka_offset = 5") == [
        ("leat-replayed-from", b"0:3")]
    times = leat.sql("SELECT q.timestamp = t.kafka_timestamp FROM \"t$quarantine\" q, t WHERE q.\"offset\" = 0 AND t.kafka_offset = 4")
    assert times == [(True,)]
    # They are played back once, also when somebody reads and refuses the old ones again.
    assert replay(leat, fix) == ("REPLAY 0", "topic t: 0 records played back")
    leat.sql("CREATE MATERIALIZED VIEW w AS SELECT count(*) AS c, sum(n) AS n FROM t")
    assert leat.sql("SELECT c, n FROM w") == [(3, 18)]
    leat.restart(kill=True)
    assert leat.sql("SELECT count(*) FROM t") == [(3,)]
    assert replay(leat, fix) == ("REPLAY 0", "topic t: 0 records played back")
    assert leat.sql('SELECT "offset", replayed IS NOT NULL FROM "t$quarantine" ORDER BY 1') == [(0, True), (2, False), (3, True)]
    assert leat.sql('SELECT count(*) FROM "t$quarantine"') == [(3,)]


def test_replay_counts_what_fits_where_it_stands(leat):
    """A record that the log still has is taken by all readers once the columns let it: writing it again would double it."""
    leat.sql("CREATE TOPIC t (id INT, n INT)")
    leat.produce("t", ['{"id":1,"n":"x"}', '{"id":"x"}', '{"id":2,"n":1}'])
    assert leat.sql("SELECT id FROM t") == [(2,)]
    leat.sql("ALTER TOPIC t DROP COLUMN n")
    assert leat.sql("SELECT id FROM t ORDER BY 1") == [(1,), (2,)]
    tag, note = replay(leat, "REPLAY QUARANTINE OF t")
    assert tag == "REPLAY 0"
    assert note == 'topic t: 0 records played back, 1 fits where it stands, 1 does not fit: "x" is a string, not a number (INTEGER)'
    assert leat.sql("SELECT id FROM t ORDER BY 1") == [(1,), (2,)]
    assert leat.sql('SELECT "offset" FROM "t$quarantine" WHERE replayed IS NULL') == [(1,)]
    # What the log has no more is written again, with its time.
    leat.sql("ALTER TOPIC t RENAME COLUMN id TO other")
    admin = AdminClient({"bootstrap.servers": leat.kafka})
    admin.delete_records([TopicPartition("t", 0, 3)])[TopicPartition("t", 0, 3)].result(conftest.PATIENCE_S)
    assert leat.sql("SELECT * FROM t") == []
    assert replay(leat, "REPLAY QUARANTINE OF t") == ("REPLAY 1", "topic t: 1 record played back")
    assert leat.sql("SELECT other, kafka_offset FROM t") == [(None, 3)]


def test_replay_refusals_have_their_place(leat):
    leat.sql("CREATE TOPIC t (n INT)")
    leat.sql("CREATE TOPIC k (k TEXT PRIMARY KEY, n INT)")
    leat.sql("CREATE VIEW plain AS SELECT n FROM t")
    for marked, message in (
            ("REPLAY QUARANTINE OF ^nothing", 'relation "nothing" does not exist'),
            ("REPLAY QUARANTINE OF ^plain", '"plain" is no topic with columns'),
            ("REPLAY QUARANTINE OF ^k", "an old record would take the place of newer ones"),
            ("REPLAY QUARANTINE OF t USING ^wrong || 'x'", "wrong"),
            ("REPLAY QUARANTINE OF t USING decode(value) WHERE ^nope = 1", "nope"),
            ("REPLAY QUARANTINE OF t WHERE reason = 'x' AND ^nope", "nope"),
            ("REPLAY QUARANTINE OF t USING ^\"offset\" + 1", "USING must give the record's new value as TEXT or BYTEA"),
            ("REPLAY QUARANTINE OF t WHERE true^) OR (true", 'near ")"')):
        place = marked.index("^") + 1
        try:
            leat.sql(marked.replace("^", ""))
        except psycopg.Error as error:
            assert message in error.diag.message_primary, error
            assert error.diag.statement_position == str(place), (marked, error.diag.statement_position)
        else:
            raise AssertionError(f"{marked} was accepted")


class Killer(threading.Thread):
    """Kills query as soon as the topic has grown by some records: in the middle of a REPLAY."""

    def __init__(self, leat, records):
        super().__init__(daemon=True)
        self.pid, self.records, self.done, self.killed = leat.role_pids("query")[0], records, False, False
        self.consumer = Consumer({"bootstrap.servers": leat.kafka, "group.id": "tests"})
        self.begun = self.size()
        leat.expects_death = True
        self.start()

    def size(self):
        return sum(self.consumer.get_watermark_offsets(TopicPartition("t", p), timeout=conftest.PATIENCE_S)[1] for p in (0, 1))

    def run(self):
        while not self.done and self.size() < self.begun + self.records:
            pass
        if not self.done:
            self.killed = True
            os.kill(self.pid, signal.SIGKILL)


def test_replay_once_when_query_is_killed(new_leat, seed, scale):
    leat = new_leat(args=["--set", "role.deaths=1000000", "--set", "role.backoff=5 ms"]).start()
    count, fix = 8000, """REPLAY QUARANTINE OF t USING replace(decode(value), '"x"', '1')"""
    leat.sql("CREATE TOPIC t (id INT NOT NULL, n INT) WITH (partitions = 2)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c, count(DISTINCT id) AS d, sum(id) AS s FROM t")
    for partition in (0, 1):
        leat.produce("t", [f'{{"id":{i},"n":"x"}}' for i in range(partition, count, 2)], partition=partition)
    leat.wait_for('SELECT count(*) FROM "t$quarantine"', [(count,)])
    rng = random.Random(seed)
    for _ in range(8 * scale):
        leat.close()
        if leat.sql('SELECT count(*) FROM "t$quarantine" WHERE replayed IS NULL') == [(0,)]:
            break
        killer = Killer(leat, rng.choice([1, 1, 1, 501]))
        try:
            replay(leat, fix)
        except psycopg.OperationalError:
            pass
        killer.done = True
        killer.join()
        while killer.killed and leat.role_pids("query") in ([], [killer.pid]):
            time.sleep(0.02)
    leat.close()
    print(replay(leat, fix))
    assert replay(leat, fix) == ("REPLAY 0", "topic t: 0 records played back")
    assert leat.sql('SELECT count(*), count(replayed) FROM "t$quarantine"') == [(count, count)]
    leat.sql("SET leat.freshness = 'now'")
    want = [(count, count, count * (count - 1) // 2)]
    assert leat.sql("SELECT count(*), count(DISTINCT id), sum(id) FROM t") == want
    assert leat.sql("SELECT c, d, s FROM v") == want


def test_a_row_that_fails_above_a_lookup_goes_to_the_quarantine(leat):
    """What a row has found in a keyed topic may be what it fails on; the rows beside it go on, in each kind of view."""
    leat.sql("CREATE TOPIC k (k TEXT PRIMARY KEY, size TEXT, next TEXT)")
    leat.sql("INSERT INTO k VALUES ('a', '1', 'b'), ('b', '20', 'a'), ('x', 'wide', 'a'), ('y', '5', 'x')")
    leat.sql("CREATE TOPIC t (id BIGINT, k TEXT, num TEXT, ts TIMESTAMPTZ, WATERMARK FOR ts AS ts - INTERVAL '1 second')")
    views = {
        "agg": ("SELECT k.k, sum(CAST(k.size AS INT)) AS size, count(*) AS n FROM t LEFT JOIN k ON k.k = t.k GROUP BY k.k",
                [("a", 100, 100), ("b", 2000, 100), ("y", 500, 100), (None, None, 100)], 100),
        "inner_agg": ("SELECT sum(CAST(k.size AS INT)) AS size, count(DISTINCT CAST(k.size AS INT)) AS n "
                      "FROM t JOIN k ON k.k = t.k", [(2600, 3)], 100),
        "far": ("SELECT count(*) AS n, sum(size) AS size FROM (SELECT t.id, CAST(n.size AS INT) AS size FROM t "
                "LEFT JOIN k ON k.k = t.k LEFT JOIN k AS n ON n.k = k.next)", [(400, 2200)], 100),
        "filtered": ("SELECT k.k, count(*) AS n FROM t JOIN k ON k.k = t.k WHERE CAST(t.num AS INT) + CAST(k.size AS "
                     "INT) > 0 GROUP BY 1", [("a", 99), ("b", 100), ("y", 99)], 102),
        "twice": ("SELECT x, count(*) AS n FROM (SELECT CAST(k.size AS INT) AS x FROM t JOIN k ON k.k = t.k UNION ALL "
                 "SELECT CAST(num AS INT) FROM t WHERE id < 30) GROUP BY 1", [(1, 99), (20, 100), (5, 99), (7, 22)], 102),
        "closed": ("SELECT window_start, sum(CAST(k.size AS INT)) AS size FROM tumble(t, ts, INTERVAL '1 minute') w "
                   "JOIN k ON k.k = w.k GROUP BY 1", [], 100),
    }
    late = list(views)[3:]
    for name, (query, _, _) in views.items():
        if name not in late:
            leat.sql(f"CREATE MATERIALIZED VIEW {name} AS {query}")
    leat.sql("INSERT INTO t SELECT i, ['a', 'b', 'x', 'y', 'none'][i % 5 + 1], CASE WHEN i IN (3, 10) THEN 'no' ELSE '7' END, "
             "TIMESTAMPTZ '2026-01-01 00:00:00Z' + INTERVAL '1 second' * i FROM range(500) r(i)")
    for name in late:  # fills
        emit = " EMIT ON WINDOW CLOSE" if name == "closed" else ""
        leat.sql(f"CREATE MATERIALIZED VIEW {name} AS {views[name][0]}{emit}")
    leat.sql("SET leat.freshness = 'now'")
    for name, (_, want, _) in views.items():
        if want:
            assert sorted(leat.sql(f"SELECT * FROM {name}"), key=str) == sorted(want, key=str), name
    assert leat.sql("SELECT sum(size), count(*) FROM closed") == [(12 * (1 + 20 + 5) * 8, 8)]
    refused = {}
    for row in leat.sql("SHOW JOBS"):
        assert row[2] == "running", row
        refused[row[0]] = refused.get(row[0], 0) + (row[7] if row[3] == "t" else 0)
    assert refused == {name: count for name, (_, _, count) in views.items()}
    for name in views:
        if name != "closed":  # it drops late rows
            done = leat.cli("verify", "--data", leat.data, "--view", name, "--kafka", leat.kafka, check=False)
            assert ", 0 differ" in done.stdout, name + done.stdout + done.stderr


def verified(leat, name):
    done = leat.cli("verify", "--data", leat.data, "--view", name, "--kafka", leat.kafka, check=False)
    assert ", 0 differ" in done.stdout, name + done.stdout + done.stderr


def test_a_row_that_fails_in_any_branch_goes_to_the_quarantine(leat):
    """An expression of the second aggregate, of the second DISTINCT, of a branch beside an aggregate: the row is found before
    anything of its tick is kept, and the others go on."""
    leat.sql("CREATE TOPIC t (id BIGINT, k TEXT, a TEXT, b TEXT)")
    leat.sql("CREATE TOPIC r (k TEXT PRIMARY KEY, size TEXT)")
    leat.sql("INSERT INTO r VALUES ('a', '1'), ('b', '2'), ('c', 'no')")
    by_k = "SELECT k, sum(id) AS n FROM t GROUP BY k"
    views = {
        "two": f"{by_k} UNION ALL SELECT 'b', sum(CAST(b AS INT)) FROM t",
        "three": f"{by_k} UNION ALL SELECT a, max(id) FROM t GROUP BY a UNION ALL SELECT 'x', min(CAST(b AS INT)) FROM t",
        "sets": "SELECT count(DISTINCT CAST(a AS INT)) AS a, count(DISTINCT CAST(b AS INT)) AS b FROM t",
        "beside": f"SELECT n, count(*) AS c FROM (SELECT n FROM ({by_k}) UNION ALL SELECT CAST(b AS INT) FROM t) GROUP BY n",
        "looked_up": f"{by_k} UNION ALL SELECT 'r', sum(CAST(r.size AS INT)) FROM t JOIN r ON r.k = t.k",
        "nested": "SELECT count(*) AS c, sum(s) AS s FROM (SELECT k, sum(CAST(b AS INT)) AS s FROM t WHERE CAST(a AS INT) > 0 "
                  "GROUP BY k)",
    }
    for name, query in views.items():
        leat.sql(f"CREATE MATERIALIZED VIEW {name} AS {query}")
    for turn in range(4):
        leat.sql("INSERT INTO t SELECT i, ['a', 'b', 'c'][i % 3 + 1], CASE WHEN i % 50 = 7 THEN 'no' ELSE CAST(i % 9 AS TEXT) END, "
                 f"CASE WHEN i % 50 = 9 THEN 'no' ELSE CAST(i % 11 AS TEXT) END FROM range({100 * turn}, {100 * turn + 100}) r(i)")
        leat.sql("SET leat.freshness = 'now'")
        for name in views:
            leat.sql(f"SELECT count(*) FROM {name}")
            verified(leat, name)
    refused = {row[0]: row[7] for row in leat.sql("SHOW JOBS") if row[3] == "t"}
    states = {row[0]: row[2] for row in leat.sql("SHOW JOBS")}
    assert set(states.values()) == {"running"}, states
    assert refused == {"two": 8, "three": 8, "sets": 16, "beside": 8, "looked_up": 133, "nested": 15}
    leat.restart(kill=True)
    for name in views:
        verified(leat, name)


def reason(leat, name):
    return next((f"{row[2]}: {row[10]}" for row in leat.sql("SHOW JOBS") if row[0] == name), "")


def test_a_result_that_cannot_be_computed_on_pauses_its_view_alone(leat):
    """No record is to blame: the view stops with the expression, its values and what to do."""
    leat.sql("CREATE TOPIC t (k TEXT, n INT)")
    leat.sql("CREATE MATERIALIZED VIEW sums AS SELECT k, sum(n) AS s FROM t GROUP BY k")
    views = {
        "grouped": ("SELECT CAST(s AS SMALLINT) AS s, count(*) AS c FROM (SELECT k, sum(n) AS s FROM t GROUP BY k) GROUP BY 1",
                    "CAST(40000 AS SMALLINT)"),
        "summed": ("SELECT sum(CAST(s AS SMALLINT)) AS s FROM (SELECT k, sum(n) AS s FROM t GROUP BY k)",
                   "CAST(40000 AS SMALLINT)"),
        "over_view": ("SELECT CAST(s AS SMALLINT) AS s, count(*) AS c FROM sums GROUP BY 1", "CAST(40000 AS SMALLINT)"),
        "text": ("SELECT CAST(m AS DATE) AS d, count(*) AS c FROM (SELECT n, max(k) AS m FROM t GROUP BY n) GROUP BY 1",
                 "CAST('z' AS DATE)"),
    }
    leat.sql("INSERT INTO t VALUES ('2026-01-01', 1), ('2026-01-02', 2)")
    for name, (query, _) in views.items():
        leat.sql(f"CREATE MATERIALIZED VIEW {name} AS {query}")
    leat.sql("CREATE MATERIALIZED VIEW other AS SELECT count(*) AS c FROM t")
    leat.sql("SET leat.freshness = 'now'")
    for name in views:
        leat.sql(f"SELECT * FROM {name}")
    leat.sql("INSERT INTO t VALUES ('z', 30000), ('z', 10000)")
    assert leat.sql("SELECT c FROM other") == [(4,)]
    for name, (_, text) in views.items():
        deadline = time.monotonic() + 10
        while text not in (got := reason(leat, name)):
            assert time.monotonic() < deadline, got
            time.sleep(0.05)
        assert got.startswith("failed: ") and "no single record is to blame" in got and "TRY_CAST" in got, got
    assert leat.sql("SELECT * FROM sums ORDER BY k") == [("2026-01-01", 1), ("2026-01-02", 2), ("z", 40000)]
    leat.sql("CREATE OR REPLACE MATERIALIZED VIEW grouped AS SELECT TRY_CAST(s AS SMALLINT) AS s, count(*) AS c "
             "FROM (SELECT k, sum(n) AS s FROM t GROUP BY k) GROUP BY 1")
    assert sorted(leat.sql("SELECT * FROM grouped"), key=str) == [(1, 1), (2, 1), (None, 1)]
    verified(leat, "grouped")
    verified(leat, "other")
