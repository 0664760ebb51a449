# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged is there, once, in order: over kill -9, clean stops and a full disk."""
import os
import random
import threading
import time

import confluent_kafka as ck
import confluent_kafka.admin

from conftest import PATIENCE_S, wait_until

PARTITIONS = 4


class Writer(threading.Thread):
    """An idempotent producer that numbers its records per partition and notes what was acknowledged."""

    def __init__(self, server):
        super().__init__(daemon=True)  # a failed test must not keep the whole run from ending
        self.producer = ck.Producer({"bootstrap.servers": server.kafka, "enable.idempotence": True, "linger.ms": 2,
                                     "message.timeout.ms": 120_000, "reconnect.backoff.max.ms": 200})
        self.acked, self.failed, self.sent, self.stopped = {}, [], 0, False

    def done(self, error, message):
        if error:
            self.failed.append(str(error))
        else:
            self.acked[int(message.value())] = (message.partition(), message.offset())

    def run(self):
        while not self.stopped:
            try:
                self.producer.produce("t", value=str(self.sent), partition=self.sent % PARTITIONS, on_delivery=self.done)
                self.sent += 1
            except BufferError:
                pass
            self.producer.poll(0 if self.sent % 50 else 0.002)
        self.producer.flush(120)


def read_partition(server, partition):
    """(offset, value) of all records."""
    consumer = ck.Consumer({"bootstrap.servers": server.kafka, "group.id": "unused", "enable.auto.commit": False,
                            "enable.partition.eof": True})
    consumer.assign([ck.TopicPartition("t", partition, ck.OFFSET_BEGINNING)])
    records = []
    while True:
        message = consumer.poll(PATIENCE_S)
        assert message is not None
        if message.error():
            assert message.error().code() == ck.KafkaError._PARTITION_EOF, message.error()
            consumer.close()
            return records
        records.append((message.offset(), int(message.value())))


def check_all(server, writer):
    assert not writer.failed, writer.failed[:3]
    assert len(writer.acked) == writer.sent
    for partition in range(PARTITIONS):
        records = read_partition(server, partition)
        values = [value for _, value in records]
        assert values == list(range(partition, writer.sent, PARTITIONS)), "lost, twice or out of order"
        for offset, value in records:
            assert writer.acked[value] == (partition, offset)


def make_topic(server):
    admin = ck.admin.AdminClient({"bootstrap.servers": server.kafka})
    admin.create_topics([ck.admin.NewTopic("t", PARTITIONS)])["t"].result(PATIENCE_S)


def test_kill_broker_under_load(new_leat, seed, scale):
    leat = new_leat(args=["--set", "role.deaths=1000000", "--set", "role.backoff=5 ms"]).start()
    dice = random.Random(seed)
    make_topic(leat)
    writer = Writer(leat)
    writer.start()
    for _ in range(5 * scale):
        time.sleep(dice.uniform(0.2, 1.0))
        killed = leat.kill_role("broker")
        assert killed
        wait_until(lambda: set(leat.role_pids("broker")) - set(killed),  # pylint: disable=cell-var-from-loop
                   "the broker does not come back")  # the dead one may still be on the list
    time.sleep(0.5)
    writer.stopped = True
    writer.join()
    check_all(leat, writer)


def test_stop_under_load(leat):
    make_topic(leat)
    writer = Writer(leat)
    writer.start()
    for _ in range(2):
        time.sleep(0.5)
        leat.restart()
    writer.stopped = True
    writer.join()
    check_all(leat, writer)


def test_full_disk(new_leat, small_disk):
    leat = new_leat(data=f"{small_disk.path}/data", args=["--set", "log.segment.bytes=1MiB"]).start()
    producer = ck.Producer({"bootstrap.servers": leat.kafka, "enable.idempotence": True, "message.timeout.ms": 10_000})
    acked, failed = [], []

    def done(error, message):
        (acked if error is None else failed).append(message.value())

    for number in range(80_000):
        producer.produce("t", value=f"{number}-{os.urandom(500).hex()}", on_delivery=done)
        producer.poll(0)
    producer.flush(PATIENCE_S)
    assert acked and failed
    # Reading goes on. What was given up on its way may be there, or not.
    there = [value.encode() for value in leat.kcat("-C", "-t", "t", "-e", "-q").stdout.split()]
    assert len(there) == len(set(there)) and not set(acked) - set(there) and not set(there) - set(acked) - set(failed)
    # Room again: it goes on without a restart.
    admin = ck.admin.AdminClient({"bootstrap.servers": leat.kafka})
    list(admin.delete_records([ck.TopicPartition("t", 0, len(there) // 2)]).values())[0].result(PATIENCE_S)
    leat.kcat("-P", "-t", "t", "-X", "message.timeout.ms=60000", input="again\n")
    assert leat.kcat("-C", "-t", "t", "-o", "-1", "-e", "-q").stdout == "again\n"
