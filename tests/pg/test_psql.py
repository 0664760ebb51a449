# SPDX-License-Identifier: Apache-2.0
"""psql with its defaults."""
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import PATIENCE_S, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module")
def server(shared_leat):
    shared_leat.psql("-f", f"{HERE}/schema.sql")
    shared_leat.produce("undeclared", ["hello"])
    return shared_leat


def run(server, text, *args):
    return server.psql(*args, "-f", "-", input=text, check=False)


def test_every_backslash_command(server):
    result = server.psql("-f", f"{HERE}/psql_commands.sql", check=False)
    assert "ERROR" not in result.stderr, result.stderr


def test_describe(server):
    text = run(server, "\\d\n\\d sites\n\\d+ heavy\n\\d undeclared\n\\dn\n").stdout
    for line in (" public | sites      | table             | leat", " public | undeclared | table             | leat",
                 " public | per_site   | materialized view | leat", ' site     | text          |           | not null | ',
                 '    "sites_pkey" PRIMARY KEY, btree (site)', "SELECT * FROM scans WHERE weight_g > 1000",
                 " value  | text |           |          | "):
        assert line in text, text
    assert " pg_catalog " not in text.split("List of schemas")[1]


def test_regular_expressions_match_in_part(server):
    text = run(server, "SELECT 'abc' ~ 'b', 'abc' !~ 'B', 'abc' ~* 'B', 'abc' !~* 'B', ~5;", "-At").stdout
    assert text == "t|t|t|f|-6\n"


@pytest.mark.parametrize("text,line,column", [
    ("SELECT nope FROM scans;", "LINE 1: SELECT nope FROM scans;", 7),
    ("SELECT\n  1,\n  nöpe\nFROM scans;", "LINE 3:   nöpe", 2),
    ("SELECT 1 \\; SELECT 'ä', nope \\; SELECT 3;", "LINE 1: SELECT 1 ; SELECT 'ä', nope ; SELECT 3;", 23),
    ("SELECT site ~ 'a', nope FROM scans;", "LINE 1: SELECT site ~ 'a', nope FROM scans;", 19),
])
def test_caret(server, text, line, column):
    error = run(server, text).stderr.splitlines()
    at = error.index(line)
    assert error[at + 1].index("^") == len("LINE 1: ") + column, error


def test_error_in_the_middle(server):
    result = run(server, "SELECT 1 AS a \\; SELECT 1/nope \\; SELECT 3 AS c;")
    assert " a " in result.stdout and " c " not in result.stdout
    assert server.psql("-Atc", "SELECT 4").stdout == "4\n"


def test_transactions(server):
    result = run(server, "BEGIN;\nSELECT 1;\nSELECT nope;\nSELECT 2;\nROLLBACK;\nSELECT 3;\n", "-At")
    assert result.stdout.splitlines() == ["BEGIN", "1", "ROLLBACK", "3"]
    assert "current transaction is aborted" in result.stderr


def test_prepared_and_cursors(server):
    text = run(server, "PREPARE p AS SELECT $1::int + 1;\nEXECUTE p(41);\nBEGIN;\n"
                       "DECLARE c CURSOR FOR SELECT * FROM range(5);\nFETCH 2 FROM c;\nSELECT 'between';\nMOVE 1 IN c;\n"
                       "FETCH ALL FROM c;\nCLOSE c;\nCOMMIT;\nDISCARD ALL;\n", "-At").stdout
    assert text.split() == "PREPARE 42 BEGIN DECLARE CURSOR 0 1 between MOVE 1 3 4 CLOSE CURSOR COMMIT DISCARD ALL".split()


def test_fetch_count(server):
    text = run(server, "\\set FETCH_COUNT 100\nSELECT * FROM range(2500);\n", "-At").stdout
    assert text == "".join(f"{i}\n" for i in range(2500))


def test_copy(server):
    text = run(server, "\\copy (SELECT site, name, capacity FROM sites WHERE site = 'SEA') to stdout csv header\n").stdout
    assert text == "site,name,capacity\nSEA,Seattle,10\n"
    assert run(server, "COPY (SELECT 1, 'a' WHERE true) TO STDOUT;\nCOPY (VALUES (2)) TO STDOUT CSV;\n").stdout == "1\ta\n2\n"
    refused = run(server, "\\copy sites from stdin\n")
    assert "COPY ... FROM is not supported" in refused.stderr


def test_timing_and_watch(server):
    text = run(server, "\\timing on\nSELECT 1;\n").stdout
    assert re.search(r"Time: \d", text)


def test_ctrl_c(server):
    host, port = server.pg.rsplit(":", 1)
    psql = subprocess.Popen(["psql", "-X", "-At", "-h", host, "-p", port, "-U", "leat", "leat"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    psql.stdin.write("SELECT 'begun';\n")
    psql.stdin.flush()
    assert psql.stdout.readline() == "begun\n"
    before = server.metric("leat_pg_queries_total")
    psql.stdin.write("SELECT count(*) FROM range(1000000000) a, range(1000) b;\n")
    psql.stdin.flush()
    wait_until(lambda: server.metric("leat_pg_queries_total") > before)
    deadline = time.monotonic() + PATIENCE_S
    while True:  # the statement would take hours; a Ctrl-C before its very beginning does nothing
        psql.send_signal(signal.SIGINT)
        try:
            _, err = psql.communicate(timeout=1)
            break
        except subprocess.TimeoutExpired:
            assert time.monotonic() < deadline, "the statement is not canceled"
    assert "canceling statement due to user request" in err


def test_subscription_and_its_cancel(server):
    """COPY (SUBSCRIBE TO view): the picture, then -1 and +1 of what changed; unchanged rows do not come again."""
    host, port = server.pg.rsplit(":", 1)
    psql = subprocess.Popen(["stdbuf", "-oL", "psql", "-X", "-h", host, "-p", port, "-U", "leat", "leat", "-c",
                             "COPY (SUBSCRIBE TO per_site) TO STDOUT"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)
    first = sorted(psql.stdout.readline().rstrip("\n").split("\t")[1:] for _ in range(2))
    assert first == [["1", "SEA", "2", "2100"], ["1", "ÄBC", "1", "\\N"]]
    server.sql("INSERT INTO scans (site, weight_g) VALUES ('SEA', 5)")
    change = [psql.stdout.readline().rstrip("\n").split("\t") for _ in range(2)]
    assert sorted(row[1:] for row in change) == [["-1", "SEA", "2", "2100"], ["1", "SEA", "3", "2105"]]
    assert change[0][0] == change[1][0]
    psql.send_signal(signal.SIGINT)
    _, err = psql.communicate(timeout=PATIENCE_S)
    assert "the subscription was canceled" in err


def test_forms_of_output(server, tmp_path):
    """\\watch, \\gx, \\x, \\g to a file and through a program, \\copy to a file, \\gset, \\crosstabview, \\gexec."""
    out = run(server, "SELECT 1 AS a, 'x' AS b \\gx\n\\x\nSELECT 2 AS c;\n\\x\nSELECT 3 AS n \\gset\n\\echo got :n\n"
                      "SELECT 'SELECT 40 + 2' \\gexec\nSELECT 'r' AS r, 'c' AS c, 5 AS v \\crosstabview\n"
                      f"\\copy (SELECT site, name FROM sites) to '{tmp_path}/sites.csv' csv header\n"
                      f"SELECT site FROM sites \\g {tmp_path}/sites.txt\nSELECT 7 AS seven \\gdesc\n")
    for part in ("a | 1\nb | x", "c | 2", "got 3", "42", " r | c \n", "integer"):
        assert part in out.stdout, (part, out.stdout)
    assert out.stderr == ""
    assert (tmp_path / "sites.csv").read_text() == "site,name\nSEA,Seattle\n"
    assert "SEA" in (tmp_path / "sites.txt").read_text()


def test_watch(server):
    host, port = server.pg.rsplit(":", 1)
    psql = subprocess.Popen(["stdbuf", "-oL", "psql", "-X", "-At", "-h", host, "-p", port, "-U", "leat", "leat"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    psql.stdin.write("SELECT 'again' \\watch 0.1\n")
    psql.stdin.flush()
    seen = 0
    while seen < 3:
        line = psql.stdout.readline()
        assert line, psql.stderr.read()
        seen += line == "again\n"
    psql.send_signal(signal.SIGINT)
    _, err = psql.communicate(timeout=PATIENCE_S)
    assert "ERROR" not in err


TABS = ["SELECT * FROM ", "INSERT INTO ", "DROP VIEW ", "DROP TABLE ", "\\d ", "\\dv ", "SET ", "SHOW ", "SET TimeZone TO ",
        "ALTER MATERIALIZED VIEW ", "SELECT * FROM scans WHERE ", "\\df ", "COPY ", "UPDATE ", "SET search_path TO ",
        "\\dn ", "\\dT ", "\\sv ", "CREATE INDEX ON ", "EXECUTE ", "GRANT SELECT ON ", "\\l ", "\\sf ", "DROP FUNCTION "]


def test_tab_completion(server):
    """Each question that psql asks for a Tab is answered; it would swallow an error."""
    import pty
    import select

    def errors():
        return int(re.search(rb"^leat_pg_errors\S* (\d+)", server.get("/metrics")[2], re.M).group(1))

    def read(until, timeout_s=PATIENCE_S):
        text, deadline = "", time.monotonic() + timeout_s
        while until not in text and time.monotonic() < deadline:
            if select.select([fd], [], [], 0.05)[0]:
                text += os.read(fd, 65536).decode(errors="replace")
        return text

    host, port = server.pg.rsplit(":", 1)
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="dumb", PAGER="cat", PSQL_HISTORY="/dev/null", INPUTRC="/dev/null")
        os.execvp("psql", ["psql", "-X", "-h", host, "-p", port, "-U", "leat", "leat"])
    try:
        read("=> ")
        os.write(fd, b"SELECT * FROM sit\t")
        assert "sites" in read("sites")
        os.write(fd, b"\x15SELECT weight_g FROM scans WHERE package\t")
        assert "package_id" in read("package_id")
        before = errors()
        for line in TABS:
            os.write(fd, b"\x15" + line.encode() + b"\t\t")
        os.write(fd, b"\x15\\echo 'that is' all\n")
        assert "that is all" in read("that is all")
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert errors() == before
            time.sleep(0.2)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)


def test_what_other_tools_ask(server):
    """Grafana, DBeaver and SQLAlchemy: every question is answered, and those for relations and columns rightly."""
    result = server.psql("-f", f"{HERE}/tool_queries.sql", check=False)
    assert result.stderr == ""
    for part in ("\n scans\n", " package_id | text ", "1500"):
        assert part in result.stdout, (part, result.stdout)
    assert run(server, "SELECT json_build_object('a', 1), jsonb_build_array(1, 'x'), s[2] FROM string_to_array('a,b', ',') s;",
               "-At").stdout == '{"a":1}|[1,"x"]|b\n'
