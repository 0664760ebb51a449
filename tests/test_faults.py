# SPDX-License-Identifier: Apache-2.0
"""Full disks and damaged files: what is refused, what goes on, what is told, what heals."""
import glob
import os
import subprocess
import time

import psycopg
import pytest

from conftest import PATIENCE_S, wait_until


# ---- full disk ------------------------------------------------------------------------------------------------------
def test_disk_full_and_healed(small_disk, new_leat):
    leat = new_leat(data=f"{small_disk.path}/data", args=["--set", "worker.manifest.interval=1s"]).start()
    leat.sql("CREATE TOPIC t (id BIGINT, pad TEXT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT id % 10 AS k, count(*) AS n FROM t GROUP BY 1")
    leat.sql("CREATE VIEW pv AS SELECT 1 AS one")
    leat.produce("t", [{"id": i} for i in range(1000)])
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    assert leat.sql("SELECT sum(n) FROM v") == [(1000,)]
    small_disk.fill()
    # Writers are refused and told why; nothing else stops.
    refused = leat.kcat("-P", "-t", "t", "-X", "message.timeout.ms=1500", input=f'{{"pad":"{"x" * 10000}"}}\n', check=False)
    assert refused.returncode != 0
    with pytest.raises(psycopg.Error, match="No space left on device") as full:
        leat.sql("INSERT INTO t VALUES (1, repeat('x', 10000))")
    assert full.value.sqlstate == "53100" and "Free disk space" in full.value.diag.message_hint
    with pytest.raises(psycopg.Error) as full:
        for number in range(200):  # the catalog has some room left in its files
            leat.sql(f"CREATE VIEW w{number} AS SELECT '{'x' * 5000}' AS a")
    assert full.value.sqlstate == "53100"
    assert leat.sql("SELECT count(*) FROM t") == [(1000,)]
    assert leat.sql("SELECT sum(n) FROM v") == [(1000,)]
    # Roles that are started now run; one that cannot is not given up.
    for role in ("query", "worker", "api"):
        leat.kill_role(role)
    wait_until(lambda: leat.get("/readyz")[0] == 200, leat.log)
    leat.close()
    assert leat.sql("SELECT count(*) FROM t") == [(1000,)]
    time.sleep(3)
    assert not any("keeps dying" in line or "crashed" in line for line in leat.err), leat.log()
    small_disk.free()
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    leat.produce("t", [{"id": i} for i in range(500)])
    leat.sql("INSERT INTO t VALUES (1, 'x')")
    leat.sql("CREATE TOPIC after (a INT)")
    assert leat.sql("SELECT sum(n) FROM v") == [(1501,)]
    leat.restart(kill=True)
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT sum(n) FROM v") == [(1501,)]
    assert leat.cli("verify", "--data", leat.data).stdout.endswith("all well\n")


def test_definitions_and_stop_on_a_full_disk(small_disk, new_leat):
    """CREATE says that the disk is full; an active worker stops in order; all of it works when there is room."""
    leat = new_leat(data=f"{small_disk.path}/data", args=["--set", "worker.manifest.interval=60s"]).start()
    leat.sql("CREATE TOPIC t (id BIGINT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT id % 1000 AS k, count(*) AS n FROM t GROUP BY 1")
    leat.produce("t", [{"id": i} for i in range(20_000)])
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    assert leat.sql("SELECT sum(n) FROM v") == [(20_000,)]
    leat.sql("SET leat.freshness = 'none'")
    small_disk.fill()
    refused = []
    for statement in ("CREATE TOPIC {} (a INT)", "CREATE MATERIALIZED VIEW {} AS SELECT max(id) AS m FROM t",
                      "CREATE DASHBOARD {} PANEL p NUMBER AS (SELECT sum(n) AS n FROM v)"):
        for number in range(200):  # the catalog's files may have some room left
            began = time.monotonic()
            try:
                leat.sql(statement.format(f"x{len(refused)}_{number}"))
            except psycopg.Error as error:
                refused.append(statement)
                assert error.sqlstate == "53100" and "space" in str(error), error
                break
            finally:
                assert time.monotonic() - began < PATIENCE_S, "it hangs"
    assert len(refused) == 3
    assert leat.sql("SELECT sum(n) FROM v") == [(20_000,)]
    assert leat.stop() == 0
    assert not any("does not end and is killed" in line for line in leat.err), leat.log()
    # Nothing can be written: it starts all the same, and says so.
    leat.start()
    assert leat.sql("SELECT count(*) FROM t") == [(20_000,)]
    small_disk.free()
    leat.sql("SET leat.freshness = 'now'; SET leat.wait_timeout = '60s'")
    leat.produce("t", [{"id": i} for i in range(500)])
    for number, statement in enumerate(refused):
        leat.sql(statement.format(f"again{number}"))
    assert leat.sql("SELECT sum(n) FROM v") == [(20_500,)]
    assert leat.sql("SELECT m FROM again1") == [(19_999,)]
    assert leat.cli("verify", "--data", leat.data).stdout.endswith("all well\n")


# ---- damage ---------------------------------------------------------------------------------------------------------
def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x55]))


@pytest.fixture
def filled(new_leat):
    """A stopped Leat whose files hold 3,000 rows in 30 batches, and a view with a manifest and runs."""
    leat = new_leat(args=["--set", "worker.manifest.interval=100ms"]).start()
    leat.sql("CREATE TOPIC t (id BIGINT)")
    leat.sql("CREATE MATERIALIZED VIEW v AS SELECT id, count(*) AS n FROM t GROUP BY 1")
    for number in range(30):
        leat.sql(f"INSERT INTO t SELECT {number} * 100 + i FROM range(100) r(i)")
    leat.sql("SET leat.freshness = 'now'")
    assert leat.sql("SELECT sum(n) FROM v") == [(3000,)]
    pattern = f"{leat.data}/store/pipelines/main/run-*"
    wait_until(lambda: glob.glob(pattern), leat.log)
    assert leat.stop() == 0
    return leat


def biggest(pattern):
    return max(glob.glob(pattern, recursive=True), key=os.path.getsize)


def verify(leat):
    return leat.cli("verify", "--data", leat.data, check=False)


def topic_log(leat):
    """The segment of t: the one that holds its JSON."""
    for path in glob.glob(f"{leat.data}/log/*/0/*.log"):
        with open(path, "rb") as file:
            if b'{"id":2999}' in file.read():
                return path
    raise AssertionError("no segment has the rows of t")


def test_damaged_segment(filled):
    path = topic_log(filled)
    with open(path, "rb") as file:
        at = file.read().index(b'{"id":1550}')
    flip(path, at + 6)
    told = verify(filled)
    assert told.returncode == 1 and path in told.stdout and "DAMAGED" in told.stdout
    filled.start()
    # Rows before and after the damage are read; the damage itself is told, never skipped in silence.
    assert filled.sql("SELECT count(*) FROM t WHERE kafka_offset < 1500") == [(1500,)]
    assert filled.sql("SELECT count(*) FROM t WHERE kafka_offset >= 1600") == [(1400,)]
    with pytest.raises(psycopg.Error, match="partition 0"):
        filled.sql("SELECT count(*) FROM t")
    assert filled.sql("SELECT sum(n) FROM v") == [(3000,)]
    filled.produce("t", [{"id": 1}])
    assert filled.sql("SELECT id FROM t WHERE kafka_offset >= 3000") == [(1,)]


def test_damaged_index_is_made_again(filled):
    path = biggest(f"{filled.data}/log/*/0/*.index")
    with open(path, "r+b") as file:
        file.write(b"\xff" * os.path.getsize(path))
    filled.start()
    assert filled.sql("SELECT count(*), sum(id) FROM t WHERE kafka_offset >= 1234") == [(1766, sum(range(1234, 3000)))]


@pytest.mark.parametrize("what", ["run", "manifest"])
def test_damaged_state(filled, what):
    files = sorted(glob.glob(f"{filled.data}/store/pipelines/main/{what}-*"))
    assert files
    for path in files:
        flip(path, os.path.getsize(path) // 2)
    told = verify(filled)
    assert told.returncode == 1 and any(path in told.stdout for path in files), told.stdout


def test_damaged_catalog(filled):
    path = f"{filled.data}/catalog.db"
    subprocess.run(["cp", path, f"{path}.good"], check=True)
    with open(path, "r+b") as file:
        file.write(b"garbage!" * 512)
    told = verify(filled)
    assert told.returncode == 1 and path in told.stdout and "DAMAGED" in told.stdout
    with pytest.raises(AssertionError, match="catalog"):
        filled.start()
    filled.process = None
    os.replace(f"{path}.good", path)
    filled.start()
    assert filled.sql("SELECT count(*) FROM t") == [(3000,)]
    filled.expects_death = True
