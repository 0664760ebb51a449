# SPDX-License-Identifier: Apache-2.0
"""`leat generate`: files, Kafka, pacing, and what a wrong command line is told."""
import json
import subprocess
import time

from conftest import BINARY, ROOT

PACKSCAN = f"{ROOT}/examples/packscan/generate.json"


def generate(*args, code=0):
    done = subprocess.run([BINARY, "generate", *args], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done


def test_file_is_deterministic(tmp_path):
    args = ("-f", PACKSCAN, "-t", "scans", "-n", "5000", "--start", "2026-11-24T08:00:00Z", "-q")
    first = generate(*args, "-o", "-").stdout
    assert generate(*args, "-o", "-").stdout == first
    assert generate(*args, "-s", "2", "-o", "-").stdout != first
    generate(*args, "-o", str(tmp_path / "scans.jsonl"))
    assert (tmp_path / "scans.jsonl").read_text() == first
    rows = []
    for line in first.splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            pass  # one in a thousand is broken on purpose
    assert 4950 < len(rows) <= 5000
    assert rows[0]["package_id"] == "PKG-0000000001"


def test_envelope_names_topic_and_key():
    lines = generate("-f", PACKSCAN, "-n", "10", "--rate", "100", "-q", "-o", "-").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["topic"] for e in events[-10:]] == ["scans"] * 10
    associates = [e for e in events if e["topic"] == "associates"]
    assert len(associates) == 600
    assert json.loads(associates[0]["key"]) == {"associate_id": associates[0]["value"]["associate_id"]}


def test_kafka(shared_leat):
    leat = shared_leat
    done = generate("-f", PACKSCAN, "--kafka", leat.kafka, "--rate", "2000", "-n", "4000")
    assert "scans: 4000 records" in done.stderr
    lines = leat.kcat("-C", "-t", "scans", "-o", "beginning", "-e", "-q").stdout.splitlines()
    assert len(lines) == 4000
    keys = leat.kcat("-C", "-t", "stations", "-o", "beginning", "-e", "-q", "-f", "%k\\n").stdout.split()
    assert keys == [f"ST-{i:03}" for i in range(1, 81)]


def test_wrong_command_lines(tmp_path):
    assert "usage: leat generate" in generate("--help").stdout
    assert "-f SPEC.json is missing" in generate(code=2).stderr
    assert "--rate takes" in generate("-f", PACKSCAN, "--rate", "fast", code=2).stderr
    assert "needs an end" in generate("-f", PACKSCAN, "-o", "-", code=2).stderr
    assert "No such file" in generate("-f", "/nowhere.json", "-n", "1", "-o", "-", code=1).stderr
    spec = tmp_path / "spec.json"
    spec.write_text('{"topics": [{"topic": "t", "fields": {"a": {"unifrom": [1, 2]}}}]}')
    assert "t.fields.a: no generator" in generate("-f", str(spec), "-n", "1", "-o", "-", code=1).stderr


def test_lines_of_a_file(shared_leat, tmp_path):
    leat = shared_leat
    lines = [f"line {n}" for n in range(2500)]
    (tmp_path / "lines.txt").write_text("\n".join(lines))  # the last one without an end
    args = ("--kafka", leat.kafka, "--lines", str(tmp_path / "lines.txt"), "--partitions", "2", "--batch", "100")
    begun = time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun + 2))
    done = generate(*args, "-t", "lines", "--rate", "5000", "--at", at)
    assert "lines: 2500 records" in done.stderr
    assert time.time() - int(begun + 2) >= 0.45, "the last is due half a second after the moment"
    got = leat.kcat("-C", "-t", "lines", "-o", "beginning", "-e", "-q").stdout.splitlines()
    assert sorted(got) == sorted(lines)
    batches = leat.kcat("-C", "-t", "lines", "-o", "beginning", "-e", "-q", "-f", "%p %s\\n").stdout.splitlines()
    assert {line.split()[0] for line in batches} == {"0", "1"}
    assert "few: 7 records" in generate(*args, "-t", "few", "--rate", "max", "-n", "7").stderr
    assert "takes one --topic" in generate(*args, code=2).stderr
    assert "--batch takes" in generate(*args, "-t", "lines", "--batch", "0", code=2).stderr
    assert "No such file" in generate("--lines", "/nowhere", "-t", "lines", "--kafka", leat.kafka, code=1).stderr
