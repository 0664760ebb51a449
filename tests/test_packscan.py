# SPDX-License-Identifier: Apache-2.0
"""The example as a user runs it: PackScan starts, its numbers agree, it stops at Ctrl-C and goes on with its data."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from conftest import BINARY, PATIENCE_S, ROOT, free_port


class PackScan:
    def __init__(self, data):
        self.ports = {door: free_port() for door in ("KAFKA", "PG", "HTTP")}
        self.env = {**os.environ, **{door: f"127.0.0.1:{port}" for door, port in self.ports.items()}, "DATA": data, "RATE": "500"}
        self.process = None

    def start(self):
        self.process = subprocess.Popen([f"{ROOT}/examples/packscan/run"], env=self.env, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "Ctrl-C stops" in line:
                return "".join(lines)
        raise AssertionError("".join(lines))

    def stop(self):
        os.killpg(self.process.pid, signal.SIGINT)
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return out

    def sql(self, text):
        import psycopg
        with psycopg.connect(host="127.0.0.1", port=self.ports["PG"], user="leat", dbname="leat", autocommit=True) as connection:
            return connection.execute(text).fetchall()


@pytest.mark.skipif(not os.path.samefile(BINARY, f"{ROOT}/build/leat"),
                    reason=f"the example runs build/leat, this is a test of {BINARY}")
def test_packscan_runs_stops_and_goes_on():
    data = tempfile.mkdtemp(prefix="leat-packscan-")
    demo = PackScan(data)
    try:
        assert re.search(r"live page +http://127.0.0.1:\d+/d/wall", demo.start())
        deadline = time.monotonic() + PATIENCE_S
        while demo.sql("SELECT coalesce(sum(scans), 0) FROM site_inflow")[0][0] < 1000:
            assert time.monotonic() < deadline, "no scans arrive"
            time.sleep(0.2)
        # Every station is known but one, so enrichment finds a site for nearly all scans.
        known, unknown = demo.sql("SELECT sum(scans) FILTER (WHERE site <> 'unknown'), coalesce(sum(scans) FILTER (WHERE site = 'unknown'), 0)"
                                  " FROM site_inflow")[0]
        assert known > 50 * unknown
        assert {row[0] for row in demo.sql("SHOW DASHBOARDS")} == {"wall", "routes", "associates"}
        assert "goes on with them" in demo.stop()
        before = None
        assert "live page" in demo.start()
        before = demo.sql("SELECT count(*) FROM scans")[0][0]
        assert before > 1000
        deadline = time.monotonic() + PATIENCE_S
        while demo.sql("SELECT count(*) FROM scans")[0][0] <= before:
            assert time.monotonic() < deadline, "nothing flows after the restart"
            time.sleep(0.2)
        assert "goes on with them" in demo.stop()
        demo.start()
        # All four views saw the same scans, none twice. (Retention keeps hours, the test runs for seconds.)
        import psycopg
        with psycopg.connect(host="127.0.0.1", port=demo.ports["PG"], user="leat", dbname="leat", autocommit=True) as connection:
            connection.execute("SET leat.freshness = 'now'")
            sums = connection.execute(
                "SELECT (SELECT sum(scans) FROM site_inflow), (SELECT sum(scans) FROM station_inflow),"
                " (SELECT sum(scans) FROM route_inflow), (SELECT sum(scans) FROM associate_scans)").fetchone()
        assert len(set(sums)) == 1, sums
    finally:
        if demo.process is not None and demo.process.poll() is None:
            demo.stop()
        shutil.rmtree(data, ignore_errors=True)
        if os.path.exists(f"{data}.log"):
            os.unlink(f"{data}.log")
