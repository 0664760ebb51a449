# SPDX-License-Identifier: Apache-2.0
"""`make bench` works: a part measures, counts its results and cleans up; one that fails says why and the rest goes on. How fast
anything is, no test says."""
import os
import re
import signal
import subprocess

from conftest import BINARY, PATIENCE_S, ROOT

SMALL = {"LEAT_BENCH_SECONDS": "1", "LEAT_BENCH_GENERATOR_EVENTS": "5000", "LEAT_BENCH_LOG_GB": "0"}


def bench(tmp_path, *args, binary=BINARY):
    return subprocess.Popen([f"{ROOT}/tools/bench", "--runs", "1", *args], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env={**os.environ, **SMALL, "LEAT_BINARY": binary, "LEAT_BENCH_DATA": str(tmp_path / "data")})


def test_a_part_ends_in_the_table_and_leaves_nothing(tmp_path):
    run = bench(tmp_path, "--markdown", str(tmp_path / "out.md"), "flatout")
    out, _ = run.communicate(timeout=280)
    assert run.returncode == 0, out
    assert "WRONG" not in out
    text = (tmp_path / "out.md").read_text()
    assert re.search(r"^\| PackScan flat out.*events/s \| one run", text, re.M), text
    assert "others, of a core" in text and text.startswith("# Results")
    assert not (tmp_path / "data").exists()


def test_a_part_that_fails_says_why(tmp_path):
    run = bench(tmp_path, "flatout", binary="/bin/false")
    out, _ = run.communicate(timeout=280)
    assert run.returncode == 1
    assert "flatout: failed: /bin/false generate" in out
    assert not (tmp_path / "data").exists()


def test_stopped_by_hand(tmp_path):
    run = bench(tmp_path, "start")
    while not (line := run.stdout.readline()).startswith("== start"):  # measures from here on
        assert line, "it ended"
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert "stopped by hand" in out
    assert not (tmp_path / "data").exists()


def test_unknown_part(tmp_path):
    run = bench(tmp_path, "nothing-like-that")
    out, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 2 and "flatout, latency" in out
