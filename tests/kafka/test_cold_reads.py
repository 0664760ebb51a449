# SPDX-License-Identifier: Apache-2.0
"""Records that are no longer in memory: segments and indexes are pushed out of the page cache, real clients read them."""
import glob
import os
import re
import threading
import time

import confluent_kafka as ck
import confluent_kafka.admin
import pytest

RECORDS, PAD = 20000, "x" * 1000


def metric(server, name):
    text = server.get("/metrics")[2].decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.M))


def evict(server):
    """Pushes the log out of the page cache; False when the file system keeps all of it there (it is the memory)."""
    cold = False
    for path in glob.glob(f"{server.data}/log/*/*/*.log") + glob.glob(f"{server.data}/log/*/*/*.index"):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        if os.path.getsize(path) > 100_000:
            try:
                os.preadv(fd, [bytearray(1)], 50_000, os.RWF_NOWAIT)
            except BlockingIOError:
                cold = True
            except OSError:
                pass
        os.close(fd)
    return cold


def consumer_of(server, **more):
    return ck.Consumer({"bootstrap.servers": server.kafka, "group.id": "unused", "enable.auto.commit": False,
                        "enable.partition.eof": True, "auto.offset.reset": "error", **more})


def read_all(server, partitions):
    """How many records; each must be the next of its partition."""
    consumer = consumer_of(server)
    consumer.assign([ck.TopicPartition("t", p, 0) for p in range(partitions)])
    nexts, ended = [0] * partitions, set()
    while len(ended) < partitions:
        message = consumer.poll(30)
        assert message is not None
        if message.error():
            assert message.error().code() == ck.KafkaError._PARTITION_EOF, message.error()
            ended.add(message.partition())
            continue
        assert message.offset() == nexts[message.partition()]
        assert message.value().startswith(b"%d " % message.offset())
        nexts[message.partition()] += 1
    consumer.close()
    return sum(nexts)


@pytest.fixture
def filled(new_leat):
    """Two partitions of 10 segments each."""
    server = new_leat(args=["--set", "broker.metrics.interval=200 ms", "--set", "broker.loops=1"])
    server.start()
    admin = ck.admin.AdminClient({"bootstrap.servers": server.kafka})
    admin.create_topics([ck.admin.NewTopic("t", 2, config={"segment.bytes": "1048576", "retention.ms": "-1"})])["t"].result(30)
    producer = ck.Producer({"bootstrap.servers": server.kafka, "linger.ms": 5, "queue.buffering.max.messages": 1000000})
    for n in range(RECORDS):
        producer.produce("t", f"{n // 2} {PAD}", partition=n % 2, timestamp=1_790_000_000_000 + n)
        producer.poll(0)
    assert producer.flush(60) == 0
    return server


def test_all_of_it_comes(filled):
    for restart in (False, True):
        if restart:
            filled.restart()
        cold = evict(filled)
        before = metric(filled, "leat_broker_disk_reads_total")
        assert read_all(filled, 2) == RECORDS
        if cold:
            time.sleep(0.5)
            assert metric(filled, "leat_broker_disk_reads_total") > before
        evict(filled)
        consumer = consumer_of(filled)
        for n in (0, 7777, RECORDS - 2):
            found = consumer.offsets_for_times([ck.TopicPartition("t", 0, 1_790_000_000_000 + n)], timeout=30)[0]
            assert found.offset == (n + 1) // 2
        consumer.close()


def test_others_are_served_meanwhile(filled):
    """Producers and readers of new records beside three who read all from the disk; deleting under their hands."""
    evict(filled)
    counts = []
    readers = [threading.Thread(target=lambda: counts.append(read_all(filled, 2))) for _ in range(3)]
    for reader in readers:
        reader.start()
    admin = ck.admin.AdminClient({"bootstrap.servers": filled.kafka})
    admin.create_topics([ck.admin.NewTopic("new", 1)])["new"].result(30)
    producer = ck.Producer({"bootstrap.servers": filled.kafka, "linger.ms": 0})
    tail = consumer_of(filled)
    tail.assign([ck.TopicPartition("new", 0, 0)])
    for n in range(50):
        evict(filled)
        producer.produce("new", str(n))
        assert producer.flush(30) == 0
        while (message := tail.poll(30)).error():
            pass
        assert message.value() == str(n).encode()
    for reader in readers:
        reader.join(120)
    assert counts == [RECORDS] * 3
    reader = consumer_of(filled)
    reader.assign([ck.TopicPartition("t", 0, 0)])
    assert reader.poll(30).offset() == 0
    evict(filled)
    list(admin.delete_topics(["t"]).values())[0].result(30)
    tail.close()
    reader.close()
