# SPDX-License-Identifier: Apache-2.0
"""Peers that misbehave, in number: good clients do not notice, and memory stays where it was."""
import random
import socket
import struct
import time

import confluent_kafka as ck

from conftest import PATIENCE_S, wait_until


def connect(server):
    host, port = server.kafka.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def frame(api, version, body=b"", correlation=1, client=b"test"):
    head = struct.pack(">hhi", api, version, correlation) + struct.pack(">h", len(client)) + client
    return struct.pack(">i", len(head) + len(body)) + head + body


def is_closed(conn, wait_s=PATIENCE_S):
    conn.settimeout(wait_s)
    try:
        return conn.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def produce_and_read(server, topic, count=1000):
    """How long a good client takes."""
    start = time.monotonic()
    server.kcat("-P", "-t", topic, input="".join(f"{n}\n" for n in range(count)))
    out = server.kcat("-C", "-t", topic, "-e", "-q", "-o", str(-count)).stdout.split()
    assert out == [str(n) for n in range(count)]
    return time.monotonic() - start


def unharmed_s(quiet_s):
    """How long a good client may take that took @quiet_s when it was alone: the rest is the machine's own business."""
    return max(10, 10 * quiet_s)


def memory_kib(server):
    pids = server.role_pids("broker")
    for line in open(f"/proc/{pids[0]}/smaps_rollup", encoding="ascii"):
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError("no Pss line")


def test_idle_and_slow_connections(new_leat):
    leat = new_leat(args=["--set", "broker.message.timeout=3s"]).start()
    quiet_s = produce_and_read(leat, "good")
    before = memory_kib(leat)
    idle = [connect(leat) for _ in range(2000)]
    slow = [connect(leat) for _ in range(200)]
    for conn in slow:
        # A request of 90 MB that never comes.
        conn.sendall(struct.pack(">i", 90_000_000) + b"\0\0\0\x09")
    assert produce_and_read(leat, "good") < unharmed_s(quiet_s)
    assert memory_kib(leat) - before < 8 * 1024
    assert all(is_closed(conn) for conn in slow)
    assert not any(is_closed(conn, 0.0001) for conn in idle[::100])
    for conn in idle + slow:
        conn.close()


def test_too_many_connections(new_leat):
    leat = new_leat(args=["--set", "broker.max.connections=20"]).start()
    conns = [connect(leat) for _ in range(40)]

    def closed():
        return sum(is_closed(conn, 0.01) for conn in conns)

    wait_until(lambda: closed() >= 20)
    assert closed() <= 25  # Leat's own connections count too
    for conn in conns:
        conn.close()

    def is_taken():
        with connect(leat) as conn:
            return not is_closed(conn, 0.2)

    wait_until(is_taken)
    produce_and_read(leat, "good", 10)


def test_unknown_apis_are_refused_by_name(leat):
    for api, name in ((11, "JoinGroup"), (10, "FindCoordinator"), (24, "AddPartitionsToTxn"), (30, "CreateAcls")):
        conn = connect(leat)
        conn.sendall(frame(api, 1))
        assert is_closed(conn)
        leat.wait_log(f"{name} is not supported")


def test_random_frames(leat, seed, scale):
    """Valid headers with random bodies, cut and changed: each is answered or its connection closed."""
    dice = random.Random(seed)
    leat.kcat("-P", "-t", "t", input="x\n")
    versions = {0: (3, 13), 1: (4, 18), 2: (1, 11), 3: (0, 13), 18: (0, 4), 19: (2, 7), 20: (1, 6), 21: (0, 2), 22: (0, 6),
                23: (2, 4), 32: (1, 4), 37: (0, 3), 44: (0, 1), 60: (0, 2), 75: (0, 0)}
    for _ in range(300 * scale):
        api = dice.choice(list(versions))
        low, high = versions[api]
        body = bytes(dice.choice((0, 1, 2, 0xff, dice.randrange(256))) for _ in range(dice.randrange(60)))
        conn = connect(leat)
        conn.settimeout(1)
        conn.sendall(frame(api, dice.randint(low, high), body))
        try:
            conn.recv(4096)
        except (TimeoutError, ConnectionError):
            pass  # a fetch may wait for long
        conn.close()
    produce_and_read(leat, "good", 10)


def test_a_reader_that_takes_nothing(new_leat):
    """A client that asks for much and reads nothing holds back itself only."""
    leat = new_leat(args=["--set", "broker.message.timeout=3s"]).start()
    quiet_s = produce_and_read(leat, "good")
    producer = ck.Producer({"bootstrap.servers": leat.kafka, "linger.ms": 50})
    for _ in range(40_000):
        producer.produce("big", value=b"x" * 1000)
        producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0
    topic = struct.pack(">h", 3) + b"big"
    body = struct.pack(">iiiib", -1, 0, 1, 50_000_000, 0) + struct.pack(">i", 1) + topic + struct.pack(">i", 1) + \
        struct.pack(">iqi", 0, 0, 50_000_000)
    conns = [connect(leat) for _ in range(10)]
    for conn in conns:
        for correlation in range(20):
            conn.sendall(frame(1, 4, body, correlation))
    assert produce_and_read(leat, "good") < unharmed_s(quiet_s)
    assert memory_kib(leat) < 1200 * 1024
    time.sleep(4)
    assert produce_and_read(leat, "good") < unharmed_s(quiet_s)
    for conn in conns:
        conn.close()
