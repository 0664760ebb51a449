# SPDX-License-Identifier: Apache-2.0
"""Every example in the documents runs, in order, one server a document.

A ```sql block goes to psql, a ```sh block to bash in a folder that has `build/leat` and `examples`. The addresses in the
text (127.0.0.1:9092 and so on) are put into those of the test's server, and each block of SQL waits for what was written
before it (leat.freshness = 'now'), as a person at a keyboard does. A ```text block right behind is what must come out; in
it "..." stands for anything, and a line with only "..." for any lines. Comments before a block say otherwise, never silently:

    <!-- not run: why -->                the block is shown only
    <!-- fails: part of the message -->  the block must fail and say this
    <!-- stops after 2 s -->             the block runs for ever; Ctrl-C ends it then

Other languages (json, text) are no commands. Anything else fails the test.
"""
import glob
import os
import re
import signal
import subprocess

import pytest

from conftest import BINARY, PATIENCE_S, ROOT

DOCUMENTS = {  # how many blocks must run at least: an edit of the pattern below must not lose them
    "README.md": 4,
    "docs/quickstart.md": 13,
    "docs/sql.md": 14,
    "docs/streaming.md": 9,
    "docs/dashboards.md": 4,
    "docs/kafka.md": 3,
    "docs/postgres.md": 5,
    "docs/http.md": 5,
    "docs/operations.md": 4,
    "docs/generate.md": 1,
    "examples/packscan/README.md": 5,
}
SHOWN = {"json", "text", "c", ""}
NEVER_ENDS = PATIENCE_S


class Block:
    def __init__(self, language, line, text, note):
        self.language, self.line, self.text, self.note = language, line, text, note
        self.expected = None

    def noted(self, word):
        match = re.match(rf"{word}:? *(.*)", self.note or "")
        return match and match.group(1)


def blocks_of(path):
    blocks, language, body, note, start, before = [], None, [], None, 0, None
    with open(f"{ROOT}/{path}", encoding="utf-8") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        fence = re.fullmatch(r"(`{3,})(.*)", line)
        if language is None and fence:
            language, body, start = fence.group(2).strip(), [], number
        elif language is not None and line == "```":
            block = Block(language, start, "\n".join(body) + "\n", note)
            if language == "text" and before is not None:
                before.expected = block.text
            blocks.append(block)
            before = block if language in ("sql", "sh") else None
            language, note = None, None
        elif language is not None:
            body.append(line)
        elif re.fullmatch(r"<!-- (.*) -->", line):
            note = line[5:-4]
        elif line.strip():
            note, before = None, None
    assert language is None, f"{path}:{start}: the block does not end"
    return blocks


def pattern_of(expected):
    parts = []
    for line in expected.split("\n"):
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        elif line.strip():
            parts.append(r".*?".join(re.escape(piece) for piece in line.rstrip().split("...")) + r"\n")
    return "".join(parts)


def tidy(output):
    return "".join(f"{line.rstrip()}\n" for line in output.split("\n") if line.strip())


class Reader:
    """Somebody who types what the document says."""

    def __init__(self, leat, folder):
        self.leat, self.folder = leat, folder
        os.makedirs(f"{folder}/build")
        os.symlink(BINARY, f"{folder}/build/leat")
        os.symlink(f"{ROOT}/examples", f"{folder}/examples")
        self.env = {**os.environ, "LEAT_PG": leat.pg, "LEAT_HTTP": leat.http, "PGCONNECT_TIMEOUT": "10"}

    def addressed(self, text):
        pg_port = self.leat.pg.rsplit(":", 1)[1]
        for old, new in (("127.0.0.1:9092", self.leat.kafka), ("127.0.0.1:5433", self.leat.pg),
                         ("127.0.0.1:8080", self.leat.http), ("-p 5433", f"-p {pg_port}"),
                         ("port=5433", f"port={pg_port}"), ("leat-data", self.leat.data)):
            text = text.replace(old, new)
        return text

    def run(self, block):
        text = self.addressed(block.text)
        if block.language == "sql":
            host, port = self.leat.pg.rsplit(":", 1)
            command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "leat", "leat"]
            text = f"SET leat.freshness = 'now';\n{text}"
        else:
            command = ["bash", "-eu", "-o", "pipefail"]
        # Input stays behind the shell as a file, so that a command in it cannot eat the rest.
        path = f"{self.folder}/.block"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        command += ["-f", path] if block.language == "sql" else [path]
        stop_s = block.noted("stops after")
        if not stop_s:
            return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=NEVER_ENDS, check=False)
        seconds = float(stop_s.split()[0])
        done = self.run_until(command, seconds)
        return done if done.stdout.strip() or done.returncode is not None else self.run_until(command, 15 * seconds)

    def run_until(self, command, seconds):
        """Ctrl-C after @seconds; return code None when it ran till then. psql writes its buffer only at the end."""
        process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # ignored in what a shell runs with &
        try:
            out, err = process.communicate(timeout=seconds)
            return subprocess.CompletedProcess(command, process.returncode, out, err)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=NEVER_ENDS)
            return subprocess.CompletedProcess(command, None, out, err)


def check(reader, path, block):
    place = f"{path}:{block.line}"
    why_not = block.noted("not run")
    assert why_not is None or len(why_not) > 5, f"{place}: say why it is not run"
    if why_not is not None:
        return False
    done = reader.run(block)
    told = f"{place}\n{block.text}\n--- exit code {done.returncode}\n{done.stdout}\n--- standard error\n{done.stderr}"
    fails = block.noted("fails")
    if fails is not None:
        assert done.returncode != 0 and fails and fails in done.stdout + done.stderr, told
    elif block.noted("stops after") is None:
        assert done.returncode == 0, told
    else:
        assert done.returncode is None and done.stdout.strip(), f"it ended by itself, or showed nothing\n{told}"
    if block.expected is not None:
        output = done.stdout if fails is None else done.stdout + re.sub(r"psql:\S+?:\d+: ", "", done.stderr)
        assert re.fullmatch(pattern_of(reader.addressed(block.expected)), tidy(output)), f"not as the document says\n{told}"
    return True


@pytest.mark.parametrize("path", DOCUMENTS)
def test_examples(path, leat, tmp_path):
    reader = Reader(leat, str(tmp_path))
    ran = 0
    for block in blocks_of(path):
        assert block.language in SHOWN | {"sql", "sh"}, f"{path}:{block.line}: what language is \"{block.language}\"?"
        if block.language in ("sql", "sh"):
            ran += check(reader, path, block)
    assert ran >= DOCUMENTS[path], f"{path}: only {ran} blocks were run"


def all_documents():
    return [os.path.relpath(path, ROOT) for pattern in ("*.md", "docs/*.md", "examples/*/*.md")
            for path in sorted(glob.glob(f"{ROOT}/{pattern}"))]


def test_no_document_is_forgotten():
    for path in all_documents():
        examples = [block for block in blocks_of(path) if block.language in ("sql", "sh")]
        assert not examples or path in DOCUMENTS, f"{path}: its examples are not run; add it to DOCUMENTS"


def test_links_lead_somewhere():
    """Links between documents, and to places in the tree."""
    for path in all_documents():
        with open(f"{ROOT}/{path}", encoding="utf-8") as file:
            text = re.sub(r"```.*?```", "", file.read(), flags=re.S)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|srcset)=\"([^\"]+)\"", text):
            target = target[0] or target[1]
            if not re.match(r"https?:|mailto:", target):
                assert os.path.exists(os.path.join(ROOT, os.path.dirname(path), target)), f"{path}: {target} is not there"


def test_generated_documents_are_up_to_date():
    subprocess.run([f"{ROOT}/tools/gen-docs", "--check"], check=True)
