# SPDX-License-Identifier: Apache-2.0
"""The contract of the command line: doors, data directories, exit codes, roles that die."""
import os
import signal
import subprocess
import threading
import time

import pytest

from conftest import BINARY, PATIENCE_S, wait_until

ANY_DOORS = ("--kafka", "127.0.0.1:0", "--pg", "127.0.0.1:0", "--http", "127.0.0.1:0")


def run(*args, timeout_s=PATIENCE_S, env=None):
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=timeout_s, check=False,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})


def kill_until_given_up(leat, role):
    """Ends the role as often as it comes back; it comes back until role.deaths."""
    leat.expects_death = True
    words = f'a role keeps dying and is not started again" name="{role}'
    deadline = time.monotonic() + PATIENCE_S
    while not any(words in line for line in leat.err):
        assert time.monotonic() < deadline, leat.log()
        leat.kill_role(role)
        time.sleep(0.05)


@pytest.mark.parametrize("command", ["serve", "sql", "status", "verify", "generate"])
def test_every_command_has_help(command):
    for args in ([command, "--help"], ["help", command]):
        shown = run(*args)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout.startswith(f"usage: leat {command}")
    wrong = run(command, "--nosuch")
    assert wrong.returncode == 2 and "--nosuch" in wrong.stderr


@pytest.mark.parametrize("args, code, words", [
    ([], 2, "usage: leat COMMAND"),
    (["nosuch"], 2, 'no command "nosuch"'),
    (["help", "nosuch"], 2, 'no command "nosuch"'),
    (["serve", "--set", "nosuch=1"], 2, 'no parameter "nosuch"'),
    (["serve", "--set", "x"], 2, "name=value"),
    (["serve", "--kafka", "127.0.0.1:99999"], 2, "no address"),
    (["sql", "-c", "x", "-f", "y"], 2, "not both"),
    (["sql", "--pg", "127.0.0.1:1", "-c", "SELECT 1"], 1, "cannot connect to 127.0.0.1 port 1"),
    (["verify", "--data", "/nonexistent"], 1, "no data directory"),
])
def test_wrong_usage(args, code, words):
    done = run(*args)
    assert done.returncode == code and words in done.stderr, done


def test_status_asks_both_doors(leat):
    for done in (leat.cli("status"), run("status", "--pg", leat.pg, "--http", leat.http)):
        assert done.returncode == 0 and f"ready, console at http://{leat.http}" in done.stdout
    silent = run("status", "--pg", leat.pg, "--http", "127.0.0.1:1")
    assert silent.returncode == 1 and "NO ANSWER on HTTP" in silent.stdout


def test_busy_ports_and_public_addresses(leat, tmp_path):
    for door in ("kafka", "pg", "http"):
        args = list(ANY_DOORS)
        args[args.index(f"--{door}") + 1] = getattr(leat, door)
        busy = run("serve", "--data", str(tmp_path / "other"), *args)
        assert busy.returncode == 1 and f"port {getattr(leat, door).rsplit(':', 1)[1]} of 127.0.0.1 is in use" in busy.stderr
        args[args.index(f"--{door}") + 1] = "0.0.0.0:0"
        public = run("serve", "--data", str(tmp_path / "other"), *args)
        assert public.returncode == 1 and f"--{door} 0.0.0.0 is not a loopback address" in public.stderr


def test_data_directory_in_use(leat):
    begun = time.monotonic()
    second = run("serve", "--data", leat.data, *ANY_DOORS)
    assert second.returncode == 1 and f"is locked by process {leat.process.pid}" in second.stderr
    assert time.monotonic() - begun > 4.5
    assert leat.cli("verify", "--data", leat.data).stdout.endswith("all well\n")


def test_data_directory_is_waited_for(leat, new_leat):
    second = new_leat(data=leat.data)
    threading.Timer(1, leat.stop).start()
    second.start()
    assert second.sql("SELECT 1") == [(1,)]


def test_data_directory_of_another_format(tmp_path):
    (tmp_path / "FORMAT").write_text("leat 99\n")
    for done in (run("serve", "--data", str(tmp_path), *ANY_DOORS), run("verify", "--data", str(tmp_path))):
        assert done.returncode == 1 and 'says format "leat 99"; this program reads and writes "leat 2"' in done.stderr
    assert os.listdir(tmp_path) in (["FORMAT"], ["FORMAT", "lock"], ["lock", "FORMAT"])


def test_interrupt_stops_in_order(leat):
    leat.sql("CREATE TOPIC t (a INT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    leat.close()
    leat.process.send_signal(signal.SIGINT)
    assert leat.process.wait(PATIENCE_S) == 0
    leat._join()
    leat.process = None
    leat.start()
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM v") == [(0,)]


def test_sessions_begin_at_the_same_time(leat):
    """PostgreSQL's functions are made once for the engine, not by each session in the way of others."""
    failures = []

    def session():
        try:
            with leat.connect() as connection:
                connection.execute("SELECT current_database(), relname FROM pg_class")
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(str(failure))

    for _ in range(3):
        threads = [threading.Thread(target=session, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        leat.kill_role("query")
    assert not failures


def test_query_that_keeps_dying_leaves_the_log_alone(new_leat):
    leat = new_leat(args=["--set", "role.deaths=3"]).start()
    leat.sql("CREATE TOPIC t (a INT)")
    leat.close()
    kill_until_given_up(leat, "query")
    wait_until(lambda: any("its door is closed" in line for line in leat.err), leat.log)
    leat.produce("t", [{"a": 1}])  # the log goes on
    assert leat.get("/readyz")[0] == 503
    with pytest.raises(Exception, match="refused"):
        leat.connect()
    assert leat.cli("status", check=False).returncode == 1
    leat.restart()
    assert leat.sql("SELECT a FROM t") == [(1,)]


def test_worker_that_keeps_dying_is_told(new_leat):
    leat = new_leat(args=["--set", "role.deaths=3"]).start()
    leat.sql("CREATE TOPIC t (a INT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    wait_until(lambda: leat.sql("SHOW JOBS")[0][2] == "running", leat.log)
    kill_until_given_up(leat, "worker")
    wait_until(lambda: leat.sql("SHOW JOBS")[0][2] == "down", lambda: leat.sql("SHOW JOBS"))
    view, _, _, *_, reason = leat.sql("SHOW JOBS")[0]
    assert view == "v" and "does not run" in reason
    leat.sql("INSERT INTO t VALUES (1)")
    leat.sql("SET leat.freshness = 'none'")
    assert leat.sql("SELECT n FROM v") == [(0,)]
    assert leat.cli("status", check=False).returncode == 1
    leat.sql("ALTER JOB v PAUSE; ALTER JOB v RESUME; SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM v") == [(1,)]
    assert leat.sql("SHOW JOBS")[0][2] == "running"


def test_stop_while_the_broker_hangs(leat):
    """Statements that wait for a broker that does not answer end at once; nobody has to be killed."""
    leat.sql("CREATE TOPIC t (a INT)")
    leat.close()
    answers, connected, hangs = [], threading.Barrier(4), threading.Event()

    def ask(statement):
        try:
            with leat.connect() as connection:
                connected.wait()
                hangs.wait()
                connection.execute(statement)
        except Exception as failure:  # pylint: disable=broad-except
            answers.append(str(failure))

    threads = [threading.Thread(target=ask, args=(statement,), daemon=True)
               for statement in ("CREATE TOPIC y (a INT)", "SELECT count(*) FROM t", "INSERT INTO t VALUES (1)")]
    for thread in threads:
        thread.start()
    connected.wait()
    broker, = leat.role_pids("broker")
    os.kill(broker, signal.SIGSTOP)
    before = leat.metric("leat_pg_queries_total")
    hangs.set()
    wait_until(lambda: leat.metric("leat_pg_queries_total") == before + 3)
    leat.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not leat.role_pids("query"), "query does not end")
    assert not any("is killed" in line for line in leat.err), leat.log()
    os.kill(broker, signal.SIGCONT)
    assert leat.stop() == 0
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any("is killed" in line for line in leat.err), leat.log()
    assert len(answers) == 3 and all("terminating connection" in answer or "closed the connection" in answer
                                     for answer in answers), answers


def test_stop_of_the_whole_group(tmp_path):
    """Service managers send SIGTERM to every process: the order of the stop stays the supervisor's."""
    with subprocess.Popen([BINARY, "serve", "--data", str(tmp_path / "d"), *ANY_DOORS], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, start_new_session=True) as leat:
        assert any(line.startswith("ready in") for line in leat.stdout)
        os.killpg(leat.pid, signal.SIGTERM)
        _, err = leat.communicate(timeout=15)
    assert leat.returncode == 0
    assert "started again" not in err and "is killed" not in err, err
