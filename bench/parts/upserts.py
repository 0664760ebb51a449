# SPDX-License-Identifier: Apache-2.0
"""Arrangements: what an upsert of a random key costs, merges included (src/state/bench).

Each tick looks 20,000 random keys up, adds to their values and applies them; merges and manifests run in between, all in one
thread. Processor time of the whole process, system calls included; the loading of the keys is not counted. Small and large
state take turns, round by round, so that what else the machine does falls on both; the rounds are long enough for the large
one to merge its largest runs.
"""
import os
import re

import lib

SCALE = float(os.environ.get("LEAT_BENCH_SCALE", "1"))  # of the numbers of keys and upserts


def rounds(report, program, shape, upserts, count, *keys):
    """For each number of keys, nanoseconds of processor time an upsert, round by round."""
    command = [program, shape, str(upserts * SCALE), str(count), *(str(k * SCALE) for k in keys), lib.DATA]
    out, _, _ = lib.run(command, timeout_s=3600)
    for line in out.splitlines():
        report.line(line)
    times = [float(ns) for ns in re.findall(r"round \d+, [\d.]+ M keys: ([\d.]+) ns", out)]
    return [times[i::len(keys)] for i in range(len(keys))]


def measure(report):
    program = lib.build("src/state/bench_state")
    os.makedirs(lib.DATA, exist_ok=True)
    few, many = rounds(report, program, "two", 45, report.runs, 4, 50)
    (wide,) = rounds(report, program, "wide", 6, report.runs, 4)
    report.figure("upserts a core, 2 columns, 4 M keys", "M/s", [1000 / ns for ns in few], target="≥ 1.5")
    report.figure("the same, 50 M keys", "M/s", [1000 / ns for ns in many])
    report.figure("CPU of an upsert, 50 M keys against 4 M", "times", [b / a for a, b in zip(few, many)], target="≤ 1.5")
    report.figure("upserts a core, 7 columns of 200 bytes, 4 M keys", "M/s", [1000 / ns for ns in wide])
