/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/api: small questions of our own (SHOW FLOW, SHOW DASHBOARDS, the choices of
 * a variable): one connection, one question after the other, answers of at most
 * 10,000 rows. The connection is opened when there is a question and closed after
 * 30 idle seconds. When it breaks, all that wait get the error; they ask again if
 * they still care.
 */
#include "api_int.h"

#include <stdio.h>
#include <stdlib.h>

#define ROWS_MAX 10000
#define WAITING_MAX 256
#define IDLE_US (30 * 1000 * 1000)

struct question {
        struct question *next;
        char *sql;
        api_answer_fn *fn;
        void *arg;
};

struct api_asker {
        struct leat_loop *loop;
        struct leat_addr addr;
        struct api_pg *pg;
        struct leat_timer *idle;
        struct question *first, **last;
        int waiting;
        bool is_ready;
        bool is_asked; /* first is with the server */
        bool is_ending;
        bool has_error;
        struct api_pg_error error;
        struct api_rows rows;
};

int leat_api_rows_column(const struct api_rows *rows, const char *name)
{
        for (int i = 0; i < rows->column_count; i++) {
                if (strcmp(rows->columns[i], name) == 0)
                        return i;
        }
        return -1;
}

struct leat_view leat_api_rows_at(const struct api_rows *rows, int row, int column)
{
        return column >= 0 && column < rows->column_count ? rows->rows[row][column] : leat_view_of(NULL, 0);
}

static void rows_clear(struct api_rows *rows)
{
        leat_arena_free(rows->arena);
        free(rows->rows);
        *rows = (struct api_rows){0};
}

static void ask_next(struct api_asker *asker)
{
        if (asker->first && asker->is_ready && !asker->is_asked) {
                rows_clear(&asker->rows);
                asker->rows.arena = leat_arena_new(0);
                asker->has_error = false;
                asker->is_asked = true;
                asker->is_ready = false;
                leat_api_pg_query(asker->pg, asker->first->sql);
                leat_timer_stop(asker->idle);
        } else if (!asker->first) {
                leat_timer_start(asker->idle, IDLE_US, 0);
        }
}

static struct question *question_take(struct api_asker *asker)
{
        struct question *question = asker->first;
        asker->first = question->next;
        if (!asker->first)
                asker->last = &asker->first;
        asker->waiting--;
        asker->is_asked = false;
        return question;
}

static void question_answer(struct question *question, const struct api_rows *rows, const struct api_pg_error *error)
{
        question->fn(question->arg, error ? NULL : rows, error);
        free(question->sql);
        free(question);
}

/* ---- callbacks of the connection ---- */

static void on_columns(void *arg, const struct api_pg_column *columns, int count)
{
        struct api_rows *rows = &((struct api_asker *)arg)->rows;
        rows->row_count = 0;
        rows->column_count = count;
        rows->columns = leat_arena_alloc(rows->arena, (size_t)count * sizeof(rows->columns[0]));
        rows->types = leat_arena_alloc(rows->arena, (size_t)count * sizeof(rows->types[0]));
        for (int i = 0; i < count; i++) {
                rows->columns[i] = leat_arena_strdup(rows->arena, columns[i].name);
                rows->types[i] = columns[i].type;
        }
}

static void on_row(void *arg, const struct leat_view *values, int count)
{
        struct api_rows *rows = &((struct api_asker *)arg)->rows;
        if (rows->row_count == ROWS_MAX || count != rows->column_count)
                return;
        if (rows->row_count == rows->row_cap) {
                rows->row_cap = LEAT_MAX(rows->row_cap * 2, 16);
                rows->rows = leat_realloc(rows->rows, (size_t)rows->row_cap * sizeof(rows->rows[0]));
        }
        struct leat_view *row = leat_arena_alloc(rows->arena, (size_t)count * sizeof(row[0]));
        for (int i = 0; i < count; i++) {
                row[i] = values[i];
                if (values[i].data)
                        row[i].data = (const uint8_t *)leat_arena_strndup(rows->arena, (const char *)values[i].data,
                                                                          values[i].len);
        }
        rows->rows[rows->row_count++] = row;
}

static void on_error(void *arg, const struct api_pg_error *error)
{
        struct api_asker *asker = arg;
        asker->has_error = true;
        asker->error = *error;
}

static void on_ready(void *arg)
{
        struct api_asker *asker = arg;
        asker->is_ready = true;
        if (asker->is_asked) {
                /* The answer may ask more, which must not touch these rows. */
                struct api_rows rows = asker->rows;
                struct question *question = question_take(asker);
                asker->rows = (struct api_rows){0};
                question_answer(question, &rows, asker->has_error ? &asker->error : NULL);
                rows_clear(&rows);
        }
        ask_next(asker);
}

static void on_closed(void *arg, const struct api_pg_error *error)
{
        struct api_asker *asker = arg;
        struct api_pg_error reason = *error;
        asker->pg = NULL;
        asker->is_ready = false;
        for (int left = asker->waiting; left > 0; left--) /* not those that the answers add */
                question_answer(question_take(asker), NULL, &reason);
}

static const struct api_pg_ops OPS = {
        .on_ready = on_ready, .on_columns = on_columns, .on_row = on_row, .on_error = on_error, .on_closed = on_closed};

static void idle_cb(void *arg)
{
        struct api_asker *asker = arg;
        leat_api_pg_close(asker->pg);
        asker->pg = NULL;
        asker->is_ready = false;
}

/* ---- calls ---- */

struct api_asker *leat_api_asker_new(struct leat_loop *loop, const struct leat_addr *addr)
{
        struct api_asker *asker = leat_calloc(1, sizeof(*asker));
        asker->loop = loop;
        asker->addr = *addr;
        asker->last = &asker->first;
        asker->idle = leat_timer_new(loop, idle_cb, asker);
        return asker;
}

static void error_set(struct api_pg_error *error, const char *sqlstate, const char *message)
{
        memset(error, 0, sizeof(*error));
        snprintf(error->severity, sizeof(error->severity), "ERROR");
        snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", sqlstate);
        snprintf(error->message, sizeof(error->message), "%s", message);
}

void leat_api_asker_free(struct api_asker *asker)
{
        struct api_pg_error error;
        if (!asker)
                return;
        asker->is_ending = true;
        leat_api_pg_close(asker->pg);
        error_set(&error, "57P01", "the server is stopping");
        while (asker->first)
                question_answer(question_take(asker), NULL, &error);
        leat_timer_free(asker->idle);
        rows_clear(&asker->rows);
        free(asker);
}

void leat_api_ask(struct api_asker *asker, const char *sql, api_answer_fn *fn, void *arg)
{
        if (asker->waiting >= WAITING_MAX || asker->is_ending) {
                struct api_pg_error error;
                error_set(&error, "53400", "too many questions wait for the query role");
                fn(arg, NULL, &error);
                return;
        }
        struct question *question = leat_calloc(1, sizeof(*question));
        question->sql = leat_strdup(sql);
        question->fn = fn;
        question->arg = arg;
        *asker->last = question;
        asker->last = &question->next;
        asker->waiting++;
        leat_timer_stop(asker->idle);
        if (!asker->pg)
                asker->pg = leat_api_pg_open(asker->loop, &asker->addr, &OPS, asker);
        ask_next(asker);
}
