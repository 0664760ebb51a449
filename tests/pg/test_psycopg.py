# SPDX-License-Identifier: Apache-2.0
"""psycopg 3 with its defaults, and what no good client does: hostile bytes, slow readers, thousands of idle sessions."""
import contextlib
import datetime
import decimal
import os
import socket
import struct
import threading
import time
import uuid

import psycopg
import pytest

from conftest import BINARY, PATIENCE_S

HERE = os.path.dirname(os.path.abspath(__file__))
UTC = datetime.timezone.utc
VALUES = [1, 2**40, -5, 1.5, float("inf"), True, None, "x", "é\u2603\n\t", b"\x00\xff\x01", datetime.date(2020, 1, 2),
          datetime.date(1, 1, 1), datetime.datetime(2020, 1, 2, 3, 4, 5, 6), datetime.time(1, 2, 3, 4),
          datetime.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC), datetime.timedelta(days=3, seconds=5, microseconds=7),
          datetime.timedelta(days=-1), uuid.UUID(int=2**127 + 3), [1, 2, 3], [1.5, None], [2**40, -1]]


@pytest.fixture(scope="module")
def server(shared_leat):
    shared_leat.psql("-f", f"{HERE}/schema.sql")
    return shared_leat


@pytest.mark.parametrize("form", ["%b", "%t", "%s"])
@pytest.mark.parametrize("binary", [False, True])
def test_values_round_trip(server, form, binary):
    with server.connect() as c:
        for value in VALUES:
            assert c.execute(f"SELECT {form}", (value,), binary=binary).fetchone() == (value,), (form, binary, value)


def test_who_asks(server):
    """current_user is the name that the client gave, pg_backend_pid() the number that cancels its statements."""
    with server.connect(user="o'brien") as one, server.connect(user="leat") as two:
        query = "SELECT current_user, session_user, user, pg_backend_pid()"
        for _ in range(2):
            assert one.execute(query).fetchone() == ("o'brien", "o'brien", "o'brien", one.info.backend_pid)
            assert two.execute(query).fetchone() == ("leat", "leat", "leat", two.info.backend_pid)


@pytest.mark.parametrize("binary", [False, True])
def test_numeric(server, binary):
    with server.connect() as c:
        for text in ("0", "1", "-1", "0.0001", "-0.00010001", "10000", "9999.9999", "12345678901234567890.123456789",
                     "-100000000", "0.1", "99999999999999999999999999.999999999999"):
            value = decimal.Decimal(text)
            got = c.execute("SELECT %b::decimal(38,12), %t::decimal(38,12)", (value, value), binary=binary).fetchone()
            assert got == (value, value) and got[0].as_tuple().exponent == -12
        for number in (0, 1, -1, 2**64, -(2**126), 2**127 - 1, 10**38):
            assert c.execute(f"SELECT '{number}'::hugeint", binary=binary).fetchone() == (number,)


def test_arrays_of_texts(server):
    with server.connect() as c:
        texts = ["SEA", 'a"b', "c,d", "{}", "\\", "", "NULL", "ÄBC"]
        assert c.execute("SELECT count(*) FROM scans WHERE site = ANY(%s)", (texts,)).fetchone() == (3,)
        assert c.execute("SELECT %b::text[]", (texts + [None],)).fetchone()[0] == texts + [None]


def test_server_cursor(server):
    with server.connect() as c, c.transaction(), c.cursor("portions") as cursor:
        cursor.itersize = 7
        cursor.execute("SELECT i, i::text FROM range(5000) t(i) WHERE i >= %s", (10,))
        assert cursor.fetchone() == (10, "10")
        assert c.execute("SELECT 'between'").fetchone() == ("between",)
        assert sum(row[0] for row in cursor) == sum(range(11, 5000))


def test_pipeline_and_prepare(server):
    with server.connect() as c:
        with c.pipeline():
            cursors = [c.execute("SELECT %s::int * 2", (i,), prepare=True) for i in range(50)]
            assert [cursor.fetchone()[0] for cursor in cursors] == [2 * i for i in range(50)]
        with pytest.raises(psycopg.errors.UndefinedColumn), c.pipeline():
            c.execute("SELECT 1")
            c.execute("SELECT nope")
        assert c.execute("SELECT 1").fetchone() == (1,)


def test_transaction(server):
    with server.connect() as c:
        c.autocommit = False
        with pytest.raises(psycopg.errors.UndefinedColumn):
            c.execute("SELECT nope")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            c.execute("SELECT 1")
        c.rollback()
        with c.transaction():
            with pytest.raises(psycopg.errors.UndefinedColumn), c.transaction():
                c.execute("SELECT nope")
            assert c.execute("SELECT 2").fetchone() == (2,)


@contextlib.contextmanager
def canceling(connection):
    """Cancels what the connection is at, again and again: before the statement has begun that does nothing."""
    done = threading.Event()

    def cancel():
        while not done.wait(1):
            connection.cancel_safe()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_timeout_and_cancel(server):
    endless = "SELECT count(*) FROM range(1000000000) a, range(1000) b"
    with server.connect() as c:
        c.execute("SET statement_timeout = '300ms'")
        with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"):
            c.execute(endless)
        c.execute("RESET statement_timeout")
        with canceling(c), pytest.raises(psycopg.errors.QueryCanceled, match="user request"):
            c.execute(endless)
        assert c.execute("SELECT count(*) FROM sites").fetchone() == (1,)


def test_subscription(server):
    with server.connect() as c, server.connect() as writer, c.cursor() as cursor:
        with pytest.raises(psycopg.errors.QueryCanceled):
            with cursor.copy("COPY (SUBSCRIBE TO per_site) TO STDOUT") as copy:
                rows = copy.rows()
                picture = {next(rows)[2]: 1 for _ in range(2)}
                assert set(picture) == {"SEA", "ÄBC"}
                writer.execute("INSERT INTO scans (site, weight_g) VALUES ('new', 1)")
                assert next(rows)[1:] == ("1", "new", "1", "1")
                threading.Timer(0.2, c.cancel_safe).start()
                next(rows)
        assert c.execute("SELECT 1").fetchone() == (1,)


def address(server):
    host, port = server.pg.rsplit(":", 1)
    return host, int(port)


def startup(version=196608, **parameters):
    body = struct.pack(">I", version)
    for name, value in ({"user": "leat", "database": "leat"} | parameters).items():
        body += name.encode() + b"\0" + value.encode() + b"\0"
    return struct.pack(">I", len(body) + 5) + body + b"\0"


def test_requests_before_the_session(server):
    with socket.create_connection(address(server), timeout=PATIENCE_S) as s:
        for code in (80877103, 80877104):
            s.sendall(struct.pack(">II", 8, code))
            assert s.recv(1) == b"N"
        s.sendall(startup(version=196610, **{"_pq_.wish": "1"}))
        answer = s.recv(4096)
        assert answer[:1] == b"v" and answer[5:13] == struct.pack(">II", 196608, 1) and b"_pq_.wish\0" in answer


def test_hostile_bytes(server, seed):
    import random
    random_ = random.Random(seed)
    for round_ in range(60):
        with socket.create_connection(address(server), timeout=PATIENCE_S) as s:
            if round_ % 3:
                s.sendall(startup())
                s.recv(4096)
            if round_ % 3 == 1:
                for _ in range(20):
                    body = random_.randbytes(random_.randrange(40))
                    s.sendall(random_.choice(b"QPBDECSHXFdcfp").to_bytes(1, "big") + struct.pack(">I", len(body) + 4) + body)
            else:
                s.sendall(random_.randbytes(200))
            s.settimeout(0.05)
            try:
                while s.recv(65536):
                    pass
            except (TimeoutError, ConnectionError):
                pass
    assert server.connect().execute("SELECT 1").fetchone() == (1,)


def test_idle_and_slow_clients(server):
    """2,000 idle sessions and clients that send a byte now and then leave a good client alone."""
    start = time.monotonic()
    with server.connect() as c:
        for _ in range(20):
            assert c.execute("SELECT count(*) FROM sites").fetchone() == (1,)
    quiet_s = time.monotonic() - start
    idle = []
    try:
        for _ in range(2000):
            idle.append(socket.create_connection(address(server), timeout=PATIENCE_S))
        for s in idle[:1000]:
            s.sendall(startup())
        slow = idle[1000:1050]
        start = time.monotonic()
        with server.connect() as c:
            for i in range(20):
                for s in slow:
                    s.sendall(startup()[i:i + 1])
                assert c.execute("SELECT count(*) FROM sites").fetchone() == (1,)
        assert time.monotonic() - start < max(10, 10 * quiet_s)
    finally:
        for s in idle:
            s.close()


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_slow_reader_of_a_large_result(server):
    server.sql("SELECT sum(i) FROM range(100000) t(i)")
    pid = server.role_pids("query")[0]
    before = resident(pid)
    with socket.create_connection(address(server), timeout=PATIENCE_S) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(startup())
        text = b"SELECT i, repeat('x', 100) FROM range(20000000) t(i)\0"
        s.sendall(b"Q" + struct.pack(">I", len(text) + 4) + text)
        for _ in range(10):
            time.sleep(0.1)
            s.recv(1000)
        assert resident(pid) - before < 100_000, "the result waits in memory"
    assert server.sql("SELECT 1") == [(1,)]


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def test_subscribers_that_never_read(leat):
    """They hold back themselves only: others get every change, and memory stays where it was."""
    leat.sql("CREATE TOPIC t (id BIGINT, pad TEXT)")
    leat.sql("CREATE MATERIALIZED VIEW wide AS SELECT id % 500 AS k, count(*) AS n, max(pad) AS pad FROM t GROUP BY 1")
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")

    def change_s(number):
        """How long it takes until the view has 500 new rows."""
        leat.sql(f"INSERT INTO t SELECT i, repeat('x', 2000) || {number} FROM range(500) r(i)")
        began = time.monotonic()
        assert leat.sql("SELECT sum(n) FROM wide") == [(500 * (number + 1),)]
        return time.monotonic() - began

    quiet_s = max(change_s(number) for number in range(5))
    asleep = []
    for _ in range(20):
        host, port = address(leat)
        conn = socket.socket()
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.connect((host, port))
        conn.sendall(startup())
        text = b"COPY (SUBSCRIBE TO wide) TO STDOUT\0"
        conn.sendall(b"Q" + struct.pack(">i", 4 + len(text)) + text)
        asleep.append(conn)
    good = leat.connect()
    query = leat.role_pids("query")[0]
    before = None
    for number in range(5, 35):
        assert change_s(number) < max(5, 10 * quiet_s)
        if number == 14:
            before = rss_kib(query)
    # 20 MB of changes for each of the twenty since then: who does not read must not have them kept.
    assert rss_kib(query) - before < 150 * 1024, (before, rss_kib(query))
    assert good.execute("SELECT count(*) FROM wide").fetchone() == (500,)
    for conn in asleep:
        conn.close()
    good.close()


def test_a_million_rows(server):
    pid = server.role_pids("query")[0]
    with server.connect() as c, c.cursor() as cursor:
        before, total = resident(pid), 0
        for row in cursor.stream("SELECT i FROM range(1000000) t(i)", size=1000):
            total += row[0]
        assert total == 999999 * 500000
        # AddressSanitizer keeps freed memory for a while.
        assert resident(pid) - before < (400_000 if "asan" in BINARY else 50_000)


def test_prepared_statements_follow_the_catalog(shared_leat):
    """What was prepared means the relations of now: views made anew, topics that are gone, other columns."""
    with shared_leat.connect() as connection, shared_leat.connect() as other:
        def run(sql, *values):
            cursor = connection.execute(sql, values, prepare=True)
            return cursor.fetchall() if cursor.description else None

        run("CREATE TOPIC follow (a INT)")
        run("CREATE MATERIALIZED VIEW followed AS SELECT count(*) AS n FROM follow")
        run("SET leat.freshness = 'now'")
        for i in range(3):
            run("INSERT INTO follow VALUES (%s)", i)
            assert run("SELECT n FROM followed WHERE n >= %s", 0) == [(i + 1,)]
        other.execute("CREATE OR REPLACE MATERIALIZED VIEW followed AS SELECT count(*) * 10 AS n FROM follow")
        for _ in range(3):
            assert run("SELECT n FROM followed WHERE n >= %s", 0) == [(30,)]
        other.execute("CREATE OR REPLACE MATERIALIZED VIEW followed AS SELECT count(*) AS n, max(a) AS top FROM follow")
        assert run("SELECT n FROM followed WHERE n >= %s", 0) == [(3,)]
        assert run("SELECT * FROM followed") == [(3, 2)]
        other.execute("CREATE OR REPLACE MATERIALIZED VIEW followed AS SELECT count(*) AS n FROM follow")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="cached plan must not change result type"):
            run("SELECT * FROM followed")
        other.execute("DROP TOPIC follow CASCADE")
        with pytest.raises(psycopg.errors.UndefinedTable, match='"followed" does not exist'):
            run("SELECT n FROM followed WHERE n >= %s", 0)
        with pytest.raises(psycopg.errors.UndefinedTable, match='"follow" does not exist'):
            run("INSERT INTO follow VALUES (%s)", 4)
        other.execute("CREATE TOPIC follow (a INT)")
        run("INSERT INTO follow VALUES (%s)", 5)
        assert run("SELECT a FROM follow") == [(5,)]
