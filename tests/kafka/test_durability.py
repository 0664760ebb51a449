# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged is there, once, in order: over kill -9, clean stops and a full disk."""
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time

import confluent_kafka as ck
import confluent_kafka.admin
import pytest

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
        message = consumer.poll(30)
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
    admin.create_topics([ck.admin.NewTopic("t", PARTITIONS)])["t"].result(10)


def test_kill_broker_under_load(leat, seed, scale):
    dice = random.Random(seed)
    make_topic(leat)
    writer = Writer(leat)
    writer.start()
    for _ in range(5 * scale):
        time.sleep(dice.uniform(0.2, 1.0))
        killed = leat.kill_role("broker")
        assert killed
        deadline = time.monotonic() + 20
        while not set(leat.role_pids("broker")) - set(killed):  # the dead one may still be on the list
            assert time.monotonic() < deadline, "the broker does not come back"
            time.sleep(0.02)
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


@pytest.fixture
def small_disk():
    """A file system of 48 MB of its own; needs root."""
    folder = tempfile.mkdtemp(prefix="leat-full-")
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder],
                                           capture_output=True, check=False).returncode != 0:
        shutil.rmtree(folder)
        pytest.skip("cannot mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def test_full_disk(new_leat, small_disk):
    leat = new_leat(data=small_disk, args=["--set", "log.segment.bytes=1MiB"]).start()
    producer = ck.Producer({"bootstrap.servers": leat.kafka, "message.timeout.ms": 5000})
    results = []
    for _ in range(60_000):
        producer.produce("t", value=os.urandom(500).hex(), on_delivery=lambda e, m: results.append(e))
        producer.poll(0)
    producer.flush(30)
    acked = sum(error is None for error in results)
    assert 0 < acked < 60_000
    # Reading goes on.
    assert len(leat.kcat("-C", "-t", "t", "-e", "-q").stdout.split()) == acked
    # Room again: it goes on without a restart.
    admin = ck.admin.AdminClient({"bootstrap.servers": leat.kafka})
    list(admin.delete_records([ck.TopicPartition("t", 0, acked // 2)]).values())[0].result(10)
    leat.kcat("-P", "-t", "t", "-X", "message.timeout.ms=20000", input="again\n")
    assert leat.kcat("-C", "-t", "t", "-o", "-1", "-e", "-q").stdout == "again\n"
