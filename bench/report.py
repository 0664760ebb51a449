# SPDX-License-Identifier: Apache-2.0
"""Figures, and the table that they end in."""
import os
import re
import statistics
import subprocess
import time

import lib


def number(value):
    """A figure as people read it: three digits or so."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"


class Figure:
    """One row of the table. @values and @peer are those of all runs; @better says which way is better."""

    def __init__(self, name, unit, values, target="", better="more", peer=None, peer_name=""):
        self.name, self.unit, self.values, self.target = name, unit, list(values), target
        self.better, self.peer, self.peer_name = better, list(peer) if peer is not None else None, peer_name

    def ratio(self):
        """How many times better than the peer."""
        if not self.peer:
            return ""
        here, there = statistics.median(self.values), statistics.median(self.peer)
        if not here or not there:
            return ""
        return number(here / there if self.better == "more" else there / here)

    def cells(self):
        low, high = min(self.values), max(self.values)
        spread = f"{number(low)} – {number(high)}" if len(self.values) > 1 else "one run"
        if self.peer:
            peer = f"{number(statistics.median(self.peer))} ({self.peer_name})"
        else:
            peer = self.peer_name
        return [self.name, self.target, f"{number(statistics.median(self.values))} {self.unit}", spread, peer, self.ratio()]


def table(head, rows):
    """Markdown that reads well as plain text too."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in [head, *rows]]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


class Report:
    """What the parts tell: figures, notes, who else used the processor."""

    def __init__(self, runs):
        self.runs = runs
        self.figures, self.parts, self.notes = [], [], []
        self.peer_failed = False
        self.generator_s = 0.0  # processor seconds of loaders and generators in this part

    def figure(self, name, unit, values, **more):
        figure = Figure(name, unit, values, **more)
        self.figures.append(figure)
        cells = figure.cells()
        print(f"  => {name}: {cells[2]} ({cells[3]})" + (f"; {cells[4]}" if cells[4] else "")
              + (f", ratio {cells[5]}" if cells[5] else ""), flush=True)

    def note(self, text):
        """A remark under the table: what was skipped, failed or was wrong."""
        self.notes.append(text)
        print(f"  !! {text}", flush=True)

    def beside(self, part, measure):
        """What @measure of a peer gives; without the peer None, and the word for the table. Leat's own figures stay."""
        try:
            return measure(), ""
        except lib.Skipped as reason:
            self.note(f"{part}: the peer was skipped: {reason}")
            return None, "skipped"
        except lib.BenchError as error:
            self.note(f"{part}: the peer failed: {error}")
            self.peer_failed = True
            return None, "failed"

    def line(self, text):
        print(f"  {text}", flush=True)

    def generator(self, cpu_s):
        self.generator_s += cpu_s

    def part(self, name, seconds, others, failed):
        self.parts.append([name, f"{seconds:.0f} s", f"{100 * others:.0f} %", f"{self.generator_s:.1f} s" if self.generator_s else "–",
                           failed or "done"])
        self.generator_s = 0.0

    def text(self):
        rows = [figure.cells() for figure in self.figures]
        parts = [f"Machine: {machine()}", ""]
        if rows:
            runs = f"median of {self.runs}" if self.runs > 1 else "one run"
            parts += [table(["figure", "target", runs, "min – max", "peer", "ratio"], rows), ""]
        parts += [table(["part", "took", "others, of a core", "loaders, CPU", "state"], self.parts)]
        if self.notes:
            parts += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(parts)


def sync_ms():
    """Median time of a 4 KiB write that is on the disk when it returns."""
    os.makedirs(lib.DATA, exist_ok=True)
    path, times = f"{lib.DATA}/sync", []
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    for i in range(200):
        os.pwrite(fd, b"x" * 4096, i * 4096)
        begun = time.perf_counter()
        os.fdatasync(fd)
        times.append(time.perf_counter() - begun)
    os.close(fd)
    os.unlink(path)
    return 1000 * statistics.median(times)


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=lib.ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no git"


MACHINE = []


def machine():
    """The facts, taken once, at the start."""
    if not MACHINE:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            model = re.search(r"model name\s*: (.*)", f.read())
        with open("/proc/meminfo", encoding="ascii") as f:
            memory = int(re.search(r"MemTotal:\s*(\d+)", f.read()).group(1)) / 1048576
        MACHINE.append(f"{model.group(1) if model else 'processor unknown'}, {os.cpu_count()} cores, {memory:.0f} GiB, kernel "
                       f"{os.uname().release}, fdatasync {sync_ms():.2f} ms, {commit()}, load {os.getloadavg()[0]:.1f}, "
                       f"{time.strftime('%Y-%m-%d')}")
    return MACHINE[0]
