# SPDX-License-Identifier: Apache-2.0
"""What docs/sql.md says of JSON records, value by value, as SELECT, views and the quarantine see it."""
import conftest  # noqa: F401

TYPES = {"i": "INT", "b": "BIGINT", "h": "HUGEINT", "d": "NUMERIC(10,2)", "f": "DOUBLE PRECISION", "r": "REAL", "o": "BOOLEAN",
         "s": "TEXT", "y": "BYTEA", "z": "TIMESTAMPTZ", "t": "TIMESTAMP", "a": "DATE", "m": "TIME", "v": "INTERVAL", "u": "UUID",
         "l": "INT[]", "c": "STRUCT(x INT, y TEXT)"}

# (column, the value as it is written, its text) or (column, the value, "! part of the reason"); None is NULL.
VALUES = [
    ("i", "1", "1"), ("i", "-0", "0"), ("i", "5.0", "5"), ("i", "5e2", "500"), ("i", "2147483647", "2147483647"),
    ("i", "null", None), ("i", "2147483648", "! out of range"), ("i", "5.5", "! has a fraction"),
    ("i", '"5"', "! is a string, not a number"), ("i", "true", "! is not a number"), ("i", "[5]", "! does not fit"),
    ("i", "05", "! is not a number"), ("i", "1e400", "! out of range"), ("i", "NaN", "! is not a number"),
    ("b", "9223372036854775807", "9223372036854775807"), ("b", "9223372036854775808", "! out of range"),
    ("b", "1e18", "1000000000000000000"), ("b", "9007199254740993", "9007199254740993"),
    ("h", "170141183460469231731687303715884105727", "170141183460469231731687303715884105727"),
    ("h", "1" + "0" * 60, "! out of range"), ("h", "0." + "1" * 5000, "! has a fraction"),
    ("d", "12345678.9", "12345678.90"), ("d", "1.005", "! more digits behind the point"), ("d", "123456789", "! out of range"),
    ("d", "1.10000", "1.10"), ("d", '"1.5"', "! is a string, not a number"),
    ("f", "0.1", "0.1"), ("f", '"NaN"', "nan"), ("f", '"Infinity"', "inf"), ("f", '"infinity"', "! is a string"),
    ("f", "1e309", "! out of range"), ("f", "1e-400", "0.0"), ("r", "1e39", "! out of range"), ("r", "1.5", "1.5"),
    ("o", "true", "true"), ("o", "false", "false"), ("o", "1", "! is not true or false"), ("o", '"true"', "! is not true or false"),
    ("s", '""', ""), ("s", '"a"', "a"), ("s", "5", "5"), ("s", "5.50", "5.50"), ("s", "1e999", "1e999"), ("s", "true", "true"),
    ("s", '{"a": [1, 2]}', '{"a": [1, 2]}'), ("s", '"\\u00e9\\ud83d\\ude00"', "é😀"), ("s", '"\\u0000"', "! TEXT cannot hold"),
    ("s", '"\\ud800"', "! surrogate"), ("s", "null", None), ("s", '"\t"', "! control character"),
    ("y", '"AP8="', r"\x00\xFF"), ("y", '"***"', "! base64"),
    ("z", '"2026-11-24T10:00:00Z"', "2026-11-24 10:00:00+00"), ("z", '"2026-11-24T10:00:00"', "2026-11-24 10:00:00+00"),
    ("z", '"2026-11-24T10:00:00+05:30"', "2026-11-24 04:30:00+00"), ("z", '"2026-11-24 10:00:00.1234567"', "2026-11-24 10:00:00.123456+00"),
    ("z", '"2026-11-24"', "2026-11-24 00:00:00+00"), ("z", "1764021295123", "2025-11-24 21:54:55.123+00"),
    ("z", "-1", "1969-12-31 23:59:59.999+00"), ("z", "1764021295123.456", "2025-11-24 21:54:55.123456+00"),
    ("z", "1764021295123.4567", "! more than microseconds"), ("z", '"infinity"', "! is no ISO 8601 time"),
    ("z", '"1764021295123"', "! is no ISO 8601 time"), ("z", '"2026-02-30T00:00:00Z"', "! is no ISO 8601 time"),
    ("z", '"2026-11-24T24:00:00Z"', "2026-11-25 00:00:00+00"), ("z", '"2026-11-24T10:00:60Z"', "! is no ISO 8601 time"),
    ("z", '"yesterday"', "! is no ISO 8601 time"), ("z", "true", "! is not a number"), ("z", "1e300", "! out of range"),
    ("t", '"2026-11-24T10:00:00+02:00"', "2026-11-24 08:00:00"), ("t", "0", "1970-01-01 00:00:00"),
    ("a", '"2026-11-24"', "2026-11-24"), ("a", '"0001-01-01"', "0001-01-01"), ("a", '"9999-12-31"', "9999-12-31"),
    ("a", '"2026-11-31"', "! is no date"), ("a", "20783", "! is no date"), ("a", '"2026-11-24T00:00:00Z"', "! is no date"),
    ("m", '"21:54:55.5"', "21:54:55.5"), ("m", '"25:00"', "! is no time of day"),
    ("v", '"1 day 02:03:04"', "1 day 02:03:04"), ("v", "5", "! is no interval"),
    ("u", '"5ab8c9b0-0000-4000-8000-000000000001"', "5ab8c9b0-0000-4000-8000-000000000001"), ("u", '"x"', "! UUID"),
    ("l", "[1,null,3]", "[1, NULL, 3]"), ("l", "[]", "[]"), ("l", '[1,"2"]', "! is a string, not a number"), ("l", "1", "! is no array"),
    ("c", '{"x":1,"z":2}', "{'x': 1, 'y': NULL}"), ("c", "[1]", "! is no object"), ("c", '{"x":"1"}', "! is a string"),
]

# Whole records: valid or the reason. Column k is NOT NULL.
RECORDS = [
    ('{"k":1}', None), ('{"k":1,"unknown":{"deep":[1,{"x":null}]}}', None), (' {\n "k" : 1 }\r\n', None), ('{"k":1,"k":2}', None),
    ('{"k":"x","k":2}', "is a string, not a number"), ('{"k":2,"k":null}', "k is NOT NULL"), ('{"K":1}', "k is NOT NULL"),
    ("{}", "k is NOT NULL"), ('{"k":null}', "k is NOT NULL"), ("[1]", "no JSON object"), ("1", "no JSON object"), ("null", "no JSON object"),
    ('{"k":1', "ends too early"), ('{"k":1}}', "syntax error at byte 8"), ('{"k":1,}', "syntax error"), ("{'k':1}", "syntax error"),
    ('{"k":1} {"k":2}', "syntax error"), ('{"k":1,"x":' + "[" * 100 + "]" * 100 + "}", None),
    ('{"k":1,"x":' + "[" * 200 + "]" * 200 + "}", "nested more than 128 deep"), (" ", "empty"),
    (b'{"k":1,"x":"\xff"}', "not UTF-8"), (b'\xef\xbb\xbf{"k":1}', "no JSON object"), (b"", "the value is empty"),
    (None, "the value is NULL"),
]


def send(leat, topic, values):
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": leat.kafka})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def check(leat, topic, want_bad):
    """SELECT, a view and the quarantine agree on which offsets are invalid, and why."""
    leat.sql(f"CREATE MATERIALIZED VIEW seen_{topic} AS SELECT kafka_offset AS o, count(*) AS n FROM {topic} GROUP BY kafka_offset")
    leat.sql("SET leat.freshness = 'now'")
    seen = leat.sql(f"SELECT o FROM seen_{topic} ORDER BY 1")
    assert seen == leat.sql(f"SELECT kafka_offset FROM {topic} ORDER BY 1")
    reasons = dict(leat.sql(f'SELECT "offset", reason FROM "{topic}$quarantine"'))
    wrong = [(offset, want, reasons.get(offset)) for offset, want in want_bad.items() if want not in (reasons.get(offset) or "")]
    assert not wrong, wrong
    assert set(reasons) == set(want_bad), sorted(set(reasons) ^ set(want_bad))
    assert not {offset for offset, in seen} & set(reasons)


def test_values(leat):
    leat.sql(f"CREATE TOPIC j ({', '.join(f'{name} {kind}' for name, kind in TYPES.items())})")
    send(leat, "j", [f'{{"{column}":{value}}}' for column, value, _ in VALUES])
    check(leat, "j", {i: want[2:] for i, (_, _, want) in enumerate(VALUES) if want is not None and want.startswith("! ")})
    got = {row[0]: row[1:] for row in leat.sql(f"SELECT kafka_offset, {', '.join(f'{name}::TEXT' for name in TYPES)} FROM j")}
    wrong = [(VALUES[i], got[i]) for i, (column, _, want) in enumerate(VALUES)
             if not (want or "").startswith("! ") and got[i] != tuple(want if name == column else None for name in TYPES)]
    assert not wrong, wrong


def test_records(leat):
    leat.sql("CREATE TOPIC r (k INT NOT NULL)")
    send(leat, "r", [value for value, _ in RECORDS])
    check(leat, "r", {i: want for i, (_, want) in enumerate(RECORDS) if want is not None})


def test_altered_columns_mean_the_same_to_all(leat):
    """A column that is added makes no record invalid; what would change what views have counted is refused."""
    leat.sql("CREATE TOPIC t (n INT)")
    send(leat, "t", ['{"n":1,"x":"5"}', '{"n":2,"x":5}', '{"n":"x","x":6}'])
    leat.sql("CREATE MATERIALIZED VIEW before AS SELECT count(*) AS c, sum(n) AS n FROM t")
    leat.sql("ALTER TOPIC t ADD COLUMN x INT")
    leat.sql("CREATE MATERIALIZED VIEW after AS SELECT count(*) AS c, sum(n) AS n, sum(x) AS x FROM t")
    leat.sql("SET leat.freshness = 'now'")
    send(leat, "t", ['{"n":4,"x":{}}'])
    assert leat.sql("SELECT c, n FROM before") == leat.sql("SELECT c, n FROM after") == [(3, 7)]
    assert leat.sql("SELECT x FROM after") == [(5,)]
    assert leat.sql("SELECT n, x FROM t ORDER BY 1") == [(1, None), (2, 5), (4, None)]
    assert leat.sql('SELECT "offset" FROM "t$quarantine"') == [(2,)]
    for change in ("DROP COLUMN n", "RENAME COLUMN n TO m"):
        try:
            leat.sql(f"ALTER TOPIC t {change}")
        except Exception as error:  # pylint: disable=broad-except
            assert error.sqlstate == "2BP01", error
        else:
            raise AssertionError(f"{change} was accepted")
    leat.sql("DROP MATERIALIZED VIEW before")
    leat.sql("DROP MATERIALIZED VIEW after")
    # No view reads it now: a new view and a SELECT both go by the columns of today.
    leat.sql("ALTER TOPIC t DROP COLUMN n")
    leat.sql("CREATE MATERIALIZED VIEW later AS SELECT count(*) AS c, sum(x) AS x FROM t")
    assert leat.sql("SELECT c, x FROM later") == leat.sql("SELECT count(*), sum(x) FROM t") == [(4, 11)]
