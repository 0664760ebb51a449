# SPDX-License-Identifier: Apache-2.0
"""Loss of power: from one recorded life of a whole Leat, what the disk may hold at any moment of it.

The life is run once, with tests/faults/syscalls.c writing down every change of a file, and the test every answer that
it got. Then the power goes at moments chosen with the seed: writes without a sync are dropped, torn and reordered,
names without a sync of their folder forgotten; a Leat is started on what is left, and everything that was answered
before that moment has to be there. A start writes too: it is recorded as well, and the power goes again in it.
"""
import os
import random
import shutil
import tempfile
import threading
import time

import confluent_kafka as ck
import pytest

import faults
from conftest import SCALE, SEED, Leat, need_binary

STYLES = ("torn", "none", "torn", "names", "torn", "bytes", "torn", "all")
COUNT_K = "SELECT k, count(*), sum(id) FROM t GROUP BY k ORDER BY k"


def test_model():
    faults.self_check()


class Life:
    """What the recorded Leat is asked to do; every question and answer is a mark in the journal."""

    def __init__(self, leat, journal, seed):
        self.leat, self.journal, self.rng = leat, journal, random.Random(seed)
        self.stop = threading.Event()
        self.sent = 0
        self.kills = True
        self.failed = []

    def ask(self, sql, **what):
        """One statement, until it is answered: roles are killed meanwhile. An error is no answer."""
        faults.mark(self.journal, asked=True, **what)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.leat.sql(sql)
                break
            except Exception:  # pylint: disable=broad-except
                self.leat.close()
                assert time.monotonic() < deadline, self.leat.log()
                if "inserted" in what:
                    return  # asked, and nobody knows
                time.sleep(0.05)
        faults.mark(self.journal, asked=False, **what)

    def produce(self):
        producer = ck.Producer({"bootstrap.servers": self.leat.kafka, "enable.idempotence": True, "linger.ms": 2,
                                "message.timeout.ms": 60_000, "reconnect.backoff.max.ms": 100})
        done = []

        def delivered(error, message):
            if error:
                self.failed.append(str(error))
            else:
                done.append(int(message.key()))

        while not self.stop.is_set():
            for _ in range(20):
                pad = "x" * self.rng.choice((10, 1000, 3000))
                producer.produce("t", f'{{"id":{self.sent},"k":"k{self.sent % 5}","pad":"{pad}"}}', str(self.sent),
                                 partition=self.sent % 2, on_delivery=delivered)
                self.sent += 1
            producer.poll(0.02)
            if done:
                faults.mark(self.journal, acked=done)
                done.clear()
        producer.flush(60)
        faults.mark(self.journal, acked=done)

    def run(self, rounds):
        self.ask("CREATE TOPIC IF NOT EXISTS t (id BIGINT, k TEXT) WITH (partitions = 2)", name="t", there=True)
        self.ask("CREATE TOPIC IF NOT EXISTS keyed (id BIGINT PRIMARY KEY, n BIGINT)", name="keyed", there=True)
        self.ask("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT k, count(*) AS n, sum(id) AS s FROM t GROUP BY k",
                 name="v", there=True)
        producer = threading.Thread(target=self.produce)
        producer.start()
        try:
            for number in range(rounds):
                self.round(number)
        finally:
            self.stop.set()
            producer.join()
        assert not self.failed, self.failed[:3]

    def round(self, number):
        self.ask(f"INSERT INTO t VALUES ({10**6 + number}, 'sql')", inserted=10**6 + number)
        self.ask(f"INSERT INTO keyed VALUES (1, {number})", upserted=number)
        name = f"w{number % 3}"
        if number % 6 < 3:
            self.ask(f"CREATE OR REPLACE MATERIALIZED VIEW {name} AS SELECT id % 7 AS k, max(id) AS m FROM t GROUP BY 1",
                     name=name, there=True)
            self.ask(f"CREATE TOPIC IF NOT EXISTS x{number % 3} (a INT)", name=f"x{number % 3}", there=True)
        else:
            self.ask(f"DROP MATERIALIZED VIEW IF EXISTS {name}", name=name, there=False)
            self.ask(f"DROP TOPIC IF EXISTS x{number % 3}", name=f"x{number % 3}", there=False)
        if number % 4 == 3 and self.kills:
            self.leat.expects_death = True
            for pid in self.leat.role_pids(self.rng.choice(("broker", "worker", "query"))):
                faults.die(self.journal, pid)


ARGS = ["--set", "log.segment.bytes=1MiB", "--set", "worker.manifest.interval=200ms", "--set", "role.backoff=5 ms",
        "--set", "role.deaths=1000000"]


def need_library():
    need_binary()
    faults.need_library()


@pytest.fixture(scope="module")
def recorded():
    """(records, ids sent) of one life."""
    need_library()
    folder = tempfile.mkdtemp(prefix="leat-power-")
    journal = f"{folder}/journal"
    leat = Leat(data=f"{folder}/data", args=ARGS, env=faults.environment(f"{folder}/data", journal=journal)).start()
    try:
        life = Life(leat, journal, SEED)
        life.run(min(12 * SCALE, 48))
        leat.stop()
        leat.expects_death = True
        leat.check()
        yield faults.read_journal(journal), life.sent
    finally:
        leat.done()
        shutil.rmtree(folder, ignore_errors=True)


def names_known(marks):
    """name -> True, False, or None where a statement was on its way."""
    known = {}
    for mark in marks:
        if "name" in mark:
            known[mark["name"]] = None if mark["asked"] else mark["there"]
    return known


def check(leat, marks, sent):
    known = names_known(marks)
    there = {row[0] for row in leat.sql("SHOW TOPICS")} | {row[0] for row in leat.sql("SHOW VIEWS")}
    for name, want in known.items():
        assert want is None or (name in there) == want, f"{name} is {'' if name in there else 'not '}there"
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '30s'")
    if "t" not in there:
        return
    ids = [row[0] for row in leat.sql("SELECT id FROM t")]
    acked = {number for mark in marks for number in mark.get("acked", ())}
    acked |= {mark["inserted"] for mark in marks if "inserted" in mark and not mark["asked"]}
    asked = {mark["inserted"] for mark in marks if "inserted" in mark}
    assert len(ids) == len(set(ids)), "a record is there twice"
    assert not acked - set(ids), f"{len(acked - set(ids))} acknowledged records of {len(acked)} are gone"
    assert all(number < sent or number in asked for number in ids)
    if "v" in there:
        assert sorted(leat.sql("SELECT k, n, s FROM v")) == leat.sql(COUNT_K)
    for name in sorted(there & {"w0", "w1", "w2"}):
        assert sorted(leat.sql(f"SELECT k, m FROM {name}")) == sorted(
            leat.sql("SELECT id % 7, max(id) FROM t GROUP BY 1"))
    upserts = [mark for mark in marks if "upserted" in mark]
    if "keyed" in there and upserts:
        low = max((mark["upserted"] for mark in upserts if not mark["asked"]), default=None)
        rows = leat.sql("SELECT id, n FROM keyed")
        assert (rows == [] and low is None) or (rows[0][0] == 1 and rows[0][1] >= (low or 0)), (rows, low)
    # It is not only readable.
    leat.sql("INSERT INTO t VALUES (-1, 'after')")
    leat.sql("CREATE OR REPLACE MATERIALIZED VIEW after AS SELECT count(*) AS n FROM t")
    assert leat.sql("SELECT n FROM after") == [(len(ids) + 1,)]
    if "v" in there:
        assert leat.sql("SELECT n FROM v WHERE k = 'after'") == [(1,)]


def test_power_loss(recorded, new_leat, seed, scale, tmp_path):
    records, sent = recorded
    rng = random.Random(seed)
    count = 6 * scale
    print(f"{len(records)} changes, the power goes {count} times")
    for number in range(count):
        cut = rng.randrange(1, len(records) + 1)
        style = STYLES[number % len(STYLES)]
        data = str(tmp_path / "image")
        marks = faults.after_power_loss(records, cut, data, rng, style)
        where = f"power loss {number} (seed {seed}): after {cut} of {len(records)} changes, {style}"
        leat = new_leat(data=data, args=["--set", "worker.manifest.interval=200ms"])
        try:
            leat.start()
            check(leat, marks, sent)
            assert leat.cli("verify", "--data", data).stdout.endswith("all well\n")
            leat.stop()
            leat.check()
        except BaseException:
            print(f"{where}\n{leat.log()}")
            raise
        finally:
            leat.kill()
            if "LEAT_TEST_KEEP" not in os.environ:
                shutil.rmtree(data, ignore_errors=True)


def recover(leat, journal, number):
    """A start over what a loss of power left, until views are up to date and a record more is acknowledged."""
    leat.start()
    faults.mark(journal, ready=True)
    try:
        leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '30s'")
        if ("t",) in {row[:1] for row in leat.sql("SHOW TOPICS")}:
            faults.mark(journal, asked=True, inserted=number)
            leat.sql(f"INSERT INTO t VALUES ({number}, 'again')")
            faults.mark(journal, asked=False, inserted=number)
        for name in ("v", "w0"):
            if (name,) in {row[:1] for row in leat.sql("SHOW VIEWS")}:
                leat.sql(f"SELECT count(*) FROM {name}")
    finally:
        leat.kill()


def test_power_lost_again(recorded, new_leat, seed, scale, tmp_path):
    """In the middle of what a start does after a loss of power, once or twice more."""
    records, sent = recorded
    rng = random.Random(f"{seed}again")
    data, journal = str(tmp_path / "data"), str(tmp_path / "journal")
    for number in range(2 * scale):
        cut, style = rng.randrange(len(records) // 10, len(records) + 1), STYLES[number % len(STYLES)]
        marks = faults.after_power_loss(records, cut, data, rng, style)
        where = f"power loss {number} (seed {seed}): after {cut} of {len(records)} changes, {style}"
        leats = []
        try:
            for again in range(rng.randint(1, 2)):
                leats.append(new_leat(data=data, args=ARGS, env=faults.environment(data, journal=journal)))
                leats[-1].expects_death = True
                # What it starts from, with the inodes that the journal will name.
                disk = faults.Disk(data)
                recover(leats[-1], journal, 2 * 10**6 + 10 * number + again)
                life = faults.read_journal(journal)
                ready = next(i for i, record in enumerate(life) if record[0] == faults.MARK)
                cut = rng.randrange(1, ready + 1 if rng.random() < 0.7 else len(life) + 1)
                style = rng.choice(STYLES)
                where += f"; after {cut} of {len(life)} changes of the start ({ready} until it was ready), {style}"
                shutil.rmtree(data)
                marks += faults.after_power_loss(life, cut, data, rng, style, disk)
                os.unlink(journal)
            print(where)
            leats.append(new_leat(data=data, args=ARGS))
            leats[-1].start()
            check(leats[-1], marks, sent)
            assert leats[-1].cli("verify", "--data", data).stdout.endswith("all well\n")
            leats[-1].stop()
            leats[-1].check()
        except BaseException:
            print(f"{where}\n{leats[-1].log() if leats else ''}")
            raise
        finally:
            for leat in leats:
                leat.kill()
            if "LEAT_TEST_KEEP" not in os.environ:
                shutil.rmtree(data, ignore_errors=True)


def differences(folder, path):
    """Names below @path where @folder, as programs see it, and the file system are not the same."""
    there = {name for name in os.listdir(path) if not faults.mapped(name)}
    told = {name for name in folder.names if not faults.mapped(name)}
    out = [f"{path}/{name}" for name in there ^ told]
    for name in there & told:
        node = folder.names[name]
        if isinstance(node, faults.Folder):
            out += differences(node, f"{path}/{name}")
            continue
        with open(f"{path}/{name}", "rb") as file:
            if file.read() != faults.left_of(node, None, "all"):
                out.append(f"{path}/{name}")
    return out


def test_journal_tells_every_change(new_leat, tmp_path):
    """Whatever calls a Leat writes with, a change that the journal does not have would be seen here."""
    need_library()
    data, journal = str(tmp_path / "data"), str(tmp_path / "journal")
    leat = new_leat(data=data, args=ARGS, env=faults.environment(data, journal=journal)).start()
    life = Life(leat, journal, SEED)
    leat.sql("CREATE TOPIC bad (id BIGINT)")
    leat.sql("CREATE MATERIALIZED VIEW b AS SELECT id, count(*) AS n FROM bad GROUP BY id")
    life.kills = False
    life.run(7)
    leat.sql("CREATE DASHBOARD d PANEL p NUMBER AS (SELECT sum(n) AS n FROM v)")
    leat.produce("bad", ["no number"] * 3 + [{"id": i} for i in range(40_000)])
    leat.sql("SET leat.freshness = 'now'")
    leat.restart()
    leat.produce("bad", [{"id": i} for i in range(20_000, 60_000)])
    leat.sql("SET leat.freshness = 'now'; SELECT * FROM b ORDER BY n, id")
    leat.stop()
    disk = faults.Disk()
    for record in faults.read_journal(journal):
        if record[0] != faults.MARK:
            disk.apply(*record)
    assert differences(disk.root, data) == []
