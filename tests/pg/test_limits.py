# SPDX-License-Identifier: Apache-2.0
"""What is too large is refused with its limit, and the session goes on."""
import struct

import psycopg
import pytest

import conftest
import wire


@pytest.fixture(scope="module")
def server():
    """With limits that are soon reached."""
    conftest.need_binary()
    leat = conftest.Leat(args=["--set", "pg.row.bytes=2MiB", "--set", "pg.message.bytes=2MiB",
                                "--set", "query.memory.bytes=64MiB"]).start()
    yield leat
    try:
        leat.stop()
        leat.check()
    finally:
        leat.done()


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("value", ["repeat('x', 3000000)", "[repeat('x', 1500000), repeat('y', 1500000)]"])
def test_a_row_that_is_too_large(server, value, copy):
    with server.connect() as c, c.cursor() as cursor:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded) as error:
            if copy:
                with cursor.copy(f"COPY (SELECT {value}) TO STDOUT") as rows:
                    list(rows)
            else:
                cursor.execute(f"SELECT {value}")
        assert "larger than pg.row.bytes allows (2097152)" in str(error.value)
        assert "--set pg.row.bytes=" in error.value.diag.message_hint
        assert c.execute("SELECT length(repeat('x', 3000000))").fetchone() == (3000000,)
        assert len(c.execute("SELECT repeat('x', 2000000)").fetchone()[0]) == 2000000


def test_rows_before_the_one_that_is_too_large(server):
    with wire.Wire(server) as w:
        kinds = "".join(kind for kind, _ in w.ask(wire.query(
            "SELECT CASE WHEN i < 3 THEN 'x' ELSE repeat('x', 3000000) END FROM range(5) t(i)")))
        assert kinds == "TDDDE"
        assert [kind for kind, _ in w.ask(wire.query("SELECT 1"))] == ["T", "D", "C"]


def test_a_statement_that_is_too_large(server):
    text = f"SELECT length('{'x' * 3_000_000}')"
    with server.connect() as c:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded) as error:
            c.execute(text)
        assert "larger than pg.message.bytes allows (2097152)" in str(error.value)
        assert c.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="at most 1048576"):
            c.execute(f"SELECT length('{'x' * 1_500_000}')")
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            c.execute("SELECT length(%s)", ("x" * 3_000_000,))
        assert c.execute("SELECT length(%s)", ("x" * 2_000_000,)).fetchone() == (2_000_000,)
    result = server.psql("-At", "-f", "-", input=f"{text};\nSELECT 'goes on';\n")
    assert "goes on" in result.stdout and "pg.message.bytes" in result.stderr


def test_messages_that_are_too_large_one_by_one(server):
    """Each kind as the protocol wants it: an answer to Query, silence until Sync in the extended protocol."""
    big = b"x" * 3_000_000
    with wire.Wire(server) as w:
        assert [kind for kind, _ in w.ask(wire.message(b"Q", big))] == ["E"]
        answer = w.ask(wire.message(b"P", big), wire.parse("SELECT 1", "s"), wire.message(b"B", big), wire.message(b"S"))
        assert [kind for kind, _ in answer] == ["E"] and wire.fields(answer[0][1])["C"] == "54000"
        assert [kind for kind, _ in w.ask(wire.message(b"d", big), wire.query("SELECT 1"))] == ["T", "D", "C"]
    for head in (b"Q" + struct.pack(">I", 2**31), b"Q" + struct.pack(">i", -1), b"S" + struct.pack(">I", 3_000_000)):
        with wire.Wire(server) as w:
            w.send(head)
            kind, body = w.read()
            assert kind == "E" and wire.fields(body)["S"] == "FATAL" and wire.fields(body)["C"] == "08P01"


def test_everything_until_sync_is_dropped(server):
    """As PostgreSQL does, a Query too: its answer would be taken for that of something else."""
    with wire.Wire(server) as w:
        w.send(wire.parse("SELECT nope"), wire.query("SELECT 1"), wire.parse("SELECT 2"), wire.message(b"S"))
        assert [kind for kind, _ in w.until_ready()] == ["E"]
        assert [kind for kind, _ in w.ask(wire.query("SELECT 1"))] == ["T", "D", "C"]


def test_portals_are_counted(server):
    def bind(name):
        return wire.message(b"B", name.encode() + b"\0s\0" + struct.pack(">HHH", 0, 0, 0))

    with wire.Wire(server) as w:
        w.ask(wire.query("BEGIN"))
        w.send(wire.parse("SELECT 1", "s"), *(bind(f"p{i}") for i in range(1000)), wire.message(b"S"))
        assert [kind for kind, _ in w.until_ready()] == ["1"] + ["2"] * 1000
        answer = w.ask(bind("one more"), wire.message(b"S"))
        assert wire.fields(answer[0][1])["M"] == "too many portals in one session (1000)"


@pytest.mark.parametrize("body", [b"", b"SELECT 1", b"SELECT 1\0more"])
def test_a_query_without_its_end(server, body):
    with wire.Wire(server) as w:
        answer = w.ask(wire.message(b"Q", body))
        assert [kind for kind, _ in answer] == ["E"] and wire.fields(answer[0][1])["C"] == "08P01"
        assert [kind for kind, _ in w.ask(wire.query("SELECT 1"))] == ["T", "D", "C"]


def test_types_that_no_client_sends(server):
    """Also those that the door uses for itself."""
    for kind in (0, 1, 2, 255):
        with wire.Wire(server) as w:
            w.send(wire.message(bytes([kind]), wire.startup()[4:]))
            answer, body = w.read()
            assert answer == "E" and wire.fields(body)["M"] == f"invalid frontend message type {kind}"


def test_memory_that_is_used_up(server):
    with server.connect() as c:
        with pytest.raises(psycopg.errors.OutOfMemory) as error:
            c.execute("SELECT length(string_agg(repeat('x', 1000), '')) FROM range(100000)")
        assert error.value.diag.message_primary.startswith("out of memory: ")
        assert error.value.diag.message_hint == (
            "Read less at a time (fewer columns or groups, a WHERE, a LIMIT), or raise query.memory.bytes, which all "
            "statements share: it is 64 MiB, leat serve --set 'query.memory.bytes=128 MiB'.")
        assert c.execute("SELECT 1").fetchone() == (1,)
