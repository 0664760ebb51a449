# SPDX-License-Identifier: Apache-2.0
"""The house itself: what a newcomer types before anything runs."""
import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_make_help_names_every_target():
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("build", "run", "test", "soak", "asan", "tsan", "fuzz", "bench", "lint", "format", "clean"):
        assert re.search(rf"^  {target} +\S", text, re.M), target


def test_setup_is_silent_when_nothing_is_to_do():
    result = subprocess.run(["tools/setup", "test"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "" and result.stderr == ""


def test_setup_refuses_unknown_profile():
    result = subprocess.run(["tools/setup", "everything"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "run|test" in result.stderr


def test_setup_without_root_prints_the_command(tmp_path):
    """An empty package database and no root: the command is shown, nothing is done."""
    for name, text in (("dpkg-query", "#!/bin/sh\nexit 0\n"), ("id", "#!/bin/sh\necho 1000\n"),
                       ("sudo", "#!/bin/sh\nexit 1\n"), ("apt-get", "#!/bin/sh\nexit 1\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    result = subprocess.run(["tools/setup", "run"], cwd=ROOT, capture_output=True, text=True, check=False,
                            stdin=subprocess.DEVNULL, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert result.returncode == 1
    assert "apt-get install --no-install-recommends" in result.stdout and "libuv1-dev" in result.stdout
