# SPDX-License-Identifier: Apache-2.0
"""Settings: from the connection string, by SET, in transactions; the session's time zone."""
import datetime
import random
import zoneinfo

import psycopg
import pytest

import wire


@pytest.fixture(scope="module")
def server(shared_leat):
    return shared_leat


def value(c, name):
    return c.execute(f"SHOW {name}").fetchone()[0]


def test_options_of_the_connection(server):
    options = "-c statement_timeout=5s -cleat.freshness=none --search-path=public -c application_name=a\\ b"
    with server.connect(options=options) as c:
        assert value(c, "statement_timeout") == "5s" and value(c, "leat.freshness") == "none"
        assert value(c, "search_path") == "public" and value(c, "application_name") == "a b"
        c.execute("SET statement_timeout = 0")
        c.execute("RESET statement_timeout")
        assert value(c, "statement_timeout") == "5s", "RESET goes to what the connection began with"


def test_parameters_of_the_startup_packet(server):
    with wire.Wire(server, TimeZone="europe/berlin", DateStyle="ISO", extra_float_digits="2", client_encoding="utf8") as w:
        reported = dict(body[:-1].split(b"\0") for kind, body in w.greeting if kind == "S")
        assert reported[b"TimeZone"] == b"Europe/Berlin" and reported[b"DateStyle"] == b"ISO, MDY"
        assert reported[b"client_encoding"] == b"UTF8" and reported[b"session_authorization"] == b"leat"


@pytest.mark.parametrize("parameters,state,message", [
    ({"options": "-c nope=1"}, "42704", 'unrecognized configuration parameter "nope"'),
    ({"options": "-c search_path=other"}, "22023", 'invalid value for parameter "search_path": "other"'),
    ({"options": "-x"}, "42601", "invalid command-line argument for server process: -x"),
    ({"options": "-c"}, "42601", "-c  requires a value"),
    ({"client_encoding": "LATIN1"}, "22023", 'invalid value for parameter "client_encoding": "LATIN1"'),
    ({"replication": "database"}, "42704", 'unrecognized configuration parameter "replication"'),
])
def test_refused_at_the_start(server, parameters, state, message):
    with wire.Wire(server, begin=False) as w:
        w.send(wire.startup(**parameters))
        kind, body = w.read()
        fields = wire.fields(body)
        assert (kind, fields["S"], fields["C"], fields["M"]) == ("E", "FATAL", state, message)


@pytest.mark.parametrize("text,shown", [
    ("DateStyle = 'iso, dmy'", "ISO, DMY"), ("client_encoding TO 'utf-8'", "UTF8"), ("NAMES 'UTF8'", None),
    ("extra_float_digits = 3", "3"), ("IntervalStyle = postgres", "postgres"), ("bytea_output = 'hex'", "hex"),
    ("search_path = \"$user\", public", "$user, public"), ("standard_conforming_strings = true", "on"),
    ("default_transaction_isolation = 'serializable'", "serializable"), ("lock_timeout = '1s'", "1s"),
    ("TIME ZONE 'America/New_York'", None), ("timezone = 'ETC/utc'", "ETC/utc"), ("statement_timeout = 100", "100"),
])
def test_accepted(server, text, shown):
    with server.connect() as c:
        c.execute(f"SET {text}")
        if shown is not None:
            assert value(c, text.replace("=", " ").split()[0]) == shown
        assert dict(row[:2] for row in c.execute("SHOW ALL"))["server_version"] == "15.0"


@pytest.mark.parametrize("text,hint", [
    ("DateStyle = 'German'", "ISO 8601"), ("IntervalStyle = 'iso_8601'", "always postgres"),
    ("bytea_output = 'escape'", "always hex"), ("extra_float_digits = 0", "Available values: 1, 2, 3"),
    ("client_encoding = 'latin1'", "Available values: UTF8"), ("search_path = a, b", "schema public"),
    ("TimeZone = 'Mars/Base'", "Europe/Berlin"), ("idle_in_transaction_session_timeout = '5s'", "always 0"),
    ("work_mem = '4MB'", "SHOW ALL"), ("client_min_messages = 'shout'", "debug5"),
    ("statement_timeout = 'soon'", "milliseconds"), ("standard_conforming_strings = off", "always on"),
])
def test_refused_by_name(server, text, hint):
    with server.connect() as c:
        with pytest.raises(psycopg.Error) as error:
            c.execute(f"SET {text}")
        assert text.split()[0] in error.value.diag.message_primary and hint in error.value.diag.message_hint


def test_in_transactions(server):
    with server.connect() as c:
        c.execute("SET statement_timeout = '1h'")
        c.execute("BEGIN; SET statement_timeout = '2h'; SET LOCAL lock_timeout = '3h'")
        assert value(c, "statement_timeout") == "2h" and value(c, "lock_timeout") == "3h"
        c.execute("ROLLBACK")
        assert value(c, "statement_timeout") == "1h" and value(c, "lock_timeout") == "0"
        c.execute("BEGIN; SET statement_timeout = '2h'; SET LOCAL statement_timeout = '3h'")
        assert value(c, "statement_timeout") == "3h"
        c.execute("COMMIT")
        assert value(c, "statement_timeout") == "2h"
        c.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        notices = []
        c.execute("SET LOCAL statement_timeout = '9h'")
        assert value(c, "statement_timeout") == "2h" and notices == ["SET LOCAL can only be used in transaction blocks"]
        c.execute("SET client_min_messages = error")
        c.execute("COMMIT")
        assert len(notices) == 1


def test_read_only(server):
    with server.connect() as c:
        for begin in ("BEGIN READ ONLY", "BEGIN; SET TRANSACTION READ ONLY",
                      "SET default_transaction_read_only = on; BEGIN"):
            c.execute(begin)
            assert c.execute("SELECT 1").fetchone() == (1,)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="cannot execute CREATE TOPIC"):
                c.execute("CREATE TOPIC never (a INT)")
            c.execute("ROLLBACK")
            c.execute("RESET default_transaction_read_only")
        c.execute("CREATE TOPIC now_then (a INT)")


def test_time_zone(server):
    """Text in the session's zone, as Python's zones have it; binary, functions and texts without a zone stay UTC."""
    rng = random.Random(7)
    times = [datetime.datetime.fromtimestamp(rng.randrange(0, 4102444800), datetime.timezone.utc) for _ in range(200)]
    # Both sides of a change, to the second.
    times += [datetime.datetime(2024, 3, 31, 0, 59, 59, tzinfo=datetime.timezone.utc),
              datetime.datetime(2024, 3, 31, 1, 0, 0, tzinfo=datetime.timezone.utc)]
    for name in ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"):
        zone = zoneinfo.ZoneInfo(name)
        with server.connect() as c, c.cursor(binary=False) as cursor:
            c.execute(f"SET TimeZone = '{name.lower()}'")
            assert value(c, "TimeZone") == name
            for at in times:
                got = c.execute("SELECT to_timestamp(%s)::timestamptz", (at.timestamp(),), binary=False).fetchone()[0]
                assert got == at and got.utcoffset() == at.astimezone(zone).utcoffset(), (name, at)
            assert c.execute("SELECT to_timestamp(0)", binary=True).fetchone()[0].timestamp() == 0
            assert c.execute("SELECT '2024-07-01 12:00:00'::timestamptz = '2024-07-01 12:00:00Z'::timestamptz, "
                             "date_trunc('day', '2024-07-01 12:00:00Z'::timestamptz) = '2024-07-01 00:00:00Z'::timestamptz"
                             ).fetchone() == (True, True)
    with server.connect() as c:
        c.execute("SET TimeZone = 'Asia/Kolkata'")
        with c.cursor().copy("COPY (SELECT ['1970-01-01 00:00:00Z'::timestamptz]) TO STDOUT") as copy:
            assert b"".join(copy) == b'{"1970-01-01 05:30:00+05:30"}\n'


def test_copy_options(server):
    with server.connect() as c:
        for options, text in (("FORMAT csv, DELIMITER ';', NULL '-'", b"a,b;-;\"-\"\n"),
                              ("DELIMITER '|', NULL 'none'", b"a,b|none|-\n"), ("FORMAT csv, HEADER", b'a,n,d\n"a,b",,-\n')):
            with c.cursor().copy(f"COPY (SELECT 'a,b' AS a, NULL::int AS n, '-' AS d) TO STDOUT WITH ({options})") as copy:
                assert b"".join(copy) == text
