# SPDX-License-Identifier: Apache-2.0
"""Records that do not fit their topic: none is lost, each is seen once, and they can be played back."""
import conftest


def test_newest_row_of_each_of_many_keys():
    """Memory that the allocator filled with ones must not hide rows of a keyed topic's SELECT."""
    conftest.need_binary()
    leat = conftest.Leat(env={"MALLOC_PERTURB_": "90"}).start()
    try:
        leat.sql("CREATE TOPIC k (k TEXT PRIMARY KEY, n INT)")
        rows = 20000
        leat.sql(f"INSERT INTO k SELECT 'k' || i, i FROM range({rows}) r(i)")
        assert leat.sql("SELECT count(*), count(DISTINCT n) FROM k") == [(rows, rows)]
        assert leat.stop() == 0
        leat.check()
    finally:
        leat.done()
