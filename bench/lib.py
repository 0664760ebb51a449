# SPDX-License-Identifier: Apache-2.0
"""What the parts of the benchmark share: processes that end with us, a running Leat, its roles' processor time and memory.

Everything is measured in processor seconds of each role (user and system, /proc/PID/stat) beside wall time, since the
machine may do other things; `busy()` tells how much it was busy in all.
"""
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("LEAT_BUILD", "build")
BUILD = BUILD if os.path.isabs(BUILD) else f"{ROOT}/{BUILD}"
BINARY = os.environ.get("LEAT_BINARY", f"{BUILD}/leat")
DATA = os.environ.get("LEAT_BENCH_DATA", f"{BUILD}/bench-data")
TICKS = os.sysconf("SC_CLK_TCK")
ROLES = ("broker", "worker", "query", "api", "supervisor")
PACKSCAN = f"{ROOT}/examples/packscan"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # roles of a Leat that was killed are ours to count
live = []  # processes that were started and not ended yet


class BenchError(Exception):
    """A part cannot go on; the others can."""


class Skipped(Exception):
    """Something that a figure needs is not here."""


# ---- processes ----------------------------------------------------------------------------------------------------------


def with_us():
    """In the child: a group of its own, so that Ctrl-C is ours to pass on; and no life without us."""
    os.setpgid(0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def spawn(command, log=None, env=None, **more):
    """Starts a process that ends with us at the latest; its output goes to the file @log."""
    if log is not None:
        with open(log, "ab") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(env or {})}, preexec_fn=with_us)
    else:
        process = subprocess.Popen(command, env={**os.environ, **(env or {})}, preexec_fn=with_us, **more)
    live.append(process)
    return process


def end(process, number=signal.SIGTERM, timeout_s=20):
    """Ends a process in order, or by force when it does not."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process in live:
        live.remove(process)


def end_all():
    for process in list(live):
        end(process, timeout_s=5)
    # A Ctrl-C may have come between the start of a process and its entry in the list.
    begun = time.monotonic()
    while (left := children(os.getpid())) and time.monotonic() - begun < 20:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() - begun < 5 else signal.SIGKILL)
        reap()
        time.sleep(0.05)


def reap():
    """Waits for orphans, so that their processor time counts as ours."""
    known = {process.pid for process in live}
    for pid in children(os.getpid()):
        if pid not in known:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(child) for child in f.read().split()]
    except FileNotFoundError:
        return []


def run(command, timeout_s=300, env=None):
    """Runs a command to its end; returns its standard output, standard error, processor seconds."""
    before = os.times()
    process = spawn(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=timeout_s)
    finally:
        end(process)
    after = os.times()
    if process.returncode != 0:
        raise BenchError(f"{' '.join(command)[:200]}: {(err or out).strip()[-1500:]}")
    return out, err, after.children_user + after.children_system - before.children_user - before.children_system


def build(target):
    """A program of the build, brought up to date."""
    run(["ninja", "-C", BUILD, target], timeout_s=1200)
    return f"{BUILD}/{target}"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def data_dir():
    os.makedirs(DATA, exist_ok=True)
    return tempfile.mkdtemp(prefix="run-", dir=DATA)


def settle():
    """Writes to the disk what is in memory only, so that the next run does not pay for it."""
    os.sync()


def drop_caches():
    """True when the page cache is empty now; only root may."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("3")
        return True
    except OSError:
        return False


# ---- processor and memory -----------------------------------------------------------------------------------------------


def busy():
    """Processor seconds of the whole machine since it started: all that was not idle."""
    with open("/proc/stat", encoding="ascii") as f:
        numbers = [int(n) for n in f.readline().split()[1:]]
    return (sum(numbers[:8]) - numbers[3] - numbers[4]) / TICKS


def process_cpu(pid):
    """Processor seconds of a process, all of its threads."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def ours():
    """Processor seconds of this program and of all that it started, those that ended and were waited for included."""
    times = os.times()
    total, left = times.user + times.system + times.children_user + times.children_system, children(os.getpid())
    while left:
        pid = left.pop()
        left += children(pid)
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += sum(int(field) for field in fields[11:15]) / TICKS
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


class Others:
    """Processor seconds that others took since this was made: people, builds, the kernel's own threads."""

    def __init__(self):
        self.begun, self.busy, self.ours = time.monotonic(), busy(), ours()

    def cores(self):
        """As a share of one core; small errors of the clocks can make it a little less than nothing."""
        return max(0.0, busy() - self.busy - (ours() - self.ours)) / max(time.monotonic() - self.begun, 0.001)


def process_pss(pid):
    """Kilobytes, shared pages counted by their share."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(re.search(r"^Pss:\s*(\d+)", f.read(), re.M).group(1))


class Leat:
    def __init__(self, args=(), data=None):
        self.data = data or data_dir()
        self.args = list(args)
        self.kafka = self.pg = self.http = None
        self.process = None
        self.ready_ms = None

    def start(self):
        doors = [f"{v}" for d in ("kafka", "pg", "http") for v in (f"--{d}", getattr(self, d) or "127.0.0.1:0")]
        with open(f"{self.data}.log", "ab") as errors:
            self.process = spawn([BINARY, "serve", "--data", self.data, *doors, *self.args], stdout=subprocess.PIPE,
                                 stderr=errors, text=True)
        for line in self.process.stdout:
            match = re.match(r"(kafka|pg|http)\s+(?:http://)?(\S+:\d+)", line)
            if match:
                setattr(self, match.group(1), match.group(2))
            match = re.match(r"ready in (\d+) ms", line)
            if match:
                self.ready_ms = int(match.group(1))
                return self
        raise BenchError(f"Leat did not start: {self.last_words()}")

    def last_words(self):
        try:
            with open(f"{self.data}.log", encoding="utf-8", errors="replace") as f:
                return "".join(f.readlines()[-20:])
        except FileNotFoundError:
            return ""

    def stop(self, kill=False):
        if self.process is not None:
            roles = [pid for pid in children(self.process.pid)] if kill else []
            end(self.process, signal.SIGKILL if kill else signal.SIGTERM)
            self.process.stdout.close()
            self.process = None
            for pid in roles:
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    pass

    def done(self):
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        if os.path.exists(f"{self.data}.log"):
            os.unlink(f"{self.data}.log")

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.done()
            raise

    def __exit__(self, kind, error, trace):
        words = self.last_words()
        self.done()
        if isinstance(error, BenchError) and words:
            raise BenchError(f"{error}\n{words}") from None

    # ---- processes ---------------------------------------------------------------------------------------------

    def pids(self):
        """role -> process ids, the supervisor's among them."""
        found = {role: [] for role in ROLES}
        found["supervisor"] = [self.process.pid]
        for pid in children(self.process.pid):
            with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                role = f.read().strip().removeprefix("leat-")
            found.setdefault(role, []).append(pid)
        return found

    def cpu(self):
        return {role: sum(process_cpu(pid) for pid in pids) for role, pids in self.pids().items()}

    def pss(self):
        return {role: sum(process_pss(pid) for pid in pids) / 1024 for role, pids in self.pids().items()}

    # ---- talking -----------------------------------------------------------------------------------------------

    def sql(self, text):
        """Rows of the last statement, over HTTP."""
        request = urllib.request.Request(f"http://{self.http}/api/sql", json.dumps({"sql": text, "max_rows": 100000}).encode(),
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return json.load(answer)["rows"]
        except urllib.error.HTTPError as error:
            raise BenchError(f"{text[:80]}: {error.read().decode()}") from None

    def sql_file(self, path):
        run([BINARY, "sql", "--pg", self.pg, "-f", path])

    def jobs(self):
        """SHOW JOBS, as a list of dicts: a row for each view and input."""
        request = urllib.request.Request(f"http://{self.http}/api/sql", json.dumps({"sql": "SHOW JOBS"}).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            got = json.load(answer)
        names = [column["name"] for column in got["columns"]]
        return [dict(zip(names, row)) for row in got["rows"]]

    def wait_caught_up(self, timeout_s=600):
        """Until all jobs run and the views cover everything that was acknowledged; returns seconds waited."""
        begun = time.monotonic()
        while time.monotonic() - begun < timeout_s:
            jobs = self.jobs()
            failed = [job["reason"] for job in jobs if job["state"] in ("failed", "paused")]
            if failed:
                raise BenchError(f"a view has stopped: {failed[0]}")
            if jobs and all(job["state"] == "running" and job["lag_records"] != "" for job in jobs):
                for view in sorted({job["view"] for job in jobs}):
                    self.sql(f"SET leat.freshness = 'now'; SELECT 1 FROM {view} LIMIT 1")
                return time.monotonic() - begun
            time.sleep(0.05)
        raise BenchError(f"the views do not catch up: {self.jobs()}")


# ---- input ----------------------------------------------------------------------------------------------------------------


def packscan(leat, views=True, dashboards=False):
    """PackScan's topics with their fixed contents, its views, its dashboards."""
    leat.sql_file(f"{PACKSCAN}/topics.sql")
    leat.sql("ALTER TOPIC scans SET (retention_bytes = '1 TB')")  # the demo keeps little, less than a fast sender is ahead
    run([BINARY, "generate", "-f", f"{PACKSCAN}/generate.json", "-t", "stations", "-t", "routes", "-t", "associates",
         "--kafka", leat.kafka, "-q"])
    if views:
        leat.sql_file(f"{PACKSCAN}/views.sql")
    if dashboards:
        leat.sql_file(f"{PACKSCAN}/dashboards.sql")


def scans_make(path, count, rate, start=None):
    """Scans of PackScan as lines, `leat generate`; returns processor seconds."""
    return run([BINARY, "generate", "-f", f"{PACKSCAN}/generate.json", "-t", "scans", "-n", str(count), "--rate", str(rate), "-q",
                "-o", path, *(["--start", start] if start else [])], timeout_s=600)[2]


def send(kafka, topic, path, rate="max", batch=500, partitions=1, at=None, for_s=None):
    """Lines of a file to a topic, acks=all; returns records, seconds, processor seconds of the loader."""
    begun = time.monotonic()
    _, text, cpu = run([BINARY, "generate", "--lines", path, "-t", topic, "--kafka", kafka, "--rate", str(rate), "--batch",
                        str(batch), "--partitions", str(partitions), *(["--at", at] if at else []), *(["--for", f"{for_s} seconds"] if for_s else [])],
                       timeout_s=900)
    records = int(re.findall(r"^(\d+) events in", text, re.M)[-1])
    return records, time.monotonic() - begun, cpu
