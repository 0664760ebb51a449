# SPDX-License-Identifier: Apache-2.0
"""One count over JSON: count(*) in windows of 10 seconds by key; beside it the same query in Flink SQL over Apache Kafka.

5,000,000 events of 87 bytes, 100,000 keys, lines of a file made before (LEAT_BENCH_COUNT_EVENTS changes how many), four
partitions, sent in batches of 500 by the same loader. Figures are events a processor second.

Leat's worker counts while the events come in and keeps the result as a view that can be queried. Flink reads what is in the
topic already and gives its windows to a sink that drops them; its first three jobs are not counted and warm the TaskManager
up; the first of them gives the counts to be checked. With the brokers: what each spends on taking the events in and giving them out.
"""
import os
import random
import time

import lib
import peers

EVENTS = int(os.environ.get("LEAT_BENCH_COUNT_EVENTS", "5000000"))
KEYS = 100000
FLINK_WARM = 2  # jobs that are not counted, after the one that checks the counts
BATCHES = (500, 2000)
FLINK_TABLE = """CREATE TABLE `{topic}` (k STRING, v BIGINT, event_time TIMESTAMP_LTZ(3),
  WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND) WITH ('connector' = 'kafka', 'topic' = '{topic}',
  'properties.bootstrap.servers' = '{kafka}', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601')"""
FLINK_QUERY = """SELECT k, window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE `{topic}`, DESCRIPTOR(event_time), INTERVAL '10' SECOND))
  GROUP BY k, window_start, window_end"""
FLINK_SINK = "CREATE TABLE counts (k STRING, window_start TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole')"


def lines_make(path):
    draw = random.Random(20261124)
    keys = [f"key-{draw.getrandbits(48):012x}" for _ in range(KEYS)]
    begin = time.time() - 30
    with open(path, "w", encoding="ascii") as f:
        for chunk in range(0, EVENTS, 10000):
            moment = begin + chunk / EVENTS * 30
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"
            f.writelines(f'{{"k":"{keys[int(draw.random() * KEYS)]}","v":{n},"event_time":"{text}"}}\n'
                         for n in range(chunk, min(chunk + 10000, EVENTS)))


def leat_run(report, path, batch):
    """Events a processor second of the worker, of worker and broker."""
    lib.settle()
    with lib.Leat() as leat:
        leat.sql("CREATE TOPIC events (k TEXT NOT NULL, v BIGINT, event_time TIMESTAMPTZ NOT NULL, "
                 "WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds') WITH (partitions = 4)")
        leat.sql("CREATE MATERIALIZED VIEW counts WITH (retention = '1 hour') AS SELECT k, window_start, count(*) AS n "
                 "FROM tumble(events, event_time, INTERVAL '10 seconds') GROUP BY k, window_start")
        leat.wait_caught_up()
        before, others, begun = leat.cpu(), lib.Others(), time.monotonic()
        records, _, loader = lib.send(leat.kafka, "events", path, batch=batch)
        leat.wait_caught_up()
        seconds = time.monotonic() - begun
        cpu = {role: value - before.get(role, 0) for role, value in leat.cpu().items()}
        used = others.cores()
        total = int(leat.sql("SELECT sum(n) FROM counts")[0][0])
    report.generator(loader)
    report.line(f"Leat, batches of {batch}: {records / cpu['worker'] / 1e6:.2f} M/CPU-s of the worker, {seconds:.1f} s, CPU-s "
                + " ".join(f"{role} {cpu[role]:.2f}" for role in ("broker", "worker", "query"))
                + f" loader {loader:.2f}; others {100 * used:.0f} % of a core")
    if total != records:
        report.note(f"count: WRONG: {records} sent, {total} counted")
    return records / cpu["worker"] / 1e6, records / (cpu["worker"] + cpu["broker"]) / 1e6


def topic_make(kafka, topic):
    """A topic of four partitions; a broker that just started says no for a while."""
    for turn in range(20):
        try:
            lib.send(kafka.address, topic, os.devnull, partitions=4)
            break
        except lib.BenchError:
            if turn == 19:
                raise
            time.sleep(0.5)
    time.sleep(1)


def kafka_fill(report, kafka, path):
    """Sends all twice, to warm the broker up and to be read; returns records and the broker's processor seconds of the second time."""
    for topic in ("warm-up", "nothing", "events"):
        topic_make(kafka, topic)
    report.generator(lib.send(kafka.address, "warm-up", path)[2])
    before = kafka.cpu()
    records, _, loader = lib.send(kafka.address, "events", path, partitions=4)
    report.generator(loader)
    return records, kafka.cpu() - before


def flink_runs(report, path):
    with peers.Kafka() as kafka:
        records, filled = kafka_fill(report, kafka, path)
        with peers.Flink() as flink:
            for topic in ("events", "nothing"):
                flink.sql(FLINK_TABLE.format(kafka=kafka.address, topic=topic))
            query = FLINK_QUERY.format(topic="events")
            flink.sql(FLINK_SINK)
            flink.sql("CREATE TABLE sums (n BIGINT, total BIGINT) WITH ('connector' = 'print')")
            flink.insert(f"INSERT INTO sums SELECT COUNT(*), SUM(n) FROM ({query})")
            if f", {records}]" not in flink.log("taskmanager"):
                report.note(f"count: Flink did not count {records} events")
            runs = []
            lib.settle()
            for turn in range(-FLINK_WARM, report.runs):
                before, broker, others = flink.cpu("taskmanager"), kafka.cpu(), lib.Others()
                seconds = flink.insert(f"INSERT INTO counts {query}")
                cpu, broker, used = flink.cpu("taskmanager") - before, kafka.cpu() - broker, others.cores()
                report.line(f"Flink{'' if turn >= 0 else ', not counted'}: {records / cpu / 1e6:.2f} M/CPU-s of the TaskManager, "
                            f"{seconds:.1f} s, CPU-s broker {filled:.2f} + {broker:.2f} TaskManager {cpu:.2f}; "
                            f"others {100 * used:.0f} % of a core")
                if turn >= 0:
                    runs.append((records / cpu / 1e6, records / (cpu + broker + filled) / 1e6))
            before = flink.cpu("taskmanager")
            flink.insert(f"INSERT INTO counts {FLINK_QUERY.format(topic='nothing')}")
            report.note(f"count: a job of Flink over an empty topic takes {flink.cpu('taskmanager') - before:.2f} CPU-s of the "
                        "TaskManager; they are in its figure, the making of Leat's view is not in ours")
            return runs


def measure(report):
    path = f"{lib.data_dir()}/events.jsonl"
    lines_make(path)
    ours = {batch: [leat_run(report, path, batch) for _ in range(report.runs)] for batch in BATCHES}
    flink, without = report.beside("count", lambda: flink_runs(report, path))
    for batch in BATCHES:
        same = flink is not None and batch == BATCHES[0]  # Apache Kafka was filled by batches of that size
        report.figure(f"count over JSON, 100,000 keys, batches of {batch}: events a CPU-second of the worker", "M",
                      [r[0] for r in ours[batch]], target="≥ 2.0", peer=[r[0] for r in flink] if same else None,
                      peer_name=without or ("Flink SQL, warm" if same else "–"))
        report.figure("the same, worker and broker", "M", [r[1] for r in ours[batch]], target="≥ 1.5",
                      peer=[r[1] for r in flink] if same else None,
                      peer_name=without or ("Flink with Kafka" if same else "–"))
