# SPDX-License-Identifier: Apache-2.0
"""pgjdbc with its defaults: tests/java/JdbcClient.java has the checks."""
import os

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.parametrize("part", ["metadata", "types", "statements"])
def test_jdbc(shared_leat, part):
    if not shared_leat.sql("SELECT 1 FROM pg_class WHERE relname = 'scans'"):
        shared_leat.psql("-f", f"{HERE}/schema.sql")
    result = shared_leat.java("JdbcClient.java", shared_leat.pg, part, check=False)
    assert result.returncode == 0 and "not ok" not in result.stdout, result.stdout + result.stderr
    assert result.stdout.count("ok ") >= 9
