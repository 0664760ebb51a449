# SPDX-License-Identifier: Apache-2.0
"""The whole of PackScan under load while its roles are killed: views over lookup joins, reference topics, dashboards."""
import json
import random
import re
import signal
import subprocess
import threading
import time
import urllib.request

from conftest import BINARY, PATIENCE_S, ROOT, wait_until

EXAMPLE = f"{ROOT}/examples/packscan"
VIEWS = ("site_inflow", "station_inflow", "route_inflow", "associate_scans")


class Display(threading.Thread):
    """A browser that watches the wall and connects again when its stream ends."""

    def __init__(self, http):
        super().__init__(daemon=True)
        self.url = f"http://{http}/api/dashboards/wall/stream"
        self.events, self.stopped = 0, False

    def run(self):
        while not self.stopped:
            try:
                with urllib.request.urlopen(self.url, timeout=PATIENCE_S) as stream:
                    for line in stream:
                        self.events += line.startswith(b"data:")
                        if self.stopped:
                            return
            except OSError:
                time.sleep(0.1)


def test_packscan_roles_are_killed_under_load(new_leat, seed, scale):
    leat = new_leat(args=["--set", "role.deaths=1000000", "--set", "role.backoff=5 ms",
                          "--set", "worker.manifest.interval=500ms"]).start()
    for part in ("topics", "views", "dashboards"):
        leat.cli("sql", "-f", f"{EXAMPLE}/{part}.sql")
    load = subprocess.Popen([BINARY, "generate", "-f", f"{EXAMPLE}/generate.json", "--rate", "2000", "--seed", str(seed % 1000),
                             "--kafka", leat.kafka], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    display = Display(leat.http)
    display.start()
    rng = random.Random(seed)
    try:
        for _ in range(20 * scale):
            time.sleep(rng.uniform(0.05, 0.5))
            leat.kill_role(rng.choice(["broker", "worker", "query", "api", "broker", "worker"]))
        wait_until(lambda: display.events > 0)
    finally:
        load.send_signal(signal.SIGINT)
        out, err = load.communicate(timeout=PATIENCE_S)
    assert load.returncode == 0, err
    acknowledged = int(re.findall(r"scans: (\d+) records", out + err)[-1])
    leat.close()
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    total = leat.sql("SELECT count(*) FROM scans")[0][0]
    refused = leat.sql('SELECT count(*) FROM "scans$quarantine"')[0][0]
    assert total + refused == acknowledged > 500 * scale, (total, refused, acknowledged)
    for view in VIEWS:
        assert leat.sql(f"SELECT sum(scans) FROM {view}") == [(total,)], view
        same = leat.cli("verify", "--data", leat.data, "--view", view, "--kafka", leat.kafka, check=False)
        assert same.returncode == 0, f"{view}: {same.stdout}{same.stderr}"
    assert leat.cli("verify", "--data", leat.data).stdout.endswith("all well\n")
    display.stopped = True
    print(json.dumps({"scans": total, "refused": refused, "events of the display": display.events}))
