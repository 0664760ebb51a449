# SPDX-License-Identifier: Apache-2.0
"""Each system call on the way of a write fails once, in each role, in a running Leat; then it heals.

A scene (records, an INSERT, a topic and a view that come and go) is played once to count the calls of a role, then
again and again with call number 1, 2, 3 … failing: EIO, ENOSPC, EINTR, or a write that takes half of its bytes. After
each, everything that was acknowledged is there once, views equal their queries, and nobody waits for ever.
`make test` takes a sample, `make soak` all of them.
"""
import os
import random
import re
import struct
import time

import confluent_kafka as ck
import psycopg
import pytest

import faults
from conftest import PATIENCE_S, SCALE, need_binary, wait_until

CAUSES = {"EIO": "Input/output error|disk I/O error", "ENOSPC": "No space left|no space left|database or disk is full"}
ARGS = ["--set", "log.segment.bytes=1MiB", "--set", "worker.manifest.interval=100ms", "--set", "role.backoff=5 ms"]
TIMEOUT_S = PATIENCE_S


class Play:
    """One server and what it has acknowledged."""

    def __init__(self, leat):
        self.leat = leat
        self.next_id, self.acked, self.asked = 0, set(), set()
        self.errors = []

    def begin(self):
        self.leat.sql("CREATE TOPIC t (id BIGINT, k TEXT)")
        self.leat.sql("CREATE TOPIC keyed (id BIGINT PRIMARY KEY, n BIGINT)")
        self.leat.sql("CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS n, sum(id) AS s FROM t GROUP BY k")

    def take_id(self):
        self.next_id += 1
        self.asked.add(self.next_id)
        return self.next_id

    def produce(self, count=10):
        """Producers try again by themselves; what fails for good tells why."""
        producer = ck.Producer({"bootstrap.servers": self.leat.kafka, "enable.idempotence": True, "linger.ms": 1,
                                "message.timeout.ms": 30_000, "retry.backoff.ms": 20, "reconnect.backoff.max.ms": 100})

        def delivered(error, message):
            if error:
                self.errors.append(("produce", error.str()))
            else:
                self.acked.add(int(message.key()))

        for _ in range(count):
            ident = self.take_id()
            producer.produce("t", f'{{"id":{ident},"k":"k{ident % 3}","pad":"{"x" * 2000}"}}', str(ident),
                             on_delivery=delivered)
        assert producer.flush(TIMEOUT_S) == 0, "a producer hangs"

    def statement(self, sql, again=None):
        """Runs it; an error must be a clear one; then it is run again until it works."""
        deadline = time.monotonic() + TIMEOUT_S
        first = True
        while True:
            began = time.monotonic()
            try:
                rows = self.leat.sql(sql if first else again or sql)
                return rows
            except psycopg.Error as error:
                text = f"{error.sqlstate}: {error}"
                self.errors.append((sql, text))
                assert time.monotonic() - began < TIMEOUT_S, f"{sql} took {time.monotonic() - began:.1f} s: {text}"
                assert time.monotonic() < deadline, f"{sql} does not heal: {text}\n{self.leat.log()}"
                assert not (error.sqlstate or "").startswith("XX"), text
                if again is None and sql.startswith("INSERT"):
                    return None
                first = False
                if self.leat._connection is not None and self.leat._connection.closed:
                    self.leat.close()
                time.sleep(0.05)

    def scene(self):
        self.errors = []
        self.produce()
        ident = self.take_id()
        if self.statement(f"INSERT INTO t VALUES ({ident}, 'sql')") is not None:
            self.acked.add(ident)
        self.statement("INSERT INTO t SELECT NULL, NULL FROM range(0)")
        self.statement("CREATE TOPIC x (a INT, b TEXT)", "CREATE TOPIC IF NOT EXISTS x (a INT, b TEXT)")
        self.statement("CREATE MATERIALIZED VIEW xv AS SELECT a, count(*) AS n FROM x GROUP BY a",
                       "CREATE OR REPLACE MATERIALIZED VIEW xv AS SELECT a, count(*) AS n FROM x GROUP BY a")
        self.statement(f"INSERT INTO keyed VALUES (1, {ident})")
        assert self.statement("SELECT count(*) FROM t")[0][0] >= len(self.acked)
        self.produce(2)
        time.sleep(0.15)  # a manifest
        self.statement("DROP MATERIALIZED VIEW xv", "DROP MATERIALIZED VIEW IF EXISTS xv")
        self.statement("DROP TOPIC x", "DROP TOPIC IF EXISTS x")

    def check(self):
        self.statement("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
        self.produce(1)
        ids = [row[0] for row in self.statement("SELECT id FROM t")]
        assert len(ids) == len(set(ids)), "a record is there twice"
        assert not self.acked - set(ids), f"acknowledged and gone: {sorted(self.acked - set(ids))[:10]}"
        assert not set(ids) - self.asked
        want = self.statement("SELECT k, count(*), sum(id) FROM t GROUP BY k ORDER BY k")
        got = sorted(self.statement("SELECT k, n, s FROM v"))
        assert got == want, f"the view differs: {got}, its query: {want}"


def start(new_leat, tmp_path, ready=True, deaths=1000000):
    need_binary()
    faults.need_library()
    control = faults.Control(tmp_path / "control")
    data = str(tmp_path / "data")
    leat = new_leat(data=data, args=[*ARGS, "--set", f"role.deaths={deaths}"], env=faults.environment(data, control))
    return (leat.start() if ready else leat), control


def heal(leat, hit):
    """After a failed sync a partition has one more chance only; a start gives it both back."""
    if hit and " sync " in hit and hit.endswith(".log"):
        leat.kill_role("broker")


def told(leat, since, play, way, hit):
    """The file and the cause of the failure stand in the log or in an answer. (A line that says the same within a second
    is left out: then the one before will do.)"""
    name = re.sub(r"\.tmp$", "", hit.split()[-1].rsplit("/", 1)[-1])
    text = "\n".join(leat.err[max(0, since - 4):] + [text for _, text in play.errors])
    return re.search(CAUSES[way], text) and (name in text or "catalog.db" in name and "catalog" in text)


# Best effort by design: these hold no truth, are made anew, or are removed another time.
QUIET = re.compile(r"\.index$|/synced$|/producers|/lock$|-shm$|/run/| unlink | rmdir |-journal$| open /(log|store)?$")


@pytest.mark.parametrize("ways", ["some"] if SCALE == 1 else list(faults.WAYS))
@pytest.mark.parametrize("role", ["broker", "worker", "query"])
def test_each_call_fails_once(new_leat, tmp_path, seed, role, ways):
    leat, control = start(new_leat, tmp_path)
    play = Play(leat)
    play.begin()
    play.scene()
    control.arm(role, faults.NEVER, "EIO")
    play.scene()
    control.disarm()
    calls = control.calls
    assert calls > 10
    dice = random.Random(f"{seed}{role}")
    walk = [(number, ways) for number in range(1, calls + 1)]
    if ways == "some":  # the last is there for sure: a scene may have fewer calls than the one before
        walk = [(dice.randint(1, calls), way) for way in ("EIO", "ENOSPC", dice.choice(("EINTR", "short")))] + [(1, "EIO")]
    struck = 0
    began = 0
    for number, way in walk:
        # A line that says the same is written once a second.
        time.sleep(max(0, began + 1.5 - time.monotonic()))
        began = time.monotonic()
        since = len(leat.err)
        control.arm(role, number, way)
        try:
            play.scene()
            hit = control.disarm()
            play.check()
            assert not any("crashed: signal" in line for line in leat.err[since:])
            if hit and way in CAUSES and not QUIET.search(hit):
                wait_until(lambda: told(leat, since, play, way, hit), "nobody told of it", 20)  # pylint: disable=W0640
            if hit and way in ("EINTR", "short"):
                assert not play.errors, play.errors
        except BaseException:
            print(f"{role}, call {number}, {way} (seed {seed}): {control.disarm()}\n{play.errors}\n{leat.log()}")
            raise
        struck += hit is not None
        heal(leat, hit)
        leat.expects_death |= hit is not None and role == "worker"  # it begins again at its last tick
    print(f"{struck} of {len(walk)} calls were struck")
    assert struck > 0
    leat.restart(kill=True)
    play.check()
    assert leat.cli("verify", "--data", leat.data).stdout.endswith("all well\n")


@pytest.mark.parametrize("role", ["supervisor", "broker", "worker", "query"])
def test_each_call_of_a_start_fails_once(new_leat, tmp_path, seed, role):
    """From an empty directory, and again over one that has to be recovered: it starts, or says why not and starts then."""
    leat, control = start(new_leat, tmp_path, ready=False)
    dice = random.Random(f"{seed}start{role}")
    number = 0
    play = Play(leat)
    while True:
        number += 1 if SCALE > 1 else dice.randint(4, 16)
        since, way = len(leat.err), dice.choice(list(faults.WAYS))
        control.arm(role, number, way)
        try:
            try:
                leat.start()
            except AssertionError as error:
                assert "was not ready" not in str(error)
                assert way in CAUSES and leat.process.returncode == 1, str(error)
                assert re.search(CAUSES[way], "\n".join(leat.err[since:])), "it does not say why"
                leat.process = None
                control.disarm()
                leat.start()
            if play.next_id == 0:
                play.statement("CREATE TOPIC IF NOT EXISTS t (id BIGINT, k TEXT)")
                play.statement("CREATE OR REPLACE MATERIALIZED VIEW v AS "
                               "SELECT k, count(*) AS n, sum(id) AS s FROM t GROUP BY k")
            play.produce(5)
            play.statement("SELECT count(*) FROM t")
            hit = control.disarm()
            play.check()
        except BaseException:
            print(f"{role}, call {number}, {way} (seed {seed}): {control.disarm()}\n{play.errors}\n{leat.log()}")
            raise
        leat.expects_death = True
        if hit is None and number > 8:
            break
        leat.kill()
    print(f"{number} calls")
    assert leat.cli("verify", "--data", leat.data).stdout.endswith("all well\n")


def test_worker_that_dies_before_its_first_row_is_told(new_leat, tmp_path):
    leat, control = start(new_leat, tmp_path, deaths=6)
    leat.expects_death = True
    leat.sql("CREATE TOPIC t (a INT)")
    control.arm("worker", 1, "EIO", strikes=10**6, pattern="/store*")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")

    def job():
        row = leat.sql("SHOW JOBS")[0]
        return row[2], row[-1] or ""

    def wait(is_true):
        deadline = time.monotonic() + TIMEOUT_S
        while not is_true(*job()):
            assert time.monotonic() < deadline, (job(), leat.log())
            time.sleep(0.05)

    wait(lambda state, reason: state == "starting" and "has died: exit=1" in reason and "store" in reason
         and "Input/output error" in reason)
    wait(lambda state, reason: state == "down" and "does not run: exit=1" in reason and "Input/output error" in reason)
    control.disarm()
    leat.sql("ALTER JOB v PAUSE; ALTER JOB v RESUME; SET leat.freshness = 'now'")
    assert leat.sql("SELECT n FROM v") == [(0,)]
    assert job() == ("running", "")


def test_second_failed_sync_makes_a_partition_read_only(new_leat, tmp_path):
    leat, control = start(new_leat, tmp_path)
    leat.sql("CREATE TOPIC t (id BIGINT)")
    leat.sql("INSERT INTO t SELECT i FROM range(100) r(i)")
    topic = [name for name in os.listdir(f"{leat.data}/log") if len(name) == 32]
    assert len(topic) == 1
    control.arm("broker", 1, "EIO", kinds=("sync",), strikes=10**6, pattern=f"/log/{topic[0]}/*.log")
    with pytest.raises(psycopg.Error) as failed:  # it tries again, until it is told that this makes no sense
        leat.sql("INSERT INTO t VALUES (100)")
    assert failed.value.sqlstate == "58030", failed.value
    leat.wait_log("sync failed, segment sealed")
    assert any("sync failed, segment sealed" in line and "Input/output error" in line for line in leat.err)
    control.disarm()
    # The disk is well again, but what it has forgotten nobody knows: reads go on, writes wait for a start.
    with pytest.raises(psycopg.Error, match="read-only") as failed:
        leat.sql("INSERT INTO t VALUES (101)")
    refused = leat.kcat("-P", "-t", "t", "-X", "message.timeout.ms=1000", input='{"id":102}\n', check=False)
    assert refused.returncode != 0
    assert leat.sql("SELECT count(*) FROM t") == [(100,)]
    leat.sql("CREATE TOPIC other (a INT)")
    leat.sql("INSERT INTO other VALUES (1)")
    leat.kill_role("broker")
    leat.produce("t", [{"id": 103}])
    assert leat.sql("SELECT id FROM t WHERE id >= 100") == [(103,)]



def log_folder(leat, topic):
    """The folder of a topic below the log; as docs/formats.md has it."""
    with open(f"{leat.data}/log/topics", "rb") as file:
        data = file.read()
    at = data.index(struct.pack("<H", len(topic)) + topic.encode()) - 28
    return data[at:at + 16].hex()


@pytest.mark.parametrize("made", [True, False], ids=["append", "create"])
def test_refused_record_waits_for_a_full_disk(new_leat, tmp_path, made):
    """The copy of a refused record finds no room: no view steps over the record; with room it is put aside once."""
    leat, control = start(new_leat, tmp_path)
    leat.sql("CREATE TOPIC t (id BIGINT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(id) AS s FROM t")
    pattern = "/log/*"
    if made:
        leat.produce("t", ["first"])
        leat.wait_for('SELECT count(*) FROM "t$quarantine"', [(1,)])
        pattern = f"/log/{log_folder(leat, 't.quarantine')}/*"
    leat.sql("SET leat.freshness = 'now'; SELECT n FROM v; SET leat.freshness = 'none'")
    # A topic that is not there begins with its folder.
    control.arm("broker", 1, "ENOSPC", kinds=("write", "size") if made else ("mkdir",), strikes=10**9, pattern=pattern)
    leat.produce("t", [{"id": 1}, "second", {"id": 2}, "third"])
    deadline = time.monotonic() + TIMEOUT_S
    while not any("No space left" in line for line in leat.err):
        assert time.monotonic() < deadline, (control.hit(), leat.log())
        time.sleep(0.05)
    for _ in range(2):
        time.sleep(0.5)
        assert leat.sql("SELECT n FROM v") == [(0,)], "the view went on without its refused record"
        job = leat.sql("SHOW JOBS")[0]
        assert job[2] in ("running", "starting") and (job[2] == "running" or "No space left" in job[-1]), job
        leat.kill_role("worker")
    control.disarm()
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '20s'")
    assert leat.sql("SELECT n, s FROM v") == [(2, 3)]
    rows = leat.sql('SELECT value FROM "t$quarantine" ORDER BY "offset"')
    assert [bytes(row[0]) for row in rows] == [b"first", b"second", b"third"][not made:]


def test_interrupted_syncs_of_the_catalog_are_repeated(new_leat, tmp_path):
    leat, control = start(new_leat, tmp_path)
    for number, pattern in enumerate(("/catalog.db", "/catalog.db-wal")):
        control.arm("query", 1, "EINTR", kinds=("sync",), strikes=3, pattern=pattern)
        for again in range(20):
            leat.sql(f"CREATE TOPIC t{number}_{again} (a INT)")
        assert control.disarm() == f"query sync {pattern}" or pattern == "/catalog.db"
