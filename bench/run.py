# SPDX-License-Identifier: Apache-2.0
"""`make bench`: runs the parts one after the other and ends with one table.

A part that fails says why and the others go on; the exit code then is 1. Ctrl-C ends what runs, deletes its data and still
prints what was measured.
"""
import argparse
import fcntl
import fnmatch
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
import report  # noqa: E402

# Those that suffer most from a warm machine and its neighbours come first.
PARTS = ("flatout", "latency", "count", "produce", "upserts", "generator", "memory", "start")
PART_S = 900  # a part that takes longer hangs


def modules():
    """The programs of src/<mod>/bench, by target."""
    listed = subprocess.run(["ninja", "-C", lib.BUILD, "-t", "targets", "all"], capture_output=True, text=True, check=True).stdout
    names = [line.split(":")[0] for line in listed.splitlines()]
    return sorted(name for name in names if fnmatch.fnmatch(name, "src/*/bench_*") and "." not in name)


def module_run(target):
    """A module's own bench prints what it measures; it has no row in the table."""
    print(f"== {target}", flush=True)
    arguments = [f"{lib.PACKSCAN}/generate.json"] if target.endswith("bench_generate") else []
    process = lib.spawn([lib.build(target), *arguments], env={"LEAT_BENCH_DATA": lib.DATA})
    process.wait(PART_S)
    lib.end(process)
    return process.returncode == 0


def too_long(*_):
    raise lib.BenchError(f"takes longer than {PART_S} s")


def part_run(name, out):
    """True when the part has no fault."""
    part = importlib.import_module(f"parts.{name}")
    print(f"\n== {name}: {part.__doc__.splitlines()[0]}", flush=True)
    begun, others, failed = time.monotonic(), lib.Others(), ""
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(PART_S)
    out.peer_failed = False
    try:
        part.measure(out)
        failed = "peer failed" if out.peer_failed else ""
    except lib.Skipped as reason:
        failed = "skipped"
        out.note(f"{name}: skipped: {reason}")
    except KeyboardInterrupt:
        failed = "stopped"
        raise
    except lib.BenchError as error:
        failed = "failed"
        out.note(f"{name}: failed: {error}")
    except Exception:  # pylint: disable=broad-except
        failed = "failed"
        out.note(f"{name}: failed: {traceback.format_exc().strip()}")
    finally:
        signal.alarm(0)
        lib.end_all()
        out.part(name, time.monotonic() - begun, others.cores(), failed)
        shutil.rmtree(lib.DATA, ignore_errors=True)
    return failed in ("", "skipped")


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures Leat and its peers on this machine.")
    parser.add_argument("part", nargs="?", default="", help="only parts with this in their name: " + ", ".join(PARTS)
                        + "; or a module's own bench: src/log, src/state ...")
    parser.add_argument("--runs", type=int, default=int(os.environ.get("BENCH_RUNS") or 5), help="runs of each figure (5)")
    parser.add_argument("--markdown", metavar="FILE", default=os.environ.get("BENCH_MARKDOWN"), help="writes the table to FILE too")
    return parser.parse_args()


def write_markdown(path, out):
    with open(path, "w", encoding="utf-8") as f:
        f.write("# Results\n\nOne run of `make bench`; [README](README.md) says how each figure is taken and how to read the table.\n\n"
                + out.text() + "\n")


def main():
    todo = arguments()
    os.makedirs(os.path.dirname(lib.DATA), exist_ok=True)
    with open(f"{lib.DATA}.lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"a benchmark that uses {lib.DATA} runs already", file=sys.stderr)
            return 2
        return measure_all(todo)


def measure_all(todo):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it otherwise
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    shutil.rmtree(lib.DATA, ignore_errors=True)
    parts = [name for name in PARTS if todo.part in name]
    programs = [] if parts else [target for target in modules() if todo.part in target]
    if not parts and not programs:
        print(f"there is no part and no program with \"{todo.part}\" in its name; parts: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    out, right, begun = report.Report(todo.runs), True, time.monotonic()
    print("machine:", report.machine(), flush=True)
    try:
        for program in programs:
            right = module_run(program) and right
        for name in parts:
            right = part_run(name, out) and right
    except KeyboardInterrupt:
        right = False
        out.note("stopped by hand: what follows the last part was not measured")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        lib.end_all()
        shutil.rmtree(lib.DATA, ignore_errors=True)
    if parts:
        print(f"\n{out.text()}\n\n{time.monotonic() - begun:.0f} s in all")
        if todo.markdown:
            write_markdown(todo.markdown, out)
    return 0 if right else 1


sys.exit(main())
