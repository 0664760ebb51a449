# SPDX-License-Identifier: Apache-2.0
"""What goes away and what stays: retention by size and by time against a running server, views unharmed; index files that
are damaged or missing, on a running server and at a restart; the metrics of the log."""
import glob
import os
import time

import confluent_kafka as ck
import confluent_kafka.admin
import pytest

from conftest import PATIENCE_S, wait_until

ARGS = ["--set", "log.tidy.interval=1 s", "--set", "broker.metrics.interval=200 ms"]
ROW = '{{"k":"key-{}","n":{},"pad":"' + "x" * 5000 + '"}}'


def consumer_of(server):
    return ck.Consumer({"bootstrap.servers": server.kafka, "group.id": "unused", "enable.auto.commit": False,
                        "enable.partition.eof": True, "auto.offset.reset": "error"})


def read_from(server, offset):
    """Offsets and values up to the end."""
    consumer = consumer_of(server)
    consumer.assign([ck.TopicPartition("t", 0, offset)])
    records = []
    while True:
        message = consumer.poll(PATIENCE_S)
        assert message is not None
        if message.error():
            assert message.error().code() == ck.KafkaError._PARTITION_EOF, message.error()
            consumer.close()
            return records
        records.append((message.offset(), message.value()))


def segments_of(server):
    return [path for path in glob.glob(f"{server.data}/log/*/0/*.log") if os.path.getsize(path) > 500_000]


@pytest.mark.parametrize("setting", ["retention.bytes=1500000", "retention.ms=3000"])
def test_old_segments_go_and_views_stay(new_leat, setting):
    server = new_leat(args=ARGS)
    server.start()
    admin = ck.admin.AdminClient({"bootstrap.servers": server.kafka})
    admin.create_topics([ck.admin.NewTopic("t", 1, config={"segment.bytes": "1048576"})])["t"].result(PATIENCE_S)
    server.sql("CREATE TOPIC IF NOT EXISTS t (k TEXT, n BIGINT)")
    server.sql("CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS rows, sum(n) AS total FROM t GROUP BY k")
    server.produce("t", [ROW.format(n % 7, n) for n in range(2000)], 0)
    server.wait_for("SELECT sum(rows) FROM v", [(2000,)])
    before = server.sql("SELECT * FROM v ORDER BY k")
    # Not before the view has read all: what is gone by then it would never see.
    name, value = setting.split("=")
    resource = ck.admin.ConfigResource("topic", "t", incremental_configs=[
        ck.admin.ConfigEntry(name, value, incremental_operation=ck.admin.AlterConfigOpType.SET)])
    admin.incremental_alter_configs([resource])[resource].result(PATIENCE_S)
    watch = consumer_of(server)
    low = 0

    def moved():
        nonlocal low
        low, high = watch.get_watermark_offsets(ck.TopicPartition("t", 0), timeout=PATIENCE_S, cached=False)
        assert high == 2000
        return low > 1000

    wait_until(moved)
    wait_until(lambda: server.metric("leat_log_segments_removed_total") >= 5)
    assert server.metric("leat_log_segments_sealed_total") >= 5 and server.metric("leat_log_syncs_total") > 0
    assert server.metric("leat_log_sync_time_us_total") > 0 and server.metric("leat_log_sync_failures_total") == 0
    wait_until(lambda: server.metric("leat_log_size_bytes") < 4_000_000)
    watch.assign([ck.TopicPartition("t", 0, 10)])
    message = watch.poll(PATIENCE_S)
    assert message.error().code() in (ck.KafkaError.OFFSET_OUT_OF_RANGE, ck.KafkaError._AUTO_OFFSET_RESET), message.error()
    assert "OFFSET_OUT_OF_RANGE" in str(message.error()) or "out of range" in str(message.error()).lower()
    watch.close()
    assert server.sql("SELECT * FROM v ORDER BY k") == before
    server.restart(kill=True)
    assert server.sql("SELECT * FROM v ORDER BY k") == before
    server.produce("t", [ROW.format(0, 5)], 0)
    server.wait_for("SELECT sum(rows) FROM v", [(2001,)])


def test_index_files_damaged_or_missing(new_leat):
    server = new_leat(args=ARGS)
    server.start()
    admin = ck.admin.AdminClient({"bootstrap.servers": server.kafka})
    admin.create_topics([ck.admin.NewTopic("t", 1, config={"segment.bytes": "1048576"})])["t"].result(PATIENCE_S)
    producer = ck.Producer({"bootstrap.servers": server.kafka, "batch.num.messages": 5})
    begun_ms = int(time.time() * 1000) - 1_000_000
    for n in range(1000):  # each has a time of its own
        producer.produce("t", ROW.format(n % 7, n), partition=0, timestamp=begun_ms + 10 * n)
    assert producer.flush(PATIENCE_S) == 0
    want = read_from(server, 0)
    assert [offset for offset, _ in want] == list(range(1000))
    indexes = sorted(path[:-4] + ".index" for path in segments_of(server))
    assert len(indexes) >= 4

    def harm():
        with open(indexes[0], "r+b") as f:  # every entry but the first points elsewhere
            entries = bytearray(f.read())
            for at in range(24, len(entries) - 24, 24):
                entries[at + 4] ^= 0x5a
            f.seek(0)
            f.write(entries)
        with open(indexes[1], "r+b") as f:
            f.truncate(37)
        os.unlink(indexes[2])
        # Of times an index has nothing but its checksum to tell that they are wrong: here nothing came before any entry.
        with open(indexes[3], "r+b") as f:
            entries = bytearray(f.read())
            for at in range(0, len(entries) - 24, 24):
                entries[at + 8:at + 16] = b"\xff" * 8
            f.seek(0)
            f.write(entries)

    def check():
        for offset in (0, 3, 150, 250, 390, 421, 555, 700, 998):
            got = read_from(server, offset)
            assert got == want[offset:], f"from {offset}"
        consumer = consumer_of(server)
        for offset in range(0, 1000, 37):
            found = consumer.offsets_for_times([ck.TopicPartition("t", 0, begun_ms + 10 * offset - 5)], PATIENCE_S)
            assert found[0].offset == offset, f"{offset} by its time"
        consumer.close()

    check()
    harm()
    check()
    server.stop()
    for path in indexes[:2]:
        assert os.path.exists(path), path
    harm_again = [path for path in indexes if os.path.exists(path)]
    for path in harm_again[:2]:
        with open(path, "r+b") as f:
            f.write(b"\xee" * 24)
    os.unlink(harm_again[-1])
    server.start()
    check()
    server.produce("t", ["last"], 0)
    assert read_from(server, 1000) == [(1000, b"last")]
    assert server.cli("verify", "--data", server.data).stdout.endswith("all well\n")
