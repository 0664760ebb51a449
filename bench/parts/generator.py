# SPDX-License-Identifier: Apache-2.0
"""The load tool, `leat generate`: events a core that it makes, into a file and to a topic, and lines of a file that it sends.

PackScan's scans of 213 bytes; the broker's part is not counted.
"""
import os

import lib

EVENTS = int(os.environ.get("LEAT_BENCH_GENERATOR_EVENTS", "2000000"))


def measure(report):
    path = f"{lib.data_dir()}/scans.jsonl"
    rates = {"into a file": [], "to a topic": [], "lines of a file to a topic": []}
    spec = ["-f", f"{lib.PACKSCAN}/generate.json", "-t", "scans", "-n", str(EVENTS), "-q"]
    with lib.Leat() as leat:
        leat.sql("CREATE TOPIC scans (value TEXT) WITH (format = 'raw', partitions = 4)")
        for _ in range(report.runs):
            made = lib.scans_make(path, EVENTS, 300000)
            rates["into a file"].append(EVENTS / made / 1e6)
            _, _, sent = lib.run([lib.BINARY, "generate", *spec, "--rate", "max", "--kafka", leat.kafka])
            rates["to a topic"].append(EVENTS / sent / 1e6)
            records, _, lines = lib.send(leat.kafka, "scans", path)
            rates["lines of a file to a topic"].append(records / lines / 1e6)
            report.generator(made + sent + lines)
            report.line(f"CPU-s for {EVENTS / 1e6:.0f} M: into a file {made:.2f}, to a topic {sent:.2f}, lines {lines:.2f}")
    for name, values in rates.items():
        report.figure(f"leat generate, {name}: events a CPU-second", "M", values)
