/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: time zones, as far as sessions need them: TIMESTAMPTZ as text in the session's zone.
 *
 * The engine's ICU knows the zones; statements themselves count in UTC, as jobs do, so that a view's rows are the same
 * for everybody. A zone's changes between 1900 and 2100 are asked for once (each day's offset, then narrowed to the
 * second where it moved) and kept as long as the query role lives.
 */
#include <stdio.h>
#include <strings.h>

#include "query_int.h"
#include "query_pg.h"

enum { ZONES_MAX = 1000 };
#define DAY_US 86400000000LL
#define FIRST_DAY (-25567LL) /* 1900-01-01 */
#define LAST_DAY 47482LL     /* 2100-01-01 */

struct query_zone {
        struct query_zone *next;
        char *name;
        struct leat_zone zone;
};

static bool is_utc(const char *name)
{
        static const char *const names[] = {"UTC",      "Etc/UTC",       "GMT",     "Etc/GMT",  "Z",
                                            "Zulu",     "UCT",           "Etc/UCT", "Etc/GMT0", "Universal",
                                            "Etc/Zulu", "Etc/Universal", "GMT0"};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(names); i++)
                if (strcasecmp(names[i], name) == 0)
                        return true;
        return false;
}

/* Rows of two BIGINTs, appended to @starts and @offsets. */
static int read_pairs(struct leat_conn *conn, const char *sql, struct leat_buf *starts, struct leat_buf *offsets,
                      struct leat_error *err)
{
        struct leat_plan *plan;
        struct leat_result *result = NULL;
        const struct leat_batch *rows = NULL;
        LEAT_TRY(leat_plan_prepare(conn, sql, &plan, err));
        int rc = leat_plan_run(plan, false, &result, err);
        while (rc == 0 && (rc = leat_result_next(result, &rows, err)) == 0 && rows != NULL) {
                for (uint32_t i = 0; i < rows->rows; i++) {
                        int32_t offset_s = (int32_t)((const int64_t *)rows->columns[1].data)[i];
                        leat_buf_add(starts, (const int64_t *)rows->columns[0].data + i, sizeof(int64_t));
                        leat_buf_add(offsets, &offset_s, sizeof offset_s);
                }
        }
        leat_result_free(result);
        leat_plan_free(plan);
        return rc;
}

/* The zone's changes: where the offset of a day differs from that of the day before, the hour, minute and second of it. */
static void changes_sql(const char *name, struct leat_buf *sql)
{
        struct leat_buf zone = LEAT_BUF_INIT;
        leat_sql_quote_text(&zone, leat_view_str(name));
        leat_buf_printf(sql, "WITH p0 AS (SELECT d * %lld AS us FROM range(%lld, %lld) t(d))", DAY_US, FIRST_DAY,
                        LAST_DAY);
        static const long long steps_us[] = {DAY_US, 3600000000LL, 60000000LL, 1000000LL};
        for (int level = 0; level < 4; level++) {
                leat_buf_printf(sql,
                                ", o%d AS (SELECT us, (epoch_us(timezone(%s, make_timestamptz(us))) - us) // 1000000 "
                                "AS off FROM p%d), c%d AS (SELECT us, off, lag(off) OVER (ORDER BY us) AS old, lag(us) "
                                "OVER (ORDER BY us) AS before FROM o%d QUALIFY off <> old AND us - before = %lld)",
                                level, leat_buf_cstr(&zone), level, level, level, steps_us[level]);
                if (level < 3)
                        leat_buf_printf(sql,
                                        ", p%d AS (SELECT us - %lld + i * %lld AS us FROM c%d, range(0, %lld) t(i))",
                                        level + 1, steps_us[level], steps_us[level + 1], level,
                                        steps_us[level] / steps_us[level + 1] + 1);
        }
        leat_buf_printf(sql, " SELECT us::BIGINT, off::BIGINT FROM (SELECT us, off FROM c3 UNION ALL SELECT min(us), "
                             "arg_min(off, us) FROM o0) ORDER BY 1");
        leat_buf_done(&zone);
}

/* The name as the engine writes it; LEAT_ENOTFOUND when it has no such zone. */
static int find_name(struct leat_conn *conn, const char *name, struct leat_buf *ret_name, struct leat_error *err)
{
        const char *args[] = {name};
        return leat_conn_text(conn, "SELECT min(name) FROM pg_timezone_names() WHERE lower(name) = lower($1::VARCHAR)",
                              args, 1, ret_name, err);
}

static struct query_zone *cached(struct leat_query *q, const char *name, uint32_t *ret_count)
{
        uint32_t count = 0;
        struct query_zone *z = q->zones;
        while (z != NULL && strcasecmp(z->name, name) != 0) {
                z = z->next;
                count++;
        }
        *ret_count = count;
        return z;
}

static int load(struct leat_query *q, struct leat_conn *conn, const char *name, struct query_zone **ret,
                struct leat_error *err)
{
        struct leat_buf canonical = LEAT_BUF_INIT, sql = LEAT_BUF_INIT, starts = LEAT_BUF_INIT, offsets = LEAT_BUF_INIT;
        int rc = find_name(conn, name, &canonical, err);
        if (rc == 0) {
                changes_sql(leat_buf_cstr(&canonical), &sql);
                rc = read_pairs(conn, leat_buf_cstr(&sql), &starts, &offsets, err);
        }
        if (rc == 0) {
                struct query_zone *z = leat_calloc(1, sizeof *z);
                z->name = leat_strdup(leat_buf_cstr(&canonical));
                z->zone.count = (uint32_t)(starts.len / sizeof(int64_t));
                z->zone.starts = (const int64_t *)(const void *)starts.data;
                z->zone.offsets_s = (const int32_t *)(const void *)offsets.data;
                z->next = q->zones;
                q->zones = *ret = z;
        } else {
                leat_buf_done(&starts);
                leat_buf_done(&offsets);
        }
        leat_buf_done(&canonical);
        leat_buf_done(&sql);
        return rc;
}

int leat_query_zone(struct query_session *s, const char *name, const struct leat_zone **ret_zone, const char **ret_name,
                    struct leat_error *err)
{
        struct leat_query *q = s->query;
        struct query_zone *z;
        struct leat_conn *conn = NULL;
        uint32_t count;
        *ret_zone = NULL;
        *ret_name = name;
        if (is_utc(name))
                return 0;
        pthread_mutex_lock(&q->zone_mutex);
        z = cached(q, name, &count);
        int rc = 0;
        if (z == NULL && count >= ZONES_MAX)
                rc = leat_error_set(err, LEAT_ETOOBIG, "more than %d time zones in use", ZONES_MAX);
        else if (z == NULL)
                rc = leat_query_conn_open(s, &conn, err);
        if (rc == 0 && z == NULL)
                rc = load(q, conn, name, &z, err);
        leat_conn_close(conn);
        pthread_mutex_unlock(&q->zone_mutex);
        if (rc == LEAT_ENOTFOUND) {
                leat_error_set(err, LEAT_EINVAL, "invalid value for parameter \"TimeZone\": \"%.100s\"", name);
                leat_error_hint(err, "Write a name such as 'Europe/Berlin'; SELECT name FROM pg_timezone_names lists "
                                     "them.");
                return LEAT_EINVAL;
        }
        if (rc == 0) {
                *ret_zone = &z->zone;
                *ret_name = z->name;
        }
        return rc;
}

void leat_query_zones_free(struct leat_query *q)
{
        while (q->zones != NULL) {
                struct query_zone *next = q->zones->next;
                free((void *)(uintptr_t)q->zones->zone.starts);
                free((void *)(uintptr_t)q->zones->zone.offsets_s);
                free(q->zones->name);
                free(q->zones);
                q->zones = next;
        }
}

/* ---- pg_timezone_names ------------------------------------------------------------------ */
static void add_zones(struct query_pg_fill *f, const struct leat_batch *rows)
{
        for (uint32_t i = 0; i < rows->rows; i++) {
                leat_query_rows_add(f->rows);
                for (uint32_t c = 0; c < 3; c++) {
                        struct leat_view v = leat_string_view((const struct leat_string *)rows->columns[c].data + i);
                        leat_query_rows_text(f->rows, c, leat_arena_strndup(f->arena, (const char *)v.data, v.len));
                }
                leat_query_rows_int(f->rows, 3, ((const uint8_t *)rows->columns[3].data)[i]);
        }
}

void leat_query_fill_zones(struct query_pg_fill *f)
{
        static const char sql[] =
                "SELECT name, abbrev, utc_offset::VARCHAR, is_dst FROM pg_timezone_names() ORDER BY 1";
        struct leat_engine *engine;
        struct leat_conn *conn = NULL;
        struct leat_plan *plan = NULL;
        struct leat_result *result = NULL;
        const struct leat_batch *rows = NULL;
        int rc = leat_query_engine(f->query, &engine, NULL);
        if (rc == 0)
                rc = leat_conn_open(engine, NULL, NULL, &conn, NULL);
        if (rc == 0)
                rc = leat_plan_prepare(conn, sql, &plan, NULL);
        if (rc == 0)
                rc = leat_plan_run(plan, false, &result, NULL);
        while (rc == 0 && (rc = leat_result_next(result, &rows, NULL)) == 0 && rows != NULL)
                add_zones(f, rows);
        leat_result_free(result);
        leat_plan_free(plan);
        leat_conn_close(conn);
}
