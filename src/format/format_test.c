/* SPDX-License-Identifier: Apache-2.0 */
/* leat/format: whole records: JSON rules, keys, raw topics, headers, encoding, and jansson as a second opinion. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "format_int.h"
#include "leat/catalog.h"
#include "leat/test.h"

struct fixture {
        struct leat_arena *arena;
        struct leat_topic_def def;
        struct leat_format *format;
        struct leat_error err;
        const char *names[32];
        uint32_t wanted;
};

/* @columns: "name type [not null], ..."; @keys of them, from the first, are the primary key. All columns wanted. */
static void open_fixture(struct fixture *f, const char *columns, uint32_t keys)
{
        memset(f, 0, sizeof *f);
        f->arena = leat_arena_new(0);
        struct leat_column_def *defs = leat_arena_zalloc(f->arena, 32 * sizeof *defs);
        uint32_t *key = leat_arena_zalloc(f->arena, 32 * sizeof *key);
        char *text = leat_arena_strdup(f->arena, columns), *save;
        for (char *part = strtok_r(text, ";", &save); part != NULL; part = strtok_r(NULL, ";", &save)) {
                struct leat_column_def *d = &defs[f->def.column_count];
                part += strspn(part, " ");
                size_t len = strcspn(part, " ");
                char *type = part + len + 1, *not_null = strstr(type, " not null");
                d->name = leat_arena_strndup(f->arena, part, len);
                if (not_null != NULL) {
                        d->not_null = true;
                        *not_null = '\0';
                }
                CHECK_OK(leat_type_parse(f->arena, leat_view_str(type), &d->type, &f->err), &f->err);
                key[f->def.column_count] = f->def.column_count;
                f->names[f->def.column_count++] = d->name;
        }
        f->def.columns = defs;
        f->def.format = LEAT_FORMAT_JSON;
        f->def.keys = key;
        f->def.key_count = keys;
        f->wanted = f->def.column_count;
        CHECK_OK(leat_format_open(&f->def, f->names, f->wanted, &f->format, &f->err), &f->err);
}

static void close_fixture(struct fixture *f)
{
        leat_format_close(f->format);
        leat_arena_free(f->arena);
}

/* A record whose value stands at the very end of its memory, so that reading on is found by ASan. */
static struct leat_record record_of(struct fixture *f, const char *key, const char *value)
{
        struct leat_record r = {.offset = 7, .partition = 3, .timestamp_ms = 1764021295123};
        if (key != NULL)
                r.key = leat_view_str(leat_arena_strdup(f->arena, key));
        if (value != NULL) {
                char *copy = leat_arena_alloc(f->arena, strlen(value) + (*value == '\0'));
                memcpy(copy, value, strlen(value));
                r.value = leat_view_of(copy, strlen(value));
        }
        return r;
}

static void print_row(const struct leat_batch *batch, uint32_t row, struct leat_buf *out)
{
        for (uint32_t i = 0; i < batch->column_count; i++) {
                if (i != 0)
                        leat_buf_u8(out, '|');
                if (!leat_column_print(&batch->columns[i], row, out))
                        leat_buf_add_str(out, "\\N");
        }
}

/* Decodes one record; @want is the row, or "! column: part of the reason" ("! -: " for the whole record). */
static void check_keyed(struct fixture *f, const char *key, const char *value, const char *want)
{
        struct leat_record record = record_of(f, key, value);
        struct leat_format_rows rows;
        struct leat_buf out = LEAT_BUF_INIT;
        leat_format_reset(f->format);
        leat_format_decode(f->format, &record, 1);
        leat_format_rows(f->format, &rows);
        CHECK_INT(rows.record_count, 1);
        bool good = false;
        if (rows.invalid_count == 0) {
                CHECK_INT(rows.batch->rows, 1);
                if (rows.deleted != NULL && rows.deleted[0] & 1)
                        leat_buf_add_str(&out, "deleted ");
                print_row(rows.batch, 0, &out);
                good = strcmp(leat_buf_cstr(&out), want) == 0;
        } else {
                CHECK_INT(rows.batch->rows, 0);
                int32_t column = rows.invalids[0].column;
                leat_buf_printf(&out, "! %s: ", column < 0 ? "-" : f->def.columns[column].name);
                size_t len = out.len;
                leat_buf_add_str(&out, rows.invalids[0].reason);
                good = strlen(want) >= len && memcmp(want, out.data, len) == 0 &&
                       strstr(rows.invalids[0].reason, want + len) != NULL;
                CHECK_INT(rows.invalids[0].record.offset, 7);
        }
        if (!good)
                leat_test_fail(__FILE__, __LINE__, "%s gives %s, not %s", value != NULL ? value : "NULL",
                               leat_buf_cstr(&out), want);
        leat_buf_done(&out);
}

static void check(struct fixture *f, const char *value, const char *want)
{
        check_keyed(f, NULL, value, want);
}

LEAT_TEST(json_values)
{
        struct fixture f;
        open_fixture(&f, "id int not null; name text; amount decimal(10,2); at timestamptz; ok boolean; data bytea", 0);
        check(&f,
              "{\"id\":1,\"name\":\"x\",\"amount\":1.5,\"at\":\"2026-11-24T21:54:55Z\",\"ok\":true,\"data\":\"AP8=\"}",
              "1|x|1.50|2026-11-24 21:54:55+00|t|\\x00ff");
        check(&f, "{\"id\":1}", "1|\\N|\\N|\\N|\\N|\\N");
        check(&f, " { \"id\" : 1 , \"name\" : null , \"unknown\" : { \"a\" : [ 1 , { } ] } } ",
              "1|\\N|\\N|\\N|\\N|\\N");
        check(&f, "{\"ok\":false,\"name\":\"out of order\",\"id\":2}", "2|out of order|\\N|\\N|f|\\N");
        check(&f, "{\"id\":1,\"id\":2}", "2|\\N|\\N|\\N|\\N|\\N");
        check(&f, "{\"id\":1,\"Name\":\"case counts\"}", "1|\\N|\\N|\\N|\\N|\\N");
        check(&f, "{\"id\":1,\"name\":12.50}", "1|12.50|\\N|\\N|\\N|\\N");
        check(&f, "{\"id\":1,\"name\":true}", "1|true|\\N|\\N|\\N|\\N");
        check(&f, "{\"id\":1,\"name\":{ \"a\": [1, 2] } }", "1|{ \"a\": [1, 2] }|\\N|\\N|\\N|\\N");
        check(&f, "{\"id\":1,\"name\":[ ]}", "1|[ ]|\\N|\\N|\\N|\\N");
        check(&f, "{\"id\":1,\"name\":\"\"}", "1||\\N|\\N|\\N|\\N");
        check(&f, "{\"id\":1,\"name\":\"a\\n\\\"b\\\" \\u00e9\\ud83d\\ude00 and more\"}",
              "1|a\n\"b\" \xc3\xa9\xf0\x9f\x98\x80 and more|\\N|\\N|\\N|\\N");
        check(&f, "{\"i\\u0064\":1,\"name\":\"escaped member\"}", "1|escaped member|\\N|\\N|\\N|\\N");
        check(&f, "{\"id\":5.0}", "5|\\N|\\N|\\N|\\N|\\N");
        check(&f, "{\"id\":1,\"at\":1764021295123}", "1|\\N|\\N|2025-11-24 21:54:55.123+00|\\N|\\N");

        check(&f, "{\"id\":\"1\"}", "! id: \"1\" is a string, not a number (INTEGER)");
        check(&f, "{\"id\":1.5}", "! id: 1.5 has a fraction (INTEGER)");
        check(&f, "{\"id\":3000000000}", "! id: 3000000000 is out of range (INTEGER)");
        check(&f, "{\"id\":[1]}", "! id: [ (an array) does not fit");
        check(&f, "{\"id\":null}", "! id: id is NOT NULL");
        check(&f, "{}", "! id: id is NOT NULL");
        check(&f, "{\"id\":1,\"name\":\"a\\u0000b\"}", "! name: \\u0000");
        check(&f, "{\"id\":1,\"name\":\"\\ud800\"}", "! name: surrogate");
        check(&f, "{\"id\":1,\"name\":\"\\x\"}", "! name: unknown escape");
        check(&f, "{\"id\":1,\"name\":\"\\u12\"}", "! name: four hexadecimal digits");
        check(&f, "{\"id\":1,\"data\":\"***\"}", "! data: base64");
        check(&f, "{\"id\":1,\"data\":1}", "! data: base64");
        check(&f, "{\"id\":1,\"at\":\"yesterday\"}", "! at: \"yesterday\" is no ISO 8601 time (TIMESTAMPTZ)");
        check(&f, "{\"id\":1,\"ok\":\"true\"}", "! ok: is not true or false");
        close_fixture(&f);
}

LEAT_TEST(json_syntax)
{
        struct fixture f;
        open_fixture(&f, "id int", 0);
        check(&f, NULL, "! -: the value is NULL");
        check(&f, "", "! -: the value is empty");
        check(&f, "   ", "! -: empty");
        check(&f, "[1]", "! -: no JSON object: [1]");
        check(&f, "\"x\"", "! -: no JSON object");
        check(&f, "1", "! -: no JSON object");
        check(&f, "null", "! -: no JSON object");
        check(&f, "id=1", "! -: no JSON object: id=1");
        check(&f, "{\"id\":1", "! -: ends too early");
        check(&f, "{\"id\":1}}", "! -: syntax error at byte 9");
        check(&f, "{\"id\":1} {\"id\":2}", "! -: syntax error at byte 10");
        check(&f, "{\"id\" 1}", "! -: syntax error");
        check(&f, "{\"id\":1,}", "! -: syntax error");
        check(&f, "{,}", "! -: syntax error");
        check(&f, "{\"id\":}", "! id: syntax error");
        check(&f, "{\"id\":1 2}", "! -: syntax error");
        check(&f, "{\"x\":tru}", "! -: syntax error at byte 6");
        check(&f, "{\"x\":nul}", "! -: syntax error");
        check(&f, "{\"x\":01}", "! -: syntax error");
        check(&f, "{\"x\":\"\\q\"}", "! -: unknown escape");
        check(&f, "{\"x\":[1,]}", "! -: syntax error");
        check(&f, "{\"x\":[1}", "! -: syntax error");
        check(&f, "{\"x\":{\"a\"}}", "! -: syntax error");
        check(&f, "{\"x\":'a'}", "! -: syntax error");
        check(&f, "{x:1}", "! -: syntax error");
        check(&f, "{\"x\":\"open}", "! -: not closed");
        check(&f, "{\"x\":\"tab\there\"}", "! -: control character");
        check(&f, "{\"x\":\"\xff\"}", "! -: not UTF-8");
        check(&f, "{\"x\":\"\xed\xa0\x80\"}", "! -: not UTF-8");
        check(&f, "\xef\xbb\xbf{\"id\":1}", "! -: no JSON object");
        check(&f, "{\"id\":1}\n", "1");
        struct leat_buf deep = LEAT_BUF_INIT;
        leat_buf_add_str(&deep, "{\"x\":");
        for (int i = 0; i < 100000; i++)
                leat_buf_u8(&deep, '[');
        check(&f, leat_buf_cstr(&deep), "! -: nested more than 128 deep");
        leat_buf_done(&deep);
        close_fixture(&f);
}

LEAT_TEST(json_nested)
{
        struct fixture f;
        open_fixture(&f,
                     "tags text[]; grid int[][]; place struct(x int, note text, more struct(y int)); items struct(sku "
                     "text, n int)[]",
                     0);
        check(&f, "{\"tags\":[\"a\",null,\"c d\"],\"grid\":[[1,2],[],null,[3]]}",
              "{a,NULL,\"c d\"}|{{1,2},{},NULL,{3}}|\\N|\\N");
        check(&f, "{\"tags\":[],\"place\":{\"note\":\"n\",\"unknown\":[{}],\"x\":1}}", "{}|\\N|(1,n,)|\\N");
        check(&f, "{\"place\":{\"more\":{\"y\":5}},\"items\":[{\"sku\":\"s\",\"n\":1},{},null]}",
              "\\N|\\N|(,,\"(5)\")|{\"(s,1)\",\"(,)\",NULL}");
        check(&f, "{\"place\":{}}", "\\N|\\N|(,,)|\\N");
        check(&f, "{\"tags\":\"a\"}", "! tags: \"a\" is no array (VARCHAR[])");
        check(&f, "{\"grid\":[[1,\"x\"]]}", "! grid: \"x\" is a string, not a number (INTEGER)");
        check(&f, "{\"place\":[1]}", "! place: is no object");
        check(&f, "{\"place\":{\"x\":1.5}}", "! place: 1.5 has a fraction");
        check(&f, "{\"tags\":[1,2}", "! tags: syntax error");
        close_fixture(&f);
}

LEAT_TEST(json_text_key)
{
        struct fixture f;
        open_fixture(&f, "id text; name text; n int not null", 1);
        check_keyed(&f, "k1", "{\"name\":\"x\",\"n\":1}", "k1|x|1");
        check_keyed(&f, "k1", "{\"id\":\"k1\",\"name\":\"x\",\"n\":1}", "k1|x|1");
        check_keyed(&f, "k1", "{\"id\":\"k2\",\"n\":1}", "! id: the value has \"k2\", the key has \"k1\"");
        check_keyed(&f, "k1", "{\"id\":null,\"n\":1}", "! id: the value has null");
        check_keyed(&f, "k1", NULL, "deleted k1|\\N|\\N");
        check_keyed(&f, "k1", "", "! -: empty");
        check_keyed(&f, NULL, "{\"n\":1}", "! id: no key");
        check_keyed(&f, "", "{\"n\":1}", "|\\N|1");
        check_keyed(&f, "\xff", "{\"n\":1}", "! id: UTF-8");
        check_keyed(&f, "k1", "{}", "! n: n is NOT NULL");
        close_fixture(&f);
}

LEAT_TEST(json_object_key)
{
        struct fixture f;
        open_fixture(&f, "site text; day date; n int", 2);
        check_keyed(&f, "{\"site\":\"a\",\"day\":\"2026-01-01\"}", "{\"n\":1}", "a|2026-01-01|1");
        check_keyed(&f, "{\"day\":\"2026-01-01\",\"site\":\"a\",\"n\":\"ignored\"}", "{\"n\":1,\"day\":\"2026-01-01\"}",
                    "a|2026-01-01|1");
        check_keyed(&f, "{\"site\":\"a\",\"day\":\"2026-01-01\"}", "{\"n\":1,\"day\":\"2026-01-02\"}",
                    "! day: the value has");
        check_keyed(&f, "{\"site\":\"a\",\"day\":\"2026-01-01\"}", NULL, "deleted a|2026-01-01|\\N");
        check_keyed(&f, "{\"site\":\"a\"}", "{\"n\":1}", "! day: the key has no value for day");
        check_keyed(&f, "{\"site\":\"a\",\"day\":null}", "{\"n\":1}", "! day: the key has no value");
        check_keyed(&f, "{\"site\":\"a\",\"day\":1}", "{\"n\":1}", "! day: is no date");
        check_keyed(&f, "a", "{\"n\":1}", "! -: the key is no JSON object");
        check_keyed(&f, "", "{\"n\":1}", "! -: the key is empty");
        close_fixture(&f);
        open_fixture(&f, "id int; n int", 1);
        check_keyed(&f, "{\"id\":5}", "{\"id\":5,\"n\":1}", "5|1");
        check_keyed(&f, "{\"id\":5}", "{\"id\":6,\"n\":1}", "! id: the value has 6, the key has 5");
        check_keyed(&f, "5", "{\"n\":1}", "! -: the key is no JSON object");
        close_fixture(&f);
}

/* Fewer wanted columns, in another order, with kafka_*: the same records are valid. */
LEAT_TEST(json_wanted_columns)
{
        struct fixture f;
        open_fixture(&f, "id int not null; name text; tags text[]; n int", 0);
        struct leat_format *some;
        const char *names[] = {"kafka_offset",   "n", "kafka_headers", "name", "kafka_key", "kafka_partition",
                               "kafka_timestamp"};
        CHECK_OK(leat_format_open(&f.def, names, 7, &some, &f.err), &f.err);
        struct leat_record records[300];
        for (int i = 0; i < 300; i++) {
                records[i] = record_of(
                        &f, i % 2 ? "key" : NULL,
                        i % 10 == 3 ? "{\"id\":\"bad\",\"n\":1}"
                        : i % 10 == 4
                                ? "{\"id\":1,\"tags\":[1,true,{}],\"n\":null}"
                                : "{\"id\":1,\"tags\":[\"a\",\"b\"],\"n\":4,\"name\":\"long enough to be borrowed\"}");
                records[i].offset = i;
                records[i].headers = i % 3 ? leat_view_of("\x02\x02h\x04vv", 6)
                                           : leat_view_of("\x04\x02h\x01\x04"
                                                          "h2\x02v",
                                                          9);
        }
        for (int i = 0; i < 300; i += 7) /* in pieces: the batch grows under the rows */
                leat_format_decode(some, records + i, (uint32_t)LEAT_MIN(7, 300 - i));
        struct leat_format_rows rows;
        leat_format_rows(some, &rows);
        CHECK_INT(rows.record_count, 300);
        CHECK_INT(rows.invalid_count, 30);
        CHECK_INT(rows.batch->rows, 270);
        for (uint32_t row = 0; row < 270; row++) {
                struct leat_buf out = LEAT_BUF_INIT;
                uint32_t i = rows.records[row];
                CHECK_INT(((int64_t *)rows.batch->columns[0].data)[row], i);
                print_row(rows.batch, row, &out);
                char want[200];
                snprintf(want, sizeof want, "%u|%s|%s|%s|%s|3|2025-11-24 21:54:55.123+00", i, i % 10 == 4 ? "\\N" : "4",
                         i % 3 ? "{\"(h,\\\"\\\\\\\\x7676\\\")\"}" : "{\"(h,)\",\"(h2,\\\"\\\\\\\\x76\\\")\"}",
                         i % 10 == 4 ? "\\N" : "long enough to be borrowed", i % 2 ? "\\x6b6579" : "\\N");
                CHECK_STR(leat_buf_cstr(&out), want);
                leat_buf_done(&out);
        }
        for (uint32_t i = 0; i < 30; i++)
                CHECK_INT(rows.invalids[i].record.offset, i * 10 + 3);
        leat_format_close(some);
        struct leat_format *none = NULL;
        CHECK_INT(leat_format_open(&f.def, (const char *[]){"nope"}, 1, &none, &f.err), LEAT_ENOCOLUMN);
        CHECK_INT(leat_format_open(&f.def, (const char *[]){"kafka_value"}, 1, &none, &f.err), LEAT_ENOCOLUMN);
        CHECK_OK(leat_format_open(&f.def, NULL, 0, &none, &f.err), &f.err); /* only counting */
        leat_format_decode(none, records, 300);
        leat_format_rows(none, &rows);
        CHECK_INT(rows.batch->rows, 270);
        leat_format_close(none);
        close_fixture(&f);
}

LEAT_TEST(raw_values)
{
        struct leat_format *format;
        struct leat_error err;
        struct leat_format_rows rows;
        static const struct leat_record records[] = {
                {.value = {(const uint8_t *)"hello", 5}},
                {.value = {(const uint8_t *)"\xff\x00", 2}},
                {.value = {(const uint8_t *)"a\0b", 3}},
                {.value = {NULL, 0}},
                {.value = {(const uint8_t *)"", 0}},
                {.value = {(const uint8_t *)"not UTF-8 in the end \xc3", 22}, .timestamp_ms = -1},
        };
        static const char *const want[] = {"hello|\\x68656c6c6f|1970-01-01 00:00:00+00",
                                           "\\N|\\xff00|1970-01-01 00:00:00+00",
                                           "\\N|\\x610062|1970-01-01 00:00:00+00",
                                           "\\N|\\N|1970-01-01 00:00:00+00",
                                           "|\\x|1970-01-01 00:00:00+00",
                                           "\\N|\\x6e6f74205554462d3820696e2074686520656e6420c3|\\N"};
        CHECK_OK(leat_format_open(NULL, (const char *[]){"value", "kafka_value", "kafka_timestamp"}, 3, &format, &err),
                 &err);
        leat_format_decode(format, records, 6);
        leat_format_rows(format, &rows);
        CHECK_INT(rows.invalid_count, 0);
        CHECK_INT(rows.batch->rows, 6);
        for (uint32_t i = 0; i < 6; i++) {
                struct leat_buf out = LEAT_BUF_INIT;
                print_row(rows.batch, i, &out);
                CHECK_STR(leat_buf_cstr(&out), want[i]);
                leat_buf_done(&out);
        }
        leat_format_close(format);
}

/* What we write reads back to the same row, every type, NULLs too. */
LEAT_TEST(encode_round_trip)
{
        struct fixture f;
        open_fixture(
                &f,
                "id text; b boolean; i int; h hugeint; u ubigint; f real; d double; c decimal(38,10); t text; x bytea; "
                "dt date; tm time; ts timestamp; tz timestamptz; iv interval; uu uuid; l int[]; s struct(a int, b "
                "text[])",
                1);
        static const char *const values[] = {
                "{\"b\":true,\"i\":-5,\"h\":-170141183460469231731687303715884105728,\"u\":18446744073709551615,\"f\":"
                "0.1,"
                "\"d\":0.30000000000000004,\"c\":-1234567890123456789012345678.0123456789,\"t\":\"q\\\"\\n\xc3\xa9 "
                "longer than that\","
                "\"x\":\"AAH/\",\"dt\":\"0044-03-15 "
                "BC\",\"tm\":\"23:59:59.999999\",\"ts\":\"2026-11-24T21:54:55.000001\","
                "\"tz\":\"2026-11-24T21:54:55+05:30\",\"iv\":\"-1 years +3 days -04:05:06.7\","
                "\"uu\":\"92ab34cd-56ef-7890-1122-334455667788\",\"l\":[1,null,3],\"s\":{\"a\":1,\"b\":[\"x\",null]}}",
                "{\"f\":\"NaN\",\"d\":\"-Infinity\",\"ts\":\"1970-01-01\",\"tz\":\"1969-12-31\",\"dt\":\"1970-01-01\","
                "\"t\":\"\",\"l\":[],\"s\":{}}",
                "{}",
                "{\"tz\":\"0044-03-15T00:00:00Z "
                "BC\",\"ts\":\"12345-01-01T00:00:00\",\"f\":3.4028235e38,\"d\":5e-324,\"iv\":\"00:00:00\"}",
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(values); i++) {
                struct leat_record record = record_of(&f, "the key", values[i]);
                struct leat_format_rows rows;
                struct leat_buf first = LEAT_BUF_INIT, second = LEAT_BUF_INIT, key = LEAT_BUF_INIT,
                                value = LEAT_BUF_INIT;
                leat_format_reset(f.format);
                leat_format_decode(f.format, &record, 1);
                leat_format_rows(f.format, &rows);
                if (rows.invalid_count != 0)
                        leat_test_fail(__FILE__, __LINE__, "value %zu: %s", i, rows.invalids[0].reason);
                print_row(rows.batch, 0, &first);
                CHECK(leat_format_encode_key(&f.def, rows.batch, 0, &key));
                CHECK(leat_format_encode_value(&f.def, rows.batch, 0, &value));
                struct leat_record again = {.key = leat_buf_view(&key), .value = leat_buf_view(&value)};
                leat_format_reset(f.format);
                leat_format_decode(f.format, &again, 1);
                leat_format_rows(f.format, &rows);
                if (rows.invalid_count != 0)
                        leat_test_fail(__FILE__, __LINE__, "value %zu: %s: %s", i, leat_buf_cstr(&value),
                                       rows.invalids[0].reason);
                print_row(rows.batch, 0, &second);
                CHECK_STR(leat_buf_cstr(&first), leat_buf_cstr(&second));
                leat_buf_done(&first);
                leat_buf_done(&second);
                leat_buf_done(&key);
                leat_buf_done(&value);
        }
        close_fixture(&f);
}

LEAT_TEST(encode_quarantine)
{
        struct leat_format *format;
        struct leat_error err;
        struct leat_format_rows rows;
        struct leat_buf key = LEAT_BUF_INIT, value = LEAT_BUF_INIT, out = LEAT_BUF_INIT;
        struct leat_format_invalid invalid = {.record = {.partition = 2,
                                                         .offset = 99,
                                                         .timestamp_ms = 1764021295123,
                                                         .value = leat_view_str("{\"id\":\"x\xff\"}")},
                                              .column = 0,
                                              .reason = "\"x\" is a string, not a number"};
        leat_format_encode_quarantine(&invalid, "id", &key, &value);
        CHECK_STR(leat_buf_cstr(&key), "{\"partition\":2,\"offset\":99}");
        const char *names[] = {"partition", "offset", "key", "value", "column", "reason", "timestamp"};
        CHECK_OK(leat_format_open(leat_format_quarantine_def(), names, 7, &format, &err), &err);
        struct leat_record record = {.key = leat_buf_view(&key), .value = leat_buf_view(&value)};
        leat_format_decode(format, &record, 1);
        leat_format_rows(format, &rows);
        CHECK_INT(rows.batch->rows, 1);
        print_row(rows.batch, 0, &out);
        CHECK_STR(leat_buf_cstr(&out),
                  "2|99|\\N|\\x7b226964223a2278ff227d|id|\"x\" is a string, not a number|2025-11-24 21:54:55.123+00");
        leat_format_close(format);
        /* A mark has the same primary key, and a Kafka key of its own. */
        leat_buf_clear(&key);
        leat_buf_clear(&value);
        leat_buf_clear(&out);
        leat_format_encode_mark(2, 99, 7, 1764021295123, &key, &value);
        CHECK_STR(leat_buf_cstr(&key), "{\"partition\":2,\"offset\":99,\"mark\":true}");
        const char *mark_names[] = {"partition", "offset", "reason", "mark", "from", "replayed"};
        CHECK_OK(leat_format_open(leat_format_quarantine_def(), mark_names, 6, &format, &err), &err);
        record = (struct leat_record){.key = leat_buf_view(&key), .value = leat_buf_view(&value)};
        leat_format_decode(format, &record, 1);
        leat_format_rows(format, &rows);
        CHECK_INT(rows.invalid_count, 0);
        print_row(rows.batch, 0, &out);
        CHECK_STR(leat_buf_cstr(&out), "2|99|\\N|t|7|2025-11-24 21:54:55.123+00");
        leat_format_close(format);
        leat_buf_done(&key);
        leat_buf_done(&value);
        leat_buf_done(&out);
}

/* ---- a second opinion ------------------------------------------------------------------ */

static uint64_t random_state;
static uint32_t random_below(uint32_t n)
{
        random_state = leat_hash_mix(random_state, 1);
        return (uint32_t)(random_state >> 20) % n;
}

static void random_blank(struct leat_buf *out)
{
        if (random_below(8) == 0)
                leat_buf_u8(out, (uint8_t) " \t\n\r"[random_below(4)]);
}

static void random_string(struct leat_buf *out)
{
        static const char *const parts[] = {
                "a", "bc", "\xc3\xa9", "\xf0\x9f\x98\x80", "\\n", "\\\"", "\\\\", "\\u0041", "\\ud83d\\ude00", "{", ":",
                ",", " ",  "0"};
        leat_buf_u8(out, '"');
        for (uint32_t i = random_below(12); i > 0; i--)
                leat_buf_add_str(out, parts[random_below(LEAT_ARRAY_LEN(parts))]);
        leat_buf_u8(out, '"');
}

static void random_value(struct leat_buf *out, int depth)
{
        static const char *const numbers[] = {
                "0", "-1", "12345", "1.5", "-0.25e2", "9007199254740993", "1E+5", "123456789012345678"};
        static const char *const names[] = {"a", "b", "c", "d", "other", "\\u0061"};
        random_blank(out);
        switch (random_below(depth > 3 ? 5 : 7)) {
        case 0:
                leat_buf_add_str(out, "null");
                break;
        case 1:
                leat_buf_add_str(out, random_below(2) ? "true" : "false");
                break;
        case 2:
                leat_buf_add_str(out, numbers[random_below(LEAT_ARRAY_LEN(numbers))]);
                break;
        case 3:
        case 4:
                random_string(out);
                break;
        case 5:
                leat_buf_u8(out, '[');
                for (uint32_t i = 0, n = random_below(4); i < n; i++) {
                        if (i != 0)
                                leat_buf_u8(out, ',');
                        random_value(out, depth + 1);
                }
                leat_buf_u8(out, ']');
                break;
        default:
                leat_buf_u8(out, '{');
                for (uint32_t i = 0, n = random_below(6); i < n; i++) {
                        if (i != 0)
                                leat_buf_u8(out, ',');
                        random_blank(out);
                        leat_buf_printf(out, "\"%s\"", names[random_below(LEAT_ARRAY_LEN(names))]);
                        random_blank(out);
                        leat_buf_u8(out, ':');
                        random_value(out, depth + 1);
                }
                leat_buf_u8(out, '}');
        }
        random_blank(out);
}

/* The text column must hold what jansson has: the string, or the same JSON. */
static void check_member(const struct leat_batch *batch, uint32_t column, const json_t *object, const char *name,
                         const char *document)
{
        const json_t *want = json_object_get(object, name);
        const struct leat_column *col = &batch->columns[column];
        bool null = want == NULL || json_is_null(want);
        CHECK(leat_column_valid(col, 0) == !null);
        if (null)
                return;
        struct leat_view got = leat_string_view(col->data);
        if (json_is_string(want)) {
                CHECK(leat_view_eq(got, leat_view_of(json_string_value(want), json_string_length(want))));
                return;
        }
        json_t *again = json_loadb((const char *)got.data, got.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (!json_equal(again, want))
                leat_test_fail(__FILE__, __LINE__, "%s: %s is %.*s", document, name, (int)got.len,
                               (const char *)got.data);
        json_decref(again);
}

LEAT_TEST(json_like_jansson)
{
        struct fixture f;
        struct leat_buf text = LEAT_BUF_INIT;
        static const char *const names[] = {"a", "b", "c", "d"};
        open_fixture(&f, "a text; b text; c text; d text", 0);
        random_state = leat_test_seed();
        int valid = 0, rounds = 20000 * leat_test_scale();
        for (int i = 0; i < rounds; i++) {
                leat_buf_clear(&text);
                do
                        leat_buf_clear(&text), random_value(&text, 0);
                while (memchr(text.data, '{', text.len) == NULL);
                for (uint32_t k = random_below(3); k > 0 && random_below(2); k--) /* damage */
                        text.data[random_below((uint32_t)text.len)] = (uint8_t) "{}[]\",:\\ 0au-."[random_below(14)];
                uint8_t *copy = leat_malloc(text.len);
                memcpy(copy, text.data, text.len);
                json_t *object = json_loadb((const char *)copy, text.len, 0, NULL);
                struct leat_record record = {.value = leat_view_of(copy, text.len)};
                struct leat_format_rows rows;
                leat_format_reset(f.format);
                leat_format_decode(f.format, &record, 1);
                leat_format_rows(f.format, &rows);
                /* jansson refuses numbers that it cannot hold; TEXT takes them as they are. */
                if (json_is_object(object) != (rows.batch->rows == 1) && !(rows.batch->rows == 1 && object == NULL))
                        leat_test_fail(__FILE__, __LINE__, "%s: %s", leat_buf_cstr(&text),
                                       rows.invalid_count != 0 ? rows.invalids[0].reason : "valid");
                if (json_is_object(object) && rows.batch->rows == 1) {
                        valid++;
                        for (uint32_t c = 0; c < 4; c++)
                                check_member(rows.batch, c, object, names[c], leat_buf_cstr(&text));
                }
                if (object == NULL && rows.batch->rows == 1) {
                        json_error_t error;
                        json_t *retry = json_loadb((const char *)copy, text.len, JSON_ALLOW_NUL, &error);
                        if (strstr(error.text, "overflow") == NULL && strstr(error.text, "too big") == NULL)
                                leat_test_fail(__FILE__, __LINE__, "%s is valid here; jansson: %s",
                                               leat_buf_cstr(&text), error.text);
                        json_decref(retry);
                }
                json_decref(object);
                free(copy);
        }
        CHECK(valid > rounds / 10);
        leat_buf_done(&text);
        close_fixture(&f);
}
