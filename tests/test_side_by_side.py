# SPDX-License-Identifier: Apache-2.0
"""Two Leats on one machine, each with its doors and its data, under load: neither knows of the other."""
import threading

import confluent_kafka as ck


def fill(leat, name, count, failures):
    """A topic and a view of the same names on both; other values."""
    try:
        leat.sql("CREATE TOPIC t (id BIGINT, who TEXT)")
        leat.sql("CREATE MATERIALIZED VIEW v AS SELECT who, count(*) AS n, sum(id) AS s FROM t GROUP BY who")
        producer = ck.Producer({"bootstrap.servers": leat.kafka, "enable.idempotence": True, "linger.ms": 5})
        for number in range(count):
            producer.produce("t", f'{{"id":{number},"who":"{name}"}}')
            producer.poll(0)
        assert producer.flush(60) == 0
        leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
        want = [(name, count, count * (count - 1) // 2)]
        assert leat.sql("SELECT * FROM v") == want
        assert leat.sql("SELECT who, count(*), sum(id) FROM t GROUP BY who") == want
    except Exception as failure:  # pylint: disable=broad-except
        failures.append(f"{name}: {failure}")


def test_two_servers_side_by_side(new_leat):
    servers = {name: new_leat().start() for name in ("left", "right")}
    failures = []
    threads = [threading.Thread(target=fill, args=(leat, name, 30_000, failures)) for name, leat in servers.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    # One dies with all its roles; the other does not notice.
    servers["left"].kill()
    right = servers["right"]
    assert right.get("/readyz")[0] == 200
    right.sql("INSERT INTO t VALUES (0, 'right')")
    assert right.sql("SELECT n FROM v") == [(30_001,)]
    servers["left"].start()
    servers["left"].sql("SET leat.freshness = 'now'")
    assert servers["left"].sql("SELECT who, n FROM v") == [("left", 30_000)]
    assert right.cli("verify", "--data", right.data).stdout.endswith("all well\n")
