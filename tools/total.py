#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up the unit tests (Meson's JUnit file, a case per TAP line) and pytest's, tells where the time went, and ends
with "N passed, N failed, N skipped". Exit code 1 when anything failed or nothing ran at all."""
import json
import os
import sys
import xml.etree.ElementTree as ET


def cases(path):
    """Yields (suite, name, outcome, seconds) of a JUnit file."""
    for suite in ET.parse(path).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            kinds = {child.tag for child in case}
            outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
            yield suite.get("name", ""), case.get("name", ""), outcome, float(case.get("time") or 0)


def unit(folder, count, slow, bad):
    """Meson: its JUnit file has the single cases, its JSON log what a whole program came to."""
    log = f"{folder}/meson-logs/testlog.json"
    if not os.path.exists(log):
        return
    failed_in = {}
    for suite, name, outcome, _ in cases(f"{folder}/meson-logs/testlog.junit.xml"):
        # A program that printed no cases is one case itself, "leat / log", of the suite of the project.
        program = (name if " / " in name else suite.split(".")[-1]).split(" / ")[-1]
        count[outcome] += 1
        if outcome == "failed":
            failed_in[program] = True
            bad.append(f"{program}: {name}")
    with open(log, encoding="utf-8") as file:
        for line in file:
            test = json.loads(line)
            name = test["name"].split(" / ")[-1]
            slow.append((test["duration"], f"unit tests of {name}"))
            # A crash or a timeout may come without a failed case.
            if test["result"] not in ("OK", "SKIP", "EXPECTEDFAIL") and name not in failed_in:
                count["failed"] += 1
                bad.append(f"{name}: {test['result'].lower()}")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "build"
    count = {"passed": 0, "failed": 0, "skipped": 0}
    slow, bad = [], []
    unit(folder, count, slow, bad)
    if os.path.exists(f"{folder}/pytest.xml"):
        for suite, name, outcome, seconds in cases(f"{folder}/pytest.xml"):
            count[outcome] += 1
            slow.append((seconds, name))
            if outcome == "failed":
                bad.append(f"{suite}: {name}")
    print("\nSlowest:")
    for seconds, name in sorted(slow, reverse=True)[:8]:
        print(f"  {seconds:7.1f} s  {name}")
    for name in bad:
        print(f"FAILED  {name}")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if count["failed"] or not count["passed"] else 0


sys.exit(main())
