# SPDX-License-Identifier: Apache-2.0
"""The worker alone against a broker: killed at random while events come and views are made, then every view must equal
its query over all records (src/stream/bench/worker_check.c). The seed is printed; a failing one can be given again:
LEAT_TEST_SEED."""
import os
import subprocess

import pytest
from conftest import ROOT, SCALE, SEED

BUILD = f"{ROOT}/{os.environ.get('LEAT_BUILD', 'build')}/src"


@pytest.fixture
def broker(tmp_path):
    process = subprocess.Popen([f"{BUILD}/broker/broker_alone", str(tmp_path / "broker"), "127.0.0.1:0"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield "127.0.0.1:" + process.stdout.readline().split()[1]
    process.terminate()
    process.wait(30)


@pytest.mark.parametrize("round_", range(3 * SCALE))
def test_kill_at_random(broker, tmp_path, round_):
    run = subprocess.run([f"{BUILD}/stream/worker_check", broker, str(tmp_path / "data"), "crash", "25", str(SEED + round_)],
                         capture_output=True, text=True, timeout=180, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "10 of 10 views run" in run.stdout, run.stdout
