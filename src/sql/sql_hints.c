/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: functions, types and columns that users of other systems know, and what does the same here. */
#include <strings.h>

#include "sql_int.h"

struct hint {
        const char *name, *hint;
};

#define NOW "now() is the time of the statement."
#define ADDRESS "Use TEXT."
#define RANGE "Use two columns, and BETWEEN."
#define PLACE "kafka_partition and kafka_offset tell a record's place in its topic."
#define NO_SEQUENCE "gen_random_uuid() gives unique values; kafka_offset numbers the records of a partition."
#define NO_SEARCH "Write it with ILIKE or regexp_matches(text, pattern)."
#define FORMAT_TIME "Write strftime(time, '%Y-%m-%d %H:%M:%S')."
#define PARSE_TIME "Write strptime(text, '%Y-%m-%d %H:%M:%S'); ISO 8601 is read by CAST(text AS TIMESTAMPTZ)."
#define ELEMENTS "Write json_each(value) in FROM, or unnest(CAST(value AS JSON[]))."
#define JSON_LIST "Write to_json(array_agg(x))."
#define BYTES \
        "hex(b) and base64(b) give TEXT; unhex(t) and from_base64(t) give BYTEA; encode(t), decode(b) go by UTF-8."
#define WINDOW_COLUMNS "Write FROM tumble(relation, time, INTERVAL '10 seconds'): it adds window_start and window_end."
#define CANCEL "Ctrl-C in psql cancels a statement; SET statement_timeout limits it."

static const struct hint functions[] = {
        {"to_char", "Write strftime(time, '%Y-%m-%d %H:%M:%S') for a time, format('{:.2f}', x) for a number."},
        {"to_date", "Write strptime(text, '%Y-%m-%d')::DATE; ISO 8601 is read by CAST(text AS DATE)."},
        {"to_timestamp", PARSE_TIME},
        {"to_number", "Write CAST(text AS NUMERIC(18, 2))."},
        {"date_bin", "Write time_bucket(INTERVAL '10 seconds', time)."},
        {"date_trunc", "Write date_trunc('day', time AT TIME ZONE 'Europe/Berlin')."},
        {"clock_timestamp", NOW},
        {"statement_timestamp", NOW},
        {"timeofday", NOW},
        {"make_interval", "Write INTERVAL '1 day', to_hours(n), to_minutes(n) or to_seconds(n)."},
        {"initcap", "Write upper(left(x, 1)) || lower(substring(x, 2))."},
        {"overlay", "Write left(x, n - 1) || new || substring(x, m)."},
        {"regexp_match", "Write regexp_extract(text, pattern, group)."},
        {"json_agg", JSON_LIST},
        {"jsonb_agg", JSON_LIST},
        {"json_object_agg", "Write json_group_object(key, value)."},
        {"jsonb_object_agg", "Write json_group_object(key, value)."},
        {"json_array_elements", ELEMENTS},
        {"jsonb_array_elements", ELEMENTS},
        {"json_array_elements_text", ELEMENTS},
        {"jsonb_array_elements_text", ELEMENTS},
        {"jsonb_each", "Write json_each(value) in FROM."},
        {"json_typeof", "Write json_type(value)."},
        {"jsonb_typeof", "Write json_type(value)."},
        {"jsonb_set", "Write json_merge_patch(value, '{\"a\": 1}')."},
        {"jsonb_array_length", "Write json_array_length(value)."},
        {"jsonb_extract_path_text", "Write value->>'$.a.b'."},
        {"json_extract_path_text", "Write value->>'$.a.b'."},
        {"octet_length", "strlen(text) counts the bytes of a TEXT."},
        {"encode", BYTES},
        {"decode", BYTES},
        {"div", "Write a // b."},
        {"width_bucket", "Write floor((x - low) / width)."},
        {"to_tsvector", NO_SEARCH},
        {"to_tsquery", NO_SEARCH},
        {"plainto_tsquery", NO_SEARCH},
        {"pg_cancel_backend", CANCEL},
        {"pg_terminate_backend", CANCEL},
        {"pg_sleep",
         "psql's \\watch repeats a query; SET leat.freshness = 'now' waits for what was acknowledged before."},
        {"pg_notify", "COPY (SUBSCRIBE TO view) TO STDOUT tells of changes."},
        {"nextval", NO_SEQUENCE},
        {"currval", NO_SEQUENCE},
        {"lastval", NO_SEQUENCE},
        {"setval", NO_SEQUENCE},
        {"setseed", "hash(x) gives a number that stays the same."},
        {"date_format", FORMAT_TIME},
        {"timestamptostring", FORMAT_TIME},
        {"format_timestamp", FORMAT_TIME},
        {"from_unixtime", "Write to_timestamp(seconds)."},
        {"unix_timestamp", "Write epoch(time)."},
        {"stringtotimestamp", PARSE_TIME},
        {"str_to_date", PARSE_TIME},
        {"collect_list", "Write array_agg(x)."},
        {"collect_set", "Write array_agg(DISTINCT x)."},
        {"listagg", "Write string_agg(x, ', ')."},
        {"group_concat", "Write string_agg(x, ', ')."},
        {"latest_by_offset", "Write arg_max(x, kafka_offset)."},
        {"earliest_by_offset", "Write arg_min(x, kafka_offset)."},
        {"extractjsonfield", "Write value->>'$.a.b'."},
        {"json_value", "Write value->>'$.a.b'."},
        {"tumble_start", WINDOW_COLUMNS},
        {"tumble_end", WINDOW_COLUMNS},
        {"hop_start", WINDOW_COLUMNS},
        {"hop_end", WINDOW_COLUMNS},
        {"current_watermark", "SHOW PARTITIONS tells the watermarks."},
        {"crosstab", "Write it as SELECT with FILTER on the aggregates."},
};
static const struct hint types[] = {
        {"inet", ADDRESS},
        {"cidr", ADDRESS},
        {"macaddr", ADDRESS},
        {"money", "Use NUMERIC(18, 2)."},
        {"serial", NO_SEQUENCE},
        {"bigserial", NO_SEQUENCE},
        {"smallserial", NO_SEQUENCE},
        {"xml", "Use TEXT."},
        {"tsvector", NO_SEARCH},
        {"tsquery", NO_SEARCH},
        {"point", "Use two columns, or STRUCT(x DOUBLE, y DOUBLE)."},
        {"int4range", RANGE},
        {"int8range", RANGE},
        {"numrange", RANGE},
        {"daterange", RANGE},
        {"tsrange", RANGE},
        {"tstzrange", RANGE},
};
static const struct hint columns[] = {
        {"xmin", PLACE},
        {"ctid", PLACE},
        {"tableoid", PLACE},
        {"rowtime", "The time of a record is kafka_timestamp, or the column that you declared."},
        {"rowkey", "The key of a record is kafka_key."},
        {"rowpartition", PLACE},
        {"rowoffset", PLACE},
        {"_timestamp", "The time of a record is kafka_timestamp."},
        {"_key", "The key of a record is kafka_key."},
        {"_value",
         "The whole record is `value` while the topic has no columns; a column of the JSON field is declared."},
};

static const char *look_up(const struct hint *list, size_t count, const char *name, size_t len)
{
        for (size_t i = 0; i < count; i++)
                if (strncasecmp(list[i].name, name, len) == 0 && list[i].name[len] == 0)
                        return list[i].hint;
        return NULL;
}

const char *leat_sql_hint_function(const char *name)
{
        return look_up(functions, LEAT_ARRAY_LEN(functions), name, strlen(name));
}

/* The name in @text between @before and the first of the characters @ends; false when there is none. */
static bool cut(const char *text, const char *before, const char *ends, const char **ret_name, size_t *ret_len)
{
        size_t skip = strlen(before);
        if (strncmp(text, before, skip) != 0)
                return false;
        *ret_name = text + skip;
        *ret_len = strcspn(text + skip, ends);
        return *ret_len != 0;
}

const char *leat_sql_hint_message(const char *message)
{
        const char *name;
        size_t len;
        if (cut(message, "function ", " (", &name, &len) ||
            cut(message, "No function matches the given name and argument types '", "(", &name, &len) ||
            cut(message, "Could not choose a best candidate function for the function call \"", "(", &name, &len))
                return look_up(functions, LEAT_ARRAY_LEN(functions), name, len);
        if (cut(message, "type ", " ", &name, &len))
                return look_up(types, LEAT_ARRAY_LEN(types), name, len);
        if (cut(message, "column \"", "\"", &name, &len))
                return look_up(columns, LEAT_ARRAY_LEN(columns), name, len);
        if (strncmp(message, "Cardinality can only operate on MAPs", 36) == 0)
                return "len(list) tells the length of a list.";
        return NULL;
}
