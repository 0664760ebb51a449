# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests: a running Leat, reached by the clients that people really use.

    def test_count(leat):
        leat.sql("CREATE TOPIC scans (site TEXT)")
        leat.kcat("-P", "-t", "scans", input='{"site": "a"}\\n')
        assert leat.sql("SET leat.freshness = 'now'; SELECT count(*) FROM scans") == [(1,)]

`leat` starts one for the test, `shared_leat` one for all tests of the file. Both stop it at the end and fail the test
when a role crashed or a sanitizer had something to say. A test that kills roles says so: `leat.expects_death = True`.

LEAT_BINARY names the program (default: build/leat); LEAT_TEST_KEEP=1 keeps data folders.
"""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.environ.get("LEAT_BINARY", f"{ROOT}/build/leat")
# One tenth of what `make soak` does, unless it is `make soak`.
SCALE = int(os.environ.get("LEAT_TEST_SCALE", "1"))
SEED = int(os.environ.get("LEAT_TEST_SEED", "20261124"))
# How long a test waits for what must come at once. Long, as a busy or slow machine is no reason to fail; nothing waits
# longer than it has to.
PATIENCE_S = float(os.environ.get("LEAT_TEST_PATIENCE_S", "90"))

TROUBLE = re.compile(
    r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer|assertion failed|stack smashing")
DEATH = re.compile(r"a role has ended|a role keeps dying| crashed: signal \d+")


def wait_until(is_true, what="it did not happen in time", timeout_s=PATIENCE_S):
    """Asks until is_true() holds, and returns what it gave; @what (or what()) tells of the failure."""
    deadline = time.monotonic() + timeout_s
    while not (value := is_true()):
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.03)
    return value


def free_port():
    """Of 127.0.0.1. Not one that the kernel gives to connections: those may take it while a server is away."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        end = int(file.read().split()[0])
    while True:
        port = random.SystemRandom().randrange(min(10000, end // 2), end)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Leat:
    """One `leat serve` with a data folder of its own."""

    def __init__(self, data=None, args=(), env=None):
        self.data = data or tempfile.mkdtemp(prefix="leat-test-")
        self.owns_data = data is None
        self.args = list(args)
        self.env = {**os.environ, **(env or {})}
        self.expects_death = False
        self.kafka = self.pg = self.http = None
        self.ready_ms = None
        self.process = None
        self.out, self.err = [], []
        self._connection = None

    # ---- life --------------------------------------------------------------------------------------------------

    def start(self, timeout_s=PATIENCE_S):
        """Starts and waits until all doors answer. A restart takes the same ports again."""
        doors = {door: getattr(self, door) or f"127.0.0.1:{free_port()}" for door in ("kafka", "pg", "http")}
        command = [BINARY, "serve", "--data", self.data]
        for door, address in doors.items():
            command += [f"--{door}", address]
        self.process = subprocess.Popen(command + self.args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=self.env, errors="replace")
        ready = threading.Event()
        self._readers = [threading.Thread(target=self._read, args=(self.process.stdout, self.out, ready), daemon=True),
                         threading.Thread(target=self._read, args=(self.process.stderr, self.err, ready), daemon=True)]
        for reader in self._readers:
            reader.start()
        deadline = time.monotonic() + timeout_s
        while not ready.wait(0.02):
            if self.process.poll() is not None:
                self._join()
                raise AssertionError(f"serve ended with {self.process.returncode} before it was ready:\n{self.log()}")
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"serve was not ready after {timeout_s} s:\n{self.log()}")
        return self

    def _read(self, stream, lines, ready):
        for line in stream:
            lines.append(line.rstrip("\n"))
            match = re.match(r"(kafka|pg|http)\s+(?:http://)?(\S+:\d+)", line)
            if match:
                setattr(self, match.group(1), match.group(2))
            match = re.match(r"ready in (\d+) ms", line)
            if match:
                self.ready_ms = int(match.group(1))
                ready.set()

    def _join(self):
        for reader in self._readers:
            reader.join(PATIENCE_S)

    def stop(self, timeout_s=PATIENCE_S):
        """As Ctrl-C does; returns the exit code."""
        self.close()
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"serve did not stop within {timeout_s} s:\n{self.log()}") from None
        self._join()
        self.process = None
        return code

    def kill(self):
        """kill -9 of the supervisor; the kernel ends its roles."""
        self.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._join()
            self.process = None

    def restart(self, kill=False):
        if kill:
            self.kill()
        else:
            assert self.stop() == 0, self.log()
        return self.start()

    def role_pids(self, role):
        """Process ids of a role, "broker", "worker", "query" or "api", below this supervisor."""
        out = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(self.process.pid)], capture_output=True,
                             text=True, check=False).stdout
        return [int(line.split()[0]) for line in out.splitlines() if line.split()[1] == f"leat-{role}"]

    def kill_role(self, role):
        pids = self.role_pids(role)
        for pid in pids:
            self.kill_pid(pid)
        return pids

    def kill_pid(self, pid):
        """Kills one process of a role."""
        self.expects_death = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def wait_log(self, words):
        """Until a line of the log has the words: what is written before an answer may be read after it."""
        wait_until(lambda: any(words in line for line in self.err), lambda: f"no {words!r} in the log:\n{self.log()}")

    def log(self):
        return "\n".join(self.out[-40:] + self.err[-80:])

    def check(self):
        """Fails when something broke that no answer told of."""
        text = "\n".join(self.err)
        assert not TROUBLE.search(text), f"trouble in the log:\n{self.log()}"
        assert self.expects_death or not DEATH.search(text), f"a role died:\n{self.log()}"

    def done(self):
        self.kill()
        if self.owns_data and "LEAT_TEST_KEEP" not in os.environ:
            shutil.rmtree(self.data, ignore_errors=True)

    # ---- clients -----------------------------------------------------------------------------------------------

    def connect(self, **options):
        """A psycopg connection of its own."""
        import psycopg
        host, port = self.pg.rsplit(":", 1)
        return psycopg.connect(**{"host": host, "port": port, "user": "leat", "dbname": "leat", "autocommit": True,
                                  "connect_timeout": int(PATIENCE_S),
                                  "options": f"-c leat.wait_timeout={int(PATIENCE_S)}s", **options})

    def sql(self, text, params=None):
        """Runs statements on one kept connection; rows of the last one that has any, [] when none has."""
        if self._connection is None or self._connection.closed:
            self._connection = self.connect()
        cursor = self._connection.cursor()
        cursor.execute(text, params)
        rows = []
        while True:
            if cursor.description is not None:
                rows = cursor.fetchall()
            if not cursor.nextset():
                return rows

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def wait_for(self, text, want, timeout_s=PATIENCE_S):
        """Runs a query until its rows are @want. Prefer SET leat.freshness = 'now'."""
        deadline = time.monotonic() + timeout_s
        while True:
            rows = self.sql(text)
            if rows == want:
                return rows
            assert time.monotonic() < deadline, f"{text} gives {rows}, not {want}"
            time.sleep(0.05)

    def psql(self, *args, input=None, check=True):
        host, port = self.pg.rsplit(":", 1)
        return self._run(["psql", "-X", "-h", host, "-p", port, "-U", "leat", "leat", *args], input, check)

    def kcat(self, *args, input=None, check=True):
        return self._run(["kcat", "-b", self.kafka, *args], input, check)

    def cli(self, *args, input=None, check=True):
        """build/leat with the addresses of this server."""
        env = {**self.env, "LEAT_PG": self.pg or "", "LEAT_HTTP": self.http or ""}
        return self._run([BINARY, *args], input, check, env)

    def java(self, source, *args, check=True):
        """Runs a single-file Java program of tests/java with the Kafka and PostgreSQL clients."""
        return self._run(["java", "-cp", f"{ROOT}/build/deps/java/*", f"{ROOT}/tests/java/{source}", *args], None, check)

    def _run(self, command, input, check, env=None):
        result = subprocess.run(command, input=input, capture_output=True, text=True, timeout=240, check=False,
                                env=env or self.env)
        if check:
            assert result.returncode == 0, f"{' '.join(command)}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def produce(self, topic, values, partition=-1):
        """Sends values (str, or dicts as JSON) through kcat and waits for the acknowledgements."""
        lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
        self.kcat("-P", "-t", topic, "-p", str(partition), "-X", "acks=all", input="".join(f"{line}\n" for line in lines))

    def get(self, path, headers=None, method="GET", body=None):
        """(status, headers, body as bytes) of an HTTP request; an error status is an answer too."""
        request = urllib.request.Request(f"http://{self.http}{path}", data=body, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()


    def metric(self, name):
        """The sum of a metric over its labels."""
        text = self.get("/metrics")[2].decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.M))


def need_binary():
    if not os.path.exists(BINARY):
        pytest.fail(f"{BINARY} is not built: make build")


@pytest.fixture
def leat():
    need_binary()
    server = Leat().start()
    yield server
    try:
        if server.process is not None:
            server.stop()
        server.check()
    finally:
        server.done()


@pytest.fixture(scope="module")
def shared_leat():
    need_binary()
    server = Leat().start()
    yield server
    try:
        if server.process is not None:
            server.stop()
        server.check()
    finally:
        server.done()


@pytest.fixture
def new_leat():
    """A function that makes servers with arguments of their own: new_leat(args=["--set", "x=y"]), not yet started."""
    need_binary()
    made = []

    def make(**options):
        made.append(Leat(**options))
        return made[-1]

    yield make
    try:
        for server in made:
            if server.process is not None:
                server.stop()
            server.check()
    finally:
        for server in made:
            server.done()


class SmallDisk:
    """A file system that can be filled to its last block and emptied again."""

    def __init__(self, path):
        self.path = str(path)
        self.ballast = f"{self.path}/ballast"

    def fill(self):
        with open(self.ballast, "wb") as file:
            for block in (1 << 20, 4096):
                try:
                    while True:
                        os.write(file.fileno(), b"x" * block)
                except OSError:
                    pass

    def free(self):
        os.unlink(self.ballast)


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted, which takes root: {done.stderr.strip()}")
    yield SmallDisk(path)
    subprocess.run(["umount", "-l", str(path)], check=False)


@pytest.fixture
def seed():
    print(f"seed {SEED}")
    return SEED


@pytest.fixture
def scale():
    return SCALE
