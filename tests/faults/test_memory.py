# SPDX-License-Identifier: Apache-2.0
"""Memory runs out: one allocation of a role is refused, at a place that the seed chooses.

What is small ends the role with last words, and the supervisor starts it again; what a user can make large (a query, a
catalog statement) is refused with an error. Either way everything that was acknowledged is there once, and views equal
their queries. `make test` takes a few places, `make soak` many.
"""
import random
import re
import resource
import time

import psycopg
import pytest

import faults
from test_syscalls import Play, start

# A role that ends for want of memory aborts: anything else has used what it did not get.
WILD = re.compile(r"crashed: signal (?!6 )\d+")


class Scene(Play):
    def scene(self):
        super().scene()
        self.statement("SELECT k, count(*), list(id ORDER BY id) FROM t GROUP BY k")
        self.page("/")
        self.page("/readyz")

    def page(self, path):
        """Asked until it is answered."""
        deadline = time.monotonic() + 20
        while True:
            try:
                status = self.leat.get(path)[0]
            except OSError as error:
                status = error
            if status == 200:
                return
            assert time.monotonic() < deadline, f"{path}: {status}\n{self.leat.log()}"
            time.sleep(0.05)


def ended(leat, since, role):
    """How often a role went, with its reason."""
    return [line for line in leat.err[since:] if "a role has ended" in line and f'name="{role}' in line]


@pytest.mark.parametrize("role", ["broker", "worker", "query", "api"])
def test_allocation_refused(new_leat, tmp_path, seed, scale, role):
    leat, control = start(new_leat, tmp_path)
    leat.expects_death = True
    play = Scene(leat)
    play.begin()
    play.scene()
    control.arm(role, faults.NEVER, "ENOMEM", kinds=("memory",))
    play.scene()
    control.disarm()
    calls = control.calls
    assert calls > 10
    dice = random.Random(f"{seed}memory{role}")
    count = 3 if scale == 1 else 6 * scale
    struck = deaths = 0
    for number in [dice.randint(1, calls) for _ in range(count)]:
        since = len(leat.err)
        control.arm(role, number, "ENOMEM", kinds=("memory",))
        try:
            play.scene()
            hit = control.disarm()
            play.check()
            assert not WILD.search("\n".join(leat.err[since:])), "memory that was not given is used"
        except BaseException:
            print(f"{role}, allocation {number} of {calls} (seed {seed}): {control.disarm()}\n{play.errors}\n{leat.log()}")
            raise
        struck += hit is not None
        gone = ended(leat, since, role)
        deaths += bool(gone)
        print(f"{number}: {hit}; {len(gone)} deaths; {play.errors}")
    print(f"{struck} of {count} allocations were refused, {deaths} times the role was started again")
    assert struck > 0
    leat.restart(kill=True)
    play.check()
    assert leat.cli("verify", "--data", leat.data).stdout.endswith("all well\n")


def test_supervisor_without_memory(new_leat, tmp_path, seed, scale):
    """Its roles end with it; the next start has everything."""
    leat, control = start(new_leat, tmp_path)
    leat.expects_death = True
    play = Scene(leat)
    play.begin()
    play.scene()
    dice = random.Random(f"{seed}supervisor")
    for _ in range(2 * scale):
        number = dice.randint(1, 60)
        control.arm("supervisor", number, "ENOMEM", kinds=("memory",))
        for _ in range(100):
            if control.hit():
                break
            if leat.process.poll() is None:
                leat.kill_role("worker")
            time.sleep(0.05)
        hit = control.disarm()
        time.sleep(0.1)
        print(f"{number}: {hit}, {leat.process.poll()}")
        if leat.process.poll() is not None:
            leat.restart(kill=True)
        leat.close()
        play.scene()
        play.check()
    assert not WILD.search("\n".join(leat.err)), leat.log()


def limit(leat, role, spare):
    """Lets the processes of a role have @spare bytes more than now; None: as much as there is."""
    for pid in leat.role_pids(role):
        bytes_most = resource.RLIM_INFINITY
        if spare is not None:
            with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                bytes_most = int(file.read().split()[0]) * resource.getpagesize() + spare
        resource.prlimit(pid, resource.RLIMIT_AS, (bytes_most, resource.RLIM_INFINITY))


@pytest.mark.parametrize("role", ["worker", "query"])
def test_address_space_runs_out(new_leat, tmp_path, role):
    """Not one allocation, but all that come: until the role is started again, or has the room that it wants."""
    leat, _ = start(new_leat, tmp_path)
    leat.expects_death = True
    play = Scene(leat)
    play.begin()
    leat.sql("CREATE MATERIALIZED VIEW wide AS SELECT id, count(*) AS n FROM t GROUP BY id")
    play.scene()
    since = len(leat.err)
    limit(leat, role, 1 << 20)
    play.produce(5000)
    refused = 0
    for _ in range(5):
        try:
            leat.sql("SELECT count(*), list(id ORDER BY id), string_agg(repeat(k, 100), '') FROM t")
        except psycopg.Error as error:
            assert error.sqlstate in (None, "53200", "57P01"), error
            refused += 1
            leat.close()
    if role == "worker":
        leat.wait_for("SELECT count(*) > 5000 FROM wide", [(True,)], timeout_s=40)
    limit(leat, role, None)
    play.check()
    assert play.statement("SELECT count(*), max(n) FROM wide") == play.statement("SELECT count(*), 1 FROM t")
    assert not WILD.search("\n".join(leat.err[since:])), leat.log()
    assert refused or ended(leat, since, role), "it had enough"
    print(ended(leat, since, role), refused)
