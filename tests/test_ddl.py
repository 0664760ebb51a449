# SPDX-License-Identifier: Apache-2.0
"""Definitions as users make and break them: odd names, dependents, changes under running views, other clients."""
import threading
import time

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from conftest import PATIENCE_S


def fails(leat, statement, sqlstate, words="."):
    with pytest.raises(psycopg.Error, match=words) as failure:
        leat.sql(statement)
    assert failure.value.sqlstate == sqlstate, failure.value
    return failure.value.diag


def admin(leat, call, what):
    """Another client's act through the Kafka protocol; waits until it is done."""
    client = AdminClient({"bootstrap.servers": leat.kafka})
    for future in getattr(client, call)(what).values():
        future.result(PATIENCE_S)


def wait_job(leat, view, state, timeout_s=PATIENCE_S):
    deadline = time.monotonic() + timeout_s
    while True:
        row = next(row for row in leat.sql("SHOW JOBS") if row[0] == view)
        if row[2] == state:
            return row[-1]
        assert time.monotonic() < deadline, row
        time.sleep(0.05)


def test_odd_names(shared_leat):
    leat = shared_leat
    leat.sql('CREATE TOPIC odd_1 ("Sel ect" TEXT, "from" INT, "ünï" DOUBLE, "a""b" INT)')
    leat.sql("INSERT INTO odd_1 VALUES ('a', 1, 1.5, 7)")
    leat.sql('CREATE MATERIALIZED VIEW "Wiew Ü" AS SELECT "Sel ect", sum("from") AS "s ""x""", max("a""b") AS m '
             'FROM odd_1 GROUP BY "Sel ect"')
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql('SELECT "Sel ect", "s ""x""", m FROM "Wiew Ü"') == [("a", 1, 7)]
    for name, state in (('"a b"', "22023"), ('"a$quarantine"', "22023"), ('"__ours"', "22023"), ('"."', "22023"),
                        ('"../x"', "22023"), ('""', "42601"), (f'"{"x" * 250}"', "22023")):
        fails(leat, f"CREATE TOPIC {name} (a INT)", state)
    fails(leat, "CREATE TOPIC z (a INT, A TEXT)", "42710")
    fails(leat, "CREATE TOPIC z (kafka_offset INT)", "22023")


def test_dependents(shared_leat):
    leat = shared_leat
    leat.sql("CREATE TOPIC z (a INT, b TEXT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT b, count(*) AS n FROM z GROUP BY b")
    leat.sql("CREATE VIEW pv AS SELECT * FROM v")
    leat.sql("CREATE MATERIALIZED VIEW vv AS SELECT sum(n) AS s FROM v")
    for statement in ("DROP TOPIC z", "DROP MATERIALIZED VIEW v", "ALTER TOPIC z DROP COLUMN b",
                      "ALTER TOPIC z RENAME COLUMN b TO c", "CREATE OR REPLACE TOPIC z (a TEXT)"):
        fails(leat, statement, "2BP01", "vv")
    fails(leat, "CREATE OR REPLACE VIEW pv AS SELECT * FROM pv", "0A000")
    fails(leat, "CREATE VIEW z AS SELECT 1 AS a", "42710")
    leat.sql("CREATE TOPIC IF NOT EXISTS z (a INT)")
    leat.sql("DROP TOPIC z CASCADE")
    leat.sql("DROP TOPIC IF EXISTS z")
    assert not {"v", "pv", "vv"} & {row[0] for row in leat.sql("SHOW VIEWS")}


def test_added_column_leaves_records_valid(shared_leat):
    """A view that counted a record does not disagree with a SELECT after the topic got one more column."""
    leat = shared_leat
    leat.sql("CREATE TOPIC grows (x INT)")
    leat.sql("CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n, sum(x) AS s FROM grows")
    leat.produce("grows", [{"x": 1}, {"x": 2, "d": "abc"}, {"x": 3, "d": 5}, "junk"])
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT * FROM counted") == [(3, 6)]
    fails(leat, "ALTER TOPIC grows ADD COLUMN e INT NOT NULL", "0A000")
    leat.sql("ALTER TOPIC grows ADD COLUMN d INT; CREATE OR REPLACE TOPIC grows (x INT, d INT, l INT[])")
    leat.produce("grows", [{"x": 10, "d": {"no": [1, 2]}}, {"d": 7, "x": 20, "l": [1, "a"]}, {"x": 30, "l": [1, 2]}, '{"x":'])
    want = [(6, 66)]
    assert leat.sql("SELECT count(*), sum(x) FROM grows") == want
    assert leat.sql("SELECT * FROM counted") == want
    leat.sql("CREATE MATERIALIZED VIEW later AS SELECT count(*) AS n, sum(d) AS d FROM grows")
    assert leat.sql("SELECT * FROM later") == [(6, 12)]
    assert leat.sql("SELECT x, d, l FROM grows ORDER BY x") == [
        (1, None, None), (2, None, None), (3, 5, None), (10, None, None), (20, 7, None), (30, None, [1, 2])]


def test_keyed_topic_that_views_read_keeps_its_columns(shared_leat):
    """Views hold its rows as state."""
    leat = shared_leat
    leat.sql("CREATE TOPIC ref (id TEXT, n INT, PRIMARY KEY (id)); INSERT INTO ref VALUES ('a', 1)")
    leat.sql("ALTER TOPIC ref ADD COLUMN early TEXT")
    leat.sql("CREATE MATERIALIZED VIEW vref AS SELECT count(*) AS c, sum(n) AS s FROM ref")
    fails(leat, "ALTER TOPIC ref ADD COLUMN extra TEXT", "2BP01", "vref")
    fails(leat, "CREATE OR REPLACE TOPIC ref (id TEXT, n INT, early TEXT, extra TEXT, PRIMARY KEY (id))", "2BP01", "vref")
    leat.sql("INSERT INTO ref VALUES ('b', 2, 'x'); SET leat.freshness = 'now'")
    assert leat.sql("SELECT c, s FROM vref") == [(2, 3)]


def test_topic_deleted_by_another_client(shared_leat):
    leat = shared_leat
    leat.sql("CREATE TOPIC gone (a INT); CREATE TOPIC stays (a INT)")
    leat.sql("CREATE MATERIALIZED VIEW vgone AS SELECT count(*) AS n FROM gone")
    leat.sql("CREATE MATERIALIZED VIEW vstays AS SELECT count(*) AS n FROM stays")
    leat.sql("INSERT INTO gone VALUES (1)")
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM vgone") == [(1,)]
    admin(leat, "delete_topics", ["gone"])
    assert "deleted by another client: DROP TOPIC" in wait_job(leat, "vgone", "failed")
    leat.sql("INSERT INTO stays VALUES (1)")
    assert leat.sql("SELECT n FROM vstays") == [(1,)]
    leat.produce("gone", [{"a": 5}])  # made again, by the first who produces
    leat.sql("ALTER JOB vgone RESUME")
    assert "gone" in wait_job(leat, "vgone", "failed")
    leat.sql("DROP TOPIC gone CASCADE; CREATE TOPIC gone (a INT)")
    assert leat.sql("SELECT * FROM gone") == []


def test_partitions_grow_and_records_are_deleted(shared_leat):
    leat = shared_leat
    leat.sql("CREATE TOPIC parts (a INT)")
    leat.sql("CREATE MATERIALIZED VIEW vparts AS SELECT count(*) AS n FROM parts")
    leat.sql("INSERT INTO parts VALUES (1)")
    admin(leat, "create_partitions", [NewPartitions("parts", 3)])
    for partition in range(3):
        leat.produce("parts", [{"a": 1}] * 10, partition=partition)
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM vparts") == [(31,)]
    admin(leat, "delete_records", [TopicPartition("parts", 0, 5)])
    assert leat.sql("SELECT count(*) FROM parts") == [(26,)]
    leat.produce("parts", [{"a": 1}], partition=0)
    assert leat.sql("SELECT n FROM vparts") == [(32,)]
    # A log that begins behind the job's position stops the job with the reason.
    leat.sql("ALTER JOB vparts PAUSE")
    leat.produce("parts", [{"a": 1}] * 5, partition=0)
    admin(leat, "delete_records", [TopicPartition("parts", 0, 17)])
    leat.sql("ALTER JOB vparts RESUME")
    assert "CREATE OR REPLACE the view" in wait_job(leat, "vparts", "failed")
    leat.sql("CREATE OR REPLACE MATERIALIZED VIEW vparts AS SELECT count(*) AS n FROM parts")
    assert leat.sql("SELECT n FROM vparts") == leat.sql("SELECT count(*) FROM parts") == [(20,)]


def test_sessions_define_at_once(shared_leat):
    leat = shared_leat
    leat.sql("CREATE TOPIC busy (a INT)")
    leat.sql("INSERT INTO busy VALUES (1), (2), (3)")
    failures = []

    def work(number):
        try:
            with leat.connect() as connection:
                for turn in range(5):
                    connection.execute(f"CREATE OR REPLACE VIEW shared_view AS SELECT {number} AS a, {turn} AS b")
                    connection.execute(f"CREATE TOPIC IF NOT EXISTS shared_topic{turn} (a INT)")
                    connection.execute(f"CREATE MATERIALIZED VIEW m{number}_{turn} AS "
                                       f"SELECT a % {turn + 1} AS k, count(*) AS n FROM busy GROUP BY 1")
                    if turn % 2:
                        connection.execute(f"DROP MATERIALIZED VIEW m{number}_{turn}")
        except psycopg.Error as failure:
            failures.append(str(failure))

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    leat.sql("SET leat.freshness = 'now'")
    for number in range(4):
        assert leat.sql(f"SELECT sum(n) FROM m{number}_4") == [(3,)]


def test_killed_in_the_middle_of_definitions(leat, scale):
    leat.expects_death = True
    for turn in range(3 * scale):
        stop = threading.Event()

        def define(turn=turn, stop=stop):
            number = 0
            try:
                with leat.connect() as connection:
                    while not stop.is_set():
                        number += 1
                        connection.execute(f"CREATE TOPIC k{turn}_{number} (a INT)")
                        connection.execute(f"CREATE MATERIALIZED VIEW kv{turn}_{number} AS "
                                           f"SELECT count(*) AS n FROM k{turn}_{number}")
                        connection.execute(f"INSERT INTO k{turn}_{number} VALUES (1)")
                        connection.execute(f"DROP TOPIC k{turn}_{number} CASCADE")
            except psycopg.Error:
                pass

        thread = threading.Thread(target=define, daemon=True)
        thread.start()
        time.sleep(0.2 + 0.1 * (turn % 4))
        leat.kill()
        stop.set()
        thread.join()
        leat.start()
        deadline = time.monotonic() + PATIENCE_S
        left = None
        while True:  # whole, or not there at all; any definition ends first what was cut off
            try:
                leat.sql("CREATE TOPIC IF NOT EXISTS fence (a INT)")
                leat.sql("DROP TOPIC fence")
                left = [row[0] for row in leat.sql("SHOW TOPICS")]
                assert len(left) <= 1, left
                for topic in left:
                    leat.sql(f"INSERT INTO {topic} VALUES (1)")
                    assert leat.sql(f"SELECT DISTINCT a FROM {topic}") == [(1,)]
                    leat.sql(f"DROP TOPIC {topic} CASCADE")
                break
            except psycopg.Error:
                assert time.monotonic() < deadline, left
                time.sleep(0.1)
    assert leat.sql("SHOW JOBS") == [] and leat.sql("SHOW TOPICS") == []


def test_describe_what_nobody_declared(leat):
    """A quarantine and a topic without columns have some too."""
    leat.sql("CREATE TOPIC t (a INT)")
    leat.produce("raw", ["x"])
    assert [row[:2] for row in leat.sql('DESCRIBE "t$quarantine"')][:2] == [("partition", "INTEGER"), ("offset", "BIGINT")]
    assert leat.sql("DESCRIBE raw")[0][:2] == ("value", "VARCHAR")
    with pytest.raises(psycopg.errors.UndefinedTable, match='"nope" does not exist'):
        leat.sql("DESCRIBE nope")


def test_a_column_called_at(leat):
    leat.sql("CREATE TOPIC t (at TIMESTAMPTZ, n INT)")
    leat.sql("INSERT INTO t (at, n) VALUES ('2026-01-01 00:00:00Z', 1), ('2026-01-01 00:00:00Z', 2)")
    assert leat.sql("SELECT t.at AT TIME ZONE 'UTC' = '2026-01-01 00:00:00'::timestamp, sum(n) FROM t "
                    "WHERE at > '2025-01-01' GROUP BY at ORDER BY at") == [(True, 3)]
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT at, count(*) AS n FROM t GROUP BY at")
    assert leat.sql("SET leat.freshness = 'now'; SELECT n FROM v") == [(2,)]


def test_names_that_are_too_long(leat):
    leat.sql(f"CREATE TOPIC {'x' * 238} (a INT)")
    with pytest.raises(psycopg.Error) as error:
        leat.sql(f"CREATE TOPIC {'x' * 239} (a INT)")
    assert error.value.diag.message_primary == "the name of a topic has at most 238 characters, this one has 239"
    assert "quarantine needs 11" in error.value.diag.message_hint


def test_the_place_of_a_window_function(leat):
    leat.sql("CREATE TOPIC t (a INT)")
    for verb in ("", "EXPLAIN "):
        text = f"{verb}CREATE MATERIALIZED VIEW v AS SELECT a, 'OVER', rank() OVER (ORDER BY a) FROM t"
        with pytest.raises(psycopg.Error) as error:
            leat.sql(text)
        assert int(error.value.diag.statement_position) == text.index("OVER (") + 1


def test_infinity_is_no_time(leat):
    """ISO 8601 has none: such a record is invalid, and INSERT does not write one."""
    leat.sql("CREATE TOPIC t (d DATE, s TIMESTAMP, z TIMESTAMPTZ)")
    leat.produce("t", [{"d": "infinity"}, {"d": "-Infinity"}, {"s": "infinity"}, {"z": "infinity"}, {"d": "2026-01-01"}])
    assert leat.sql("SELECT count(*) FROM t") == [(1,)]
    for column in "dsz":
        with pytest.raises(psycopg.errors.NumericValueOutOfRange, match=f'infinity in column "{column}"'):
            leat.sql(f"INSERT INTO t ({column}) VALUES ('infinity')")


def test_verify_finds_the_broker(leat):
    leat.sql("CREATE TOPIC t (a INT)")
    leat.sql("INSERT INTO t VALUES (1), (2)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    assert leat.sql("SELECT n FROM v") == [(2,)]
    assert "0 differ" in leat.cli("verify", "--data", leat.data, "--view", "v").stdout
