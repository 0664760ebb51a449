/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from a PostgreSQL server: messages, values as JSON, lines of COPY. Whole and cut in two they mean the same. */
#include "../api_pgclient.c"

struct tally {
        struct api_pg *pg;
        int calls;
        uint32_t types[16];
        int column_count;
        struct leat_buf json, scratch;
        uint64_t digest;
};

static void note(struct tally *tally, const void *data, size_t len)
{
        tally->calls++;
        tally->digest = leat_hash_mix(tally->digest, leat_hash64((uint64_t)tally->calls, data, len));
}

static void on_ready(void *arg)
{
        note(arg, "ready", 5);
}

static void on_columns(void *arg, const struct api_pg_column *columns, int count)
{
        struct tally *tally = arg;
        tally->column_count = LEAT_MIN(count, 16);
        for (int i = 0; i < count; i++)
                note(tally, columns[i].name, strlen(columns[i].name));
        for (int i = 0; i < tally->column_count; i++)
                tally->types[i] = columns[i].type;
}

static void on_row(void *arg, const struct leat_view *values, int count)
{
        struct tally *tally = arg;
        for (int i = 0; i < count; i++) {
                leat_buf_clear(&tally->json);
                leat_api_value_json(&tally->json, i < tally->column_count ? tally->types[i] : 25, values[i]);
                note(tally, tally->json.data, tally->json.len);
        }
}

static void on_copy(void *arg, struct leat_view line)
{
        struct tally *tally = arg;
        struct leat_view fields[6];
        int count = leat_api_copy_split(line, &tally->scratch, fields, 6);
        for (int i = 0; i < count; i++)
                note(tally, fields[i].data, fields[i].len);
}

static void on_command(void *arg, const char *tag)
{
        note(arg, tag, strlen(tag));
}

static void on_message(void *arg, const struct api_pg_error *error)
{
        struct tally *tally = arg;
        leat_buf_clear(&tally->json);
        leat_api_error_json(&tally->json, error);
        note(tally, tally->json.data, tally->json.len);
}

static const struct api_pg_ops FUZZ_OPS = {.on_ready = on_ready,
                                           .on_columns = on_columns,
                                           .on_row = on_row,
                                           .on_copy = on_copy,
                                           .on_command = on_command,
                                           .on_notice = on_message,
                                           .on_error = on_message};

static uint64_t read_answer(const uint8_t *data, size_t len, size_t cut)
{
        struct api_pg pg = {.ops = &FUZZ_OPS};
        struct tally tally = {.pg = &pg};
        size_t want;
        pg.arg = &tally;
        size_t used = pg_messages(&pg, leat_view_of(data, cut), &want);
        LEAT_ASSERT(used <= cut);
        if (!pg.is_broken)
                used += pg_messages(&pg, leat_view_of(data + used, len - used), &want);
        LEAT_ASSERT(used <= len);
        free(pg.values);
        leat_buf_done(&tally.json);
        leat_buf_done(&tally.scratch);
        return tally.digest + pg.is_broken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        uint64_t whole = read_answer(data, len, len);
        LEAT_ASSERT(whole == read_answer(data, len, len / 2));
        LEAT_ASSERT(whole == read_answer(data, len, len / 3));
        return 0;
}
