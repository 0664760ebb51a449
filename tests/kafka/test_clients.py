# SPDX-License-Identifier: Apache-2.0
"""The clients that people use, with their defaults, in every compression: what they produce they read again."""
import time

import confluent_kafka as ck
import confluent_kafka.admin
import kafka as kp
import pytest

from conftest import PATIENCE_S

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


@pytest.mark.parametrize("codec", CODECS)
def test_kcat(shared_leat, codec):
    lines = [f'{{"n": {n}}}' for n in range(1000)]
    shared_leat.kcat("-P", "-t", f"kcat-{codec}", "-z", codec, input="\n".join(lines) + "\n")
    out = shared_leat.kcat("-C", "-t", f"kcat-{codec}", "-e", "-q").stdout
    assert out.splitlines() == lines


def reader(server, **options):
    """A consumer by assignment. It must be given a group, of which nothing is asked as long as it commits nothing."""
    return ck.Consumer({"bootstrap.servers": server.kafka, "group.id": "unused", "enable.auto.commit": False, **options})


def read_all(server, topic, partitions, count, **options):
    """Records of partitions 0.. from their start."""
    consumer = reader(server, **options)
    consumer.assign([ck.TopicPartition(topic, p, ck.OFFSET_BEGINNING) for p in range(partitions)])
    messages, deadline = [], time.monotonic() + PATIENCE_S
    while len(messages) < count and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.5):
            assert message.error() is None, message.error()
            messages.append(message)
    consumer.close()
    return messages


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("idempotent", [False, True])
def test_librdkafka(shared_leat, codec, idempotent):
    topic = f"rdkafka-{codec}-{idempotent}"
    admin = ck.admin.AdminClient({"bootstrap.servers": shared_leat.kafka})
    admin.create_topics([ck.admin.NewTopic(topic, 3)])[topic].result(PATIENCE_S)
    failed, offsets = [], {}
    producer = ck.Producer({"bootstrap.servers": shared_leat.kafka, "compression.type": codec,
                            "enable.idempotence": idempotent})

    def done(error, message):
        if error:
            failed.append(error)
        else:
            offsets[message.key()] = (message.partition(), message.offset())

    for n in range(3000):
        producer.produce(topic, key=f"k{n}", value=f"value {n} " * 10, partition=n % 3, headers={"n": str(n)}, on_delivery=done)
    assert producer.flush(PATIENCE_S) == 0 and not failed
    messages = read_all(shared_leat, topic, 3, 3000)
    assert len(messages) == 3000
    for message in messages:
        n = int(message.key()[1:])
        assert message.value() == (f"value {n} " * 10).encode()
        assert message.headers() == [("n", str(n).encode())]
        assert offsets[message.key()] == (message.partition(), message.offset())


def test_librdkafka_without_acks(shared_leat):
    producer = ck.Producer({"bootstrap.servers": shared_leat.kafka, "acks": 0})
    for n in range(1000):
        producer.produce("no-acks", value=str(n))
    assert producer.flush(PATIENCE_S) == 0
    assert [m.value() for m in read_all(shared_leat, "no-acks", 1, 1000)] == [str(n).encode() for n in range(1000)]


def test_large_records(shared_leat):
    """Larger than a consumer's first guess of a partition's share, up to the broker's limit; beyond it refused."""
    value = b"x" * 900_000
    producer = ck.Producer({"bootstrap.servers": shared_leat.kafka, "message.max.bytes": 4_000_000})
    errors = []
    for _ in range(3):
        producer.produce("large", value=value, on_delivery=lambda e, m: errors.append(e))
    producer.flush(PATIENCE_S)
    assert all(error is None for error in errors) and len(errors) == 3
    assert [len(m.value()) for m in read_all(shared_leat, "large", 1, 3, **{"max.partition.fetch.bytes": 1000})] == [900_000] * 3
    producer.produce("large", value=value * 3, on_delivery=lambda e, m: errors.append(e))
    producer.flush(PATIENCE_S)
    assert errors[3].name() == "MSG_SIZE_TOO_LARGE"


def test_kafka_python(shared_leat):
    producer = kp.KafkaProducer(bootstrap_servers=shared_leat.kafka)
    futures = [producer.send("kafka-python", key=b"k%d" % n, value=b"v%d" % n) for n in range(500)]
    producer.flush(PATIENCE_S)
    assert [f.get(PATIENCE_S).offset for f in futures] == list(range(500))
    producer.close()
    consumer = kp.KafkaConsumer(bootstrap_servers=shared_leat.kafka, consumer_timeout_ms=int(1000 * PATIENCE_S))
    partition = kp.TopicPartition("kafka-python", 0)
    consumer.assign([partition])
    consumer.seek_to_beginning()
    values = []
    for message in consumer:
        values.append(message.value)
        if len(values) == 500:
            break
    assert values == [b"v%d" % n for n in range(500)]
    assert consumer.end_offsets([partition]) == {partition: 500}
    consumer.close()


def test_java(shared_leat):
    out = shared_leat.java("KafkaClients.java", shared_leat.kafka).stdout
    for codec in CODECS:
        assert f"{codec}: 1000 produced, 1000 read in order" in out
    assert "admin: ok" in out


def test_offsets_by_time(shared_leat):
    """Exact to the record, inside compressed batches."""
    producer = ck.Producer({"bootstrap.servers": shared_leat.kafka, "compression.type": "zstd", "linger.ms": 50})
    base = int(time.time() * 1000) - 1_000_000
    for n in range(1000):
        producer.produce("by-time", value=str(n), timestamp=base + n * 10)
    producer.flush(PATIENCE_S)
    consumer = reader(shared_leat)
    for n in (0, 1, 499, 777, 999):
        got = consumer.offsets_for_times([ck.TopicPartition("by-time", 0, base + n * 10 - 3)], PATIENCE_S)
        assert got[0].offset == n
    assert consumer.offsets_for_times([ck.TopicPartition("by-time", 0, base + 10_000)], PATIENCE_S)[0].offset == ck.OFFSET_END
    consumer.close()


def test_long_poll_is_prompt(shared_leat):
    """A waiting consumer gets a record when it is durable, not when its wait ends."""
    shared_leat.kcat("-P", "-t", "prompt", input="first\n")
    consumer = reader(shared_leat, **{"fetch.wait.max.ms": 60_000, "socket.timeout.ms": 120_000})
    consumer.assign([ck.TopicPartition("prompt", 0, ck.OFFSET_BEGINNING)])
    assert consumer.poll(PATIENCE_S).value() == b"first"
    producer = ck.Producer({"bootstrap.servers": shared_leat.kafka, "linger.ms": 0})
    producer.produce("prompt", value="warm")
    producer.flush(PATIENCE_S)
    assert consumer.poll(PATIENCE_S).value() == b"warm"
    times = []
    for n in range(20):
        start = time.monotonic()
        producer.produce("prompt", value=str(n))
        producer.flush(PATIENCE_S)
        assert consumer.poll(PATIENCE_S).value() == str(n).encode()
        times.append(time.monotonic() - start)
    consumer.close()
    assert sorted(times)[10] < 15
