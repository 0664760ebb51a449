# SPDX-License-Identifier: Apache-2.0
"""`leat sql`: the shell on a terminal, and statements from a file."""
import codecs
import os
import pty
import random
import select
import signal
import time

import pytest

from conftest import BINARY, SCALE, SEED


class Shell:
    """`leat sql` on a terminal of its own."""

    def __init__(self, leat, home):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="dumb", HOME=str(home))
            os.execv(BINARY, [BINARY, "sql", "--pg", leat.pg])
        self.seen, self.decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
        self.until("leat=> ")

    def until(self, text, timeout_s=20):
        """What was shown up to @text, which is taken out."""
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.seen!r}"
            self.read()
        before, self.seen = self.seen.split(text, 1)
        return before

    def read(self):
        if select.select([self.fd], [], [], 0.05)[0]:
            self.seen += self.decoder.decode(os.read(self.fd, 65536))

    def type(self, text):
        os.write(self.fd, text.encode())

    def exit_code(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        raise AssertionError("the shell does not end")

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def shell(shared_leat, tmp_path):
    made = Shell(shared_leat, tmp_path)
    yield made
    made.close()


def test_lines_history_and_end(shell, tmp_path):
    shell.type("SELECT 6 *\n")
    shell.until("leat-> ")
    shell.type("7 AS answer;\n")
    assert "42" in shell.until("leat=> ")
    shell.type("\\q\n")
    assert shell.exit_code() == 0
    assert "answer" in (tmp_path / ".leat_history").read_text()


def test_ctrl_c_throws_the_line_away(shell):
    shell.type("SELECT 1,\n")
    shell.until("leat-> ")
    shell.type("nonsense\x03")
    shell.until("leat=> ")
    shell.type("SELECT 40 + 2 AS answer;\n")
    assert "42" in shell.until("leat=> ")
    shell.type("\x04")
    assert shell.exit_code() == 0


def test_ctrl_c_at_any_moment(shell):
    """While the prompt is drawn, before and after a character is read, right after an answer."""
    chance = random.Random(SEED)
    for turn in range(300 * SCALE):
        shell.type(chance.choice(["", "x", "SELECT 1;\n", "SELECT 1,\n"]))
        time.sleep(chance.choice([0, 0, 0.0005, 0.002]))
        shell.type("\x03" * chance.randint(1, 3))
    shell.type("\x03")
    deadline = time.monotonic() + 20
    while "answer" not in shell.seen.split("^C")[-1]:  # a Ctrl-C throws away what was typed before it is seen
        assert time.monotonic() < deadline
        shell.type("SELECT 40 + 2 AS answer;\n")
        time.sleep(0.3)
        shell.read()
    shell.until("(1 row)")
    shell.until("leat=> ")


def test_characters_beyond_ascii_and_history(shell, tmp_path):
    shell.type("SELECT 'größer ✓' AS \"Maß\",\n  1 AS one;\n")
    shell.until("Maß ")
    assert "größer ✓" in shell.until("(1 row)")
    shell.until("leat=> ")
    shell.type("\x10\n")  # the statement before
    shell.until("Maß ")
    assert "größer ✓" in shell.until("(1 row)")
    shell.type("\x04")
    assert shell.exit_code() == 0
    assert (tmp_path / ".leat_history").read_text().count("SELECT") >= 1


def test_ctrl_c_cancels_the_statement(shell):
    shell.type("SELECT sum(a.i * b.i) FROM range(1000000) a(i), range(1000000) b(i);\n")
    shell.until("(i);")
    time.sleep(0.5)
    shell.type("\x03")
    assert "canceling statement" in shell.until("leat=> ")


def test_a_file_larger_than_a_message(shared_leat, tmp_path):
    path = tmp_path / "many.sql"
    pad = "x" * 1000
    path.write_text("CREATE TOPIC filled (id INT,\n  pad TEXT);\n" + "".join(
        f"INSERT INTO filled\n  VALUES ({i}, '{pad};');\n" for i in range(1500)) + "SELECT count(*) AS n FROM filled\n")
    done = shared_leat.cli("sql", "--pg", shared_leat.pg, "-f", str(path))
    assert done.stdout.count("INSERT 0 1") == 1500 and " 1500\n" in done.stdout


def test_an_error_names_the_line_of_the_file(shared_leat, tmp_path):
    path = tmp_path / "bad.sql"
    path.write_text("SELECT 1;\n\nSELECT\n  nothing;\nSELECT 2 AS never;\n")
    done = shared_leat.cli("sql", "--pg", shared_leat.pg, "-f", str(path), check=False)
    assert done.returncode == 1 and "LINE 4:   nothing" in done.stderr and "never" not in done.stdout
