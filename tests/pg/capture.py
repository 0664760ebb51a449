#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/pg/golden/*.jsonl: what psql, psycopg and pgjdbc send on connect and for their metadata."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]
from conftest import Leat  # noqa: E402
from recorder import Recorder  # noqa: E402


# Tab completion: psql asks when its input is a terminal. Each is typed and followed by two tabs.
COMPLETIONS = ["SELECT * FROM s", "SELECT * FROM pg_catalog.pg_cl", "\\d s", "INSERT INTO s", "SELECT * FROM scans WHERE w",
               "DROP VIEW h", "SET app", "\\dn p", "DROP MATERIALIZED VIEW p", "\\df c", "SELECT * FROM public.", "SHOW s"]


def psql(recorder):
    subprocess.run(["psql", "-X", "-h", recorder.host, "-p", str(recorder.port), "-U", "leat", "leat", "-f",
                    f"{HERE}/psql_commands.sql"], capture_output=True, check=False, timeout=60)


def psql_tabs(recorder):
    import pty
    import time
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", PAGER="cat", LC_ALL="C.UTF-8")
        os.execvp("psql", ["psql", "-X", "-h", recorder.host, "-p", str(recorder.port), "-U", "leat", "leat"])
    time.sleep(1)
    for text in COMPLETIONS:
        os.write(fd, text.encode() + b"\t\t")
        time.sleep(0.4)
        os.write(fd, b"\x15")
        os.read(fd, 65536)
    os.write(fd, b"\\q\n")
    time.sleep(0.3)
    os.close(fd)
    os.waitpid(pid, 0)


def psycopg_(recorder):
    import psycopg
    from psycopg.types import TypeInfo
    with psycopg.connect(host=recorder.host, port=recorder.port, user="leat", dbname="leat") as c:
        c.execute("SELECT 1").fetchone()
        c.execute("SELECT %s, %s::int", ("x", 1)).fetchone()
        for name in ("uuid", "numeric", "_text"):
            TypeInfo.fetch(c, name)
        with c.cursor("cur") as cursor:
            cursor.execute("SELECT * FROM range(10)")
            cursor.fetchmany(3)
        with c.transaction():
            c.execute("SELECT 2")
        c.rollback()


def pgjdbc(recorder):
    subprocess.run(["java", "-cp", f"{HERE}/../../build/deps/java/*", f"{HERE}/../java/JdbcClient.java",
                    f"{recorder.host}:{recorder.port}", "metadata"], check=True, capture_output=True, timeout=120)


def main():
    for name, client in (("psql", psql), ("psql_tabs", psql_tabs), ("psycopg", psycopg_), ("pgjdbc", pgjdbc)):
        server = Leat().start()
        try:
            server.psql("-f", f"{HERE}/schema.sql")
            with Recorder(server.pg) as recorder:
                client(recorder)
            with open(f"{HERE}/golden/{name}.jsonl", "w", encoding="utf-8") as out:
                for statement in recorder.statements:
                    out.write(json.dumps(statement, ensure_ascii=False) + "\n")
            print(f"{name}: {len(recorder.statements)} statements")
            server.stop()
        finally:
            server.done()


if __name__ == "__main__":
    main()
