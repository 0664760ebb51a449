# SPDX-License-Identifier: Apache-2.0
"""The HTTP door: health, metrics, SQL, the flow, live dashboards, hostile clients."""
import http.client
import json
import socket
import threading
import time

import pytest

from conftest import PATIENCE_S

DASHBOARD = """
CREATE TOPIC scans (package_id TEXT, site TEXT);
CREATE MATERIALIZED VIEW per_site AS SELECT site, count(*) AS scans FROM scans GROUP BY site;
CREATE DASHBOARD wall TITLE 'The wall' VARIABLE site AS (SELECT site FROM per_site ORDER BY site) DEFAULT 'HAM2'
  PANEL sites TITLE 'Per site' BAR X site Y scans AS (SELECT site, scans FROM per_site ORDER BY site)
  PANEL one NUMBER AS (SELECT scans FROM per_site WHERE site = $site)
"""


def request(leat, method, path, body=None, headers=None):
    """(status, headers, body) of one request, its own connection."""
    connection = http.client.HTTPConnection(leat.http, timeout=PATIENCE_S)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    result = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return result


def sql(leat, text, **more):
    status, _, body = request(leat, "POST", "/api/sql", json.dumps({"sql": text, **more}),
                              {"Content-Type": "application/json"})
    return status, json.loads(body)


def scans(*sites):
    return [json.dumps({"package_id": f"p{i}", "site": site}) for i, site in enumerate(sites)]


class Stream:
    """An event stream that is read by a thread of its own."""

    def __init__(self, leat, path, last_id=None):
        self.events, self.ids = [], []
        self.connection = http.client.HTTPConnection(leat.http, timeout=PATIENCE_S)
        self.connection.request("GET", path, headers={"Last-Event-ID": last_id} if last_id else {})
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        name = ident = None
        try:
            for line in self.answer:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "id":
                    ident = value
                elif field == "data":
                    self.ids.append(ident)
                    self.events.append((name, json.loads(value)))
        except (OSError, ValueError, AttributeError):
            pass  # closed by the test

    def wait(self, wanted, timeout_s=PATIENCE_S):
        """The first event for which @wanted(name, data) holds."""
        deadline = time.monotonic() + timeout_s
        at = 0
        while time.monotonic() < deadline:
            while at < len(self.events):
                if wanted(*self.events[at]):
                    return self.events[at][1]
                at += 1
            time.sleep(0.01)
        raise AssertionError(f"it did not come; there were {self.events[-5:]}")

    def close(self):
        self.connection.sock and self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def test_health_ready_metrics(shared_leat):
    assert request(shared_leat, "GET", "/healthz")[0] == 200
    status, _, body = request(shared_leat, "GET", "/readyz")
    assert (status, json.loads(body)["ready"]) == (200, True)
    status, headers, body = request(shared_leat, "GET", "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for role in ("api", "broker", "query"):
        assert f'leat_up{{role="{role}"}} 1' in body.decode()
        assert f'leat_process_resident_bytes{{role="{role}"}}' in body.decode()
    names = [line.split()[2] for line in body.decode().splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)), "a metric stands in two places"


def test_sql(shared_leat):
    status, answer = sql(shared_leat, "SELECT 1 AS a, 'x\"y' AS b, NULL AS c, true AS d")
    assert status == 200
    assert [column["name"] for column in answer["columns"]] == ["a", "b", "c", "d"]
    assert answer["rows"] == [[1, 'x"y', None, True]]
    status, answer = sql(shared_leat, "SELECT nothing FROM nowhere")
    assert status == 400 and answer["error"]["sqlstate"] == "42P01" and answer["error"]["position"] > 0
    status, answer = sql(shared_leat, "SELECT * FROM range(7000)")
    assert (status, len(answer["rows"]), answer["truncated"]) == (200, 5000, True)
    status, answer = sql(shared_leat, "SELECT * FROM range(7000)", max_rows=7000)
    assert (status, len(answer["rows"]), answer["truncated"]) == (200, 7000, False)
    status, answer = sql(shared_leat, "SELECT 1; SELECT 2 AS b")
    assert answer["rows"] == [[2]] and len(answer["statements"]) == 2


@pytest.mark.parametrize("headers, status", [
    ({"Host": "evil.example"}, 421),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
])
def test_other_sites_are_kept_out(shared_leat, headers, status):
    body = json.dumps({"sql": "CREATE TOPIC stolen (a INT)"})
    assert request(shared_leat, "POST", "/api/sql", body, {"Content-Type": "application/json", **headers})[0] == status
    assert sql(shared_leat, "DESCRIBE stolen")[0] == 400


def test_flow(leat):
    assert json.loads(request(leat, "GET", "/api/flow")[2])["nodes"] == []
    stream = Stream(leat, "/api/flow/stream")
    assert sql(leat, DASHBOARD)[0] == 200
    flow = stream.wait(lambda name, data: name == "flow" and len(data["nodes"]) == 3)
    assert {"from": "topic/scans", "to": "view/per_site"} in flow["edges"]
    assert {"from": "view/per_site", "to": "dashboard/wall"} in flow["edges"]
    stream.close()


def test_dashboard(leat):
    assert sql(leat, DASHBOARD)[0] == 200
    leat.produce("scans", scans("HAM2", "LEJ1", "HAM2"))
    leat.sql("SET leat.freshness = 'now'; SELECT * FROM per_site")
    definition = json.loads(request(leat, "GET", "/api/dashboards/wall")[2])
    assert definition["variables"][0]["choices"] == ["HAM2", "LEJ1"]
    assert [panel["type"] for panel in definition["panels"]] == ["bar", "number"]

    ham, lej = (Stream(leat, f"/api/dashboards/wall/stream?site={site}") for site in ("HAM2", "LEJ1"))
    for stream, count in ((ham, 2), (lej, 1)):
        stream.wait(lambda name, data, count=count: name == "snapshot" and data["panel"] == 1 and
                    data["data"]["rows"] == [[count]])
    leat.produce("scans", scans("HAM2"))
    changed = ham.wait(lambda name, data: name in ("patch", "snapshot") and data["panel"] == 1 and
                       "3" in json.dumps(data["data"]))
    assert changed["newest_event_time"] is not None and changed["data_age_ms"] is not None

    # Whoever comes back gets what he has missed, and nothing that he has seen.
    seen = ham.ids[-1]
    ham.close()
    leat.produce("scans", scans("HAM2"))
    again = Stream(leat, "/api/dashboards/wall/stream?site=HAM2", seen)
    again.wait(lambda name, data: name in ("patch", "snapshot") and data["panel"] == 1 and "4" in json.dumps(data["data"]))
    assert all(int(ident.split(".")[1]) > int(seen.split(".")[1]) for ident in again.ids)
    again.close()
    lej.close()
    assert request(leat, "GET", "/api/dashboards/none/stream")[0] == 404


def test_dashboard_survives_the_query_role(leat):
    leat.expects_death = True
    assert sql(leat, DASHBOARD)[0] == 200
    stream = Stream(leat, "/api/dashboards/wall/stream")
    stream.wait(lambda name, data: name == "snapshot")
    leat.kill_role("query")
    stream.wait(lambda name, data: name == "status" and data["connected"] is False)
    lost = len(stream.events)
    stream.wait(lambda name, data: name == "snapshot" and len(stream.events) > lost)
    assert request(leat, "GET", "/healthz")[0] == 200
    stream.close()


def healthy_s(leat):
    """How long nine good clients in ten wait at most."""
    times = []
    for _ in range(50):
        start = time.monotonic()
        assert request(leat, "GET", "/healthz")[0] == 200
        times.append(time.monotonic() - start)
    return sorted(times)[45]


def test_hostile_clients_leave_good_ones_alone(leat):
    quiet_s = healthy_s(leat)
    address = leat.http.rsplit(":", 1)
    sockets = []
    for i in range(2000):
        client = socket.create_connection((address[0], int(address[1])))
        sockets.append(client)
        if i % 4 == 0:
            client.send(b"GET / HTTP/1.1\r\nHo")  # and never more
    for garbage in (b"\x16\x03\x01\x00\xc8", b"\x00" * 1000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000,
                    b"GET /" + b"a" * 20000, b"POST /api/sql HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"):
        with socket.create_connection((address[0], int(address[1]))) as client:
            client.send(garbage)
    assert healthy_s(leat) < max(0.5, 10 * quiet_s)
    for client in sockets:
        client.close()
