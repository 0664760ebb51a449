# SPDX-License-Identifier: Apache-2.0
"""Everything that real clients were seen to send (golden/*.jsonl) is answered without an error."""
import glob
import json
import os

import psycopg
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = sorted(glob.glob(f"{HERE}/golden/*.jsonl"))


@pytest.mark.parametrize("path", FILES, ids=[os.path.basename(path)[:-6] for path in FILES])
def test_replay(shared_leat, path):
    if not shared_leat.sql("SELECT 1 FROM pg_class WHERE relname = 'scans'"):
        shared_leat.psql("-f", f"{HERE}/schema.sql")
    with open(path, encoding="utf-8") as lines:
        statements = [json.loads(line) for line in lines]
    assert len(statements) >= 5
    bad = []
    with shared_leat.connect() as connection:
        for kind, text in statements:
            if text == "":
                continue
            # P: Parse and Describe through libpq, as the values are not in the file.
            if kind == "P":
                result = connection.pgconn.prepare(b"", text.encode())
                if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
                    bad.append((text, result.error_message.decode()))
                    continue
                connection.pgconn.describe_prepared(b"")
                if "$1" in text:
                    continue
                result = connection.pgconn.exec_prepared(b"", [])
                if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
                    bad.append((text, result.error_message.decode()))
            else:
                result = connection.pgconn.exec_(text.encode())
                if result.status not in (psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.TUPLES_OK):
                    bad.append((text, result.error_message.decode()))
    assert not bad, "\n".join(f"{text}\n  {message}" for text, message in bad)


def test_there_are_all():
    assert [os.path.basename(path) for path in FILES] == ["pgjdbc.jsonl", "psql.jsonl", "psql_tabs.jsonl",
                                                          "psycopg.jsonl"]
