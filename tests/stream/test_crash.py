# SPDX-License-Identifier: Apache-2.0
"""kill -9 of roles at random under load: nothing acknowledged is lost, nothing is counted twice."""
import random
import threading
import time

from confluent_kafka import Producer


class Load(threading.Thread):
    """Sends numbered records with an idempotent producer until told to stop; counts what was acknowledged."""

    def __init__(self, address, topic, partitions):
        super().__init__(daemon=True)
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 5,
                                  "message.timeout.ms": 120000, "reconnect.backoff.max.ms": 500})
        self.topic, self.partitions = topic, partitions
        self.stop_asked = threading.Event()
        self.sent, self.acknowledged, self.failed = 0, set(), []

    def run(self):
        while not self.stop_asked.is_set():
            for _ in range(50):
                number = self.sent
                self.sent += 1
                value = f'{{"id":{number},"k":"k{number % 7}"}}'
                while len(self.producer) > 20000:
                    self.producer.poll(0.1)
                self.producer.produce(self.topic, value, partition=number % self.partitions,
                                      on_delivery=lambda error, message, n=number: self.delivered(error, n))
            self.producer.poll(0.02)
        self.producer.flush(120)

    def delivered(self, error, number):
        if error is None:
            self.acknowledged.add(number)
        else:
            self.failed.append((number, str(error)))


def test_roles_are_killed_under_load(new_leat, seed, scale):
    leat = new_leat(args=["--set", "role.deaths=1000000", "--set", "role.backoff=5 ms"]).start()
    leat.sql("CREATE TOPIC t (id BIGINT NOT NULL, k TEXT) WITH (partitions = 3)")
    leat.sql("CREATE MATERIALIZED VIEW by_k AS SELECT k, count(*) AS n, sum(id) AS s FROM t GROUP BY k")
    leat.sql("CREATE MATERIALIZED VIEW all_of_it AS SELECT count(*) AS n, sum(id) AS s, max(id) AS top FROM t")
    load = Load(leat.kafka, "t", 3)
    load.start()
    rng = random.Random(seed)
    for _ in range(20 * scale):
        time.sleep(rng.uniform(0.05, 0.6))
        role = rng.choice(["broker", "worker", "query", "api", "broker", "worker"])
        leat.kill_role(role)
        if rng.random() < 0.2:
            leat.kill_role("worker")
    time.sleep(3)
    load.stop_asked.set()
    load.join(150)
    assert not load.failed, load.failed[:3]
    leat.close()
    leat.restart(kill=True)
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    count, total, ids = leat.sql("SELECT count(*), sum(id), count(DISTINCT id) FROM t")[0]
    assert count == ids == load.sent, f"{count} records, {ids} different, {load.sent} sent"
    assert total == load.sent * (load.sent - 1) // 2
    assert leat.sql("SELECT n, s, top FROM all_of_it") == [(load.sent, total, load.sent - 1)]
    assert sorted(leat.sql("SELECT * FROM by_k")) == sorted(leat.sql("SELECT k, count(*), sum(id) FROM t GROUP BY k"))
    assert leat.cli("verify", "--data", leat.data).stdout.endswith("all well\n")


def test_whole_leat_is_killed(leat, seed, scale):
    leat.sql("CREATE TOPIC t (id BIGINT NOT NULL, k TEXT) WITH (partitions = 3)")
    leat.sql("CREATE MATERIALIZED VIEW all_of_it AS SELECT count(*) AS n, sum(id) AS s FROM t")
    rng = random.Random(seed)
    load = Load(leat.kafka, "t", 3)
    load.start()
    for _ in range(3 * scale):
        time.sleep(rng.uniform(0.3, 1.5))
        leat.restart(kill=True)
    time.sleep(0.5)
    load.stop_asked.set()
    load.join(150)
    assert not load.failed, load.failed[:3]
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    want = (load.sent, load.sent * (load.sent - 1) // 2)
    assert leat.sql("SELECT count(*), sum(id) FROM t") == [want]
    assert leat.sql("SELECT * FROM all_of_it") == [want]
