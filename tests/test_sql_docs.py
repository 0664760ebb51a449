# SPDX-License-Identifier: Apache-2.0
"""Every SQL block of docs/sql.md runs, in order, by psql."""
import re
import subprocess

from conftest import ROOT


def test_blocks_of_sql_md(shared_leat):
    with open(f"{ROOT}/docs/sql.md", encoding="utf-8") as file:
        blocks = re.findall(r"```sql\n(.*?)```", file.read(), re.S)
    assert len(blocks) > 10
    host, port = shared_leat.pg.rsplit(":", 1)
    for block in blocks:
        done = subprocess.run(["psql", "-X", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "leat", "leat"],
                              input=block, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
