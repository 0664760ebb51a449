# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end benchmarks share: a running Leat, its roles' processor time and memory, medians, machine facts.

Everything is measured in processor seconds of each role (user and system, /proc/PID/stat) beside wall time, since the
machine may do other things; `busy()` tells how much those took.
"""
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("LEAT_BUILD", "build")
BUILD = BUILD if os.path.isabs(BUILD) else f"{ROOT}/{BUILD}"
BINARY = os.environ.get("LEAT_BINARY", f"{BUILD}/leat")
RUNS = int(os.environ.get("LEAT_BENCH_RUNS", "5"))
TICKS = os.sysconf("SC_CLK_TCK")
ROLES = ("broker", "worker", "query", "api", "supervisor")


def data_dir():
    base = os.environ.get("LEAT_BENCH_DATA") or tempfile.gettempdir()
    os.makedirs(base, exist_ok=True)
    return tempfile.mkdtemp(prefix="leat-bench-", dir=base)


def program(name):
    """A program of bench/, built when it is missing or old."""
    subprocess.run(["ninja", "-C", BUILD, f"bench/{name}"], check=True, stdout=subprocess.DEVNULL)
    return f"{BUILD}/bench/{name}"


def median(values):
    return statistics.median(values)


def machine():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        model = re.search(r"model name\s*: (.*)", f.read()).group(1)
    with open("/proc/meminfo", encoding="ascii") as f:
        memory = int(re.search(r"MemTotal:\s*(\d+)", f.read()).group(1)) / 1048576
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, kernel {os.uname().release}, load {os.getloadavg()[0]:.1f}"


def busy():
    """Processor seconds of the whole machine since it started: all that was not idle."""
    with open("/proc/stat", encoding="ascii") as f:
        numbers = [int(n) for n in f.readline().split()[1:]]
    return (sum(numbers[:8]) - numbers[3] - numbers[4]) / TICKS


def process_cpu(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


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
        self.errors = open(f"{self.data}.log", "ab")
        self.process = subprocess.Popen([BINARY, "serve", "--data", self.data, *doors, *self.args],
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)
        for line in self.process.stdout:
            match = re.match(r"(kafka|pg|http)\s+(?:http://)?(\S+:\d+)", line)
            if match:
                setattr(self, match.group(1), match.group(2))
            match = re.match(r"ready in (\d+) ms", line)
            if match:
                self.ready_ms = int(match.group(1))
                return self
        raise SystemExit(f"Leat did not start, see {self.data}.log")

    def stop(self, kill=False):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self.process.wait()
            self.process = None
            self.errors.close()

    def done(self):
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        if os.path.exists(f"{self.data}.log"):
            os.unlink(f"{self.data}.log")

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        if error[0] is not None and os.path.exists(f"{self.data}.log"):
            with open(f"{self.data}.log", errors="replace") as f:
                sys.stderr.write("".join(f.readlines()[-20:]))
        self.done()

    # ---- processes ---------------------------------------------------------------------------------------------

    def pids(self):
        """role -> process ids, the supervisor's among them."""
        found = {role: [] for role in ROLES}
        found["supervisor"] = [self.process.pid]
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
            children = [int(pid) for pid in f.read().split()]
        for pid in children:
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
            raise SystemExit(f"{text[:80]}: {error.read().decode()}") from None

    def sql_file(self, path):
        subprocess.run([BINARY, "sql", "--pg", self.pg, "-f", path], check=True, stdout=subprocess.DEVNULL)

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
            if jobs and all(job["state"] == "running" and job["lag_records"] != "" for job in jobs):
                for view in sorted({job["view"] for job in jobs}):
                    self.sql(f"SET leat.freshness = 'now'; SELECT 1 FROM {view} LIMIT 1")
                return time.monotonic() - begun
            time.sleep(0.05)
        raise SystemExit(f"the views do not catch up: {self.jobs()}")


def packscan(leat, views=True, dashboards=False):
    """PackScan's topics with their fixed contents, its views, its dashboards."""
    here = f"{ROOT}/examples/packscan"
    leat.sql_file(f"{here}/topics.sql")
    subprocess.run([BINARY, "generate", "-f", f"{here}/generate.json", "-t", "stations", "-t", "routes", "-t", "associates",
                    "--kafka", leat.kafka, "-q"], check=True)
    if views:
        leat.sql_file(f"{here}/views.sql")
    if dashboards:
        leat.sql_file(f"{here}/dashboards.sql")
