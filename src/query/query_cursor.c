/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: DECLARE, FETCH, MOVE and CLOSE: forward cursors over a SELECT.
 *
 * A cursor is a statement that has been opened and is read in portions. It lives
 * until CLOSE or the end of its transaction, WITH HOLD until the session ends.
 * What a portion leaves of the engine's batch waits for the next one.
 */
#include <stdio.h>

#include "query_int.h"

enum { QUERY_CURSORS_MAX = 1000 };

static struct query_named *find_named(struct query_session *s, const char *name)
{
        struct query_named *n = s->named;
        while (n != NULL && strcmp(n->name, name) != 0)
                n = n->next;
        return n;
}

static int find_or_fail(struct query_session *s, const char *name, struct query_named **ret, struct leat_error *err)
{
        *ret = find_named(s, name);
        if (*ret == NULL)
                return leat_error_set(err, LEAT_ENOTFOUND, "cursor \"%s\" does not exist", name);
        return 0;
}

static void named_free(struct query_named *n)
{
        leat_query_cursor_close(n->cursor);
        leat_query_stmt_free(n->stmt);
        free(n->name);
        free(n);
}

void leat_query_named_close(struct query_session *s, const char *name, bool keep_held)
{
        for (struct query_named **at = &s->named; *at != NULL;) {
                struct query_named *n = *at;
                if ((name != NULL && strcmp(n->name, name) != 0) || (keep_held && n->hold)) {
                        at = &n->next;
                        continue;
                }
                *at = n->next;
                named_free(n);
        }
}

const struct leat_pg_desc *leat_query_named_describe(void *session, const char *name)
{
        const struct query_named *n = find_named(session, name);
        return n == NULL ? NULL : &n->stmt->desc;
}

int leat_query_declare_prepare(struct query_stmt *st, const struct leat_type *hints, uint32_t count,
                               struct leat_error *err)
{
        /* Checked now, so that mistakes and parameters show at Parse; the cursor's own copy is made at open. */
        LEAT_TRY(leat_query_select_prepare(st, st->stmt.body, hints, count, err));
        st->desc.column_count = 0;
        return 0;
}

int leat_query_declare_open(struct query_cursor *cur, const struct leat_batch *params, struct leat_error *err)
{
        struct query_stmt *st = cur->stmt, *own;
        struct query_session *s = st->session;
        uint32_t count = 0;
        if (s->txn == LEAT_PG_IDLE && !st->stmt.hold)
                return leat_error_set(err, LEAT_ESEQUENCE, "DECLARE CURSOR can only be used in transaction blocks");
        for (const struct query_named *n = s->named; n != NULL; n = n->next)
                count++;
        if (count >= QUERY_CURSORS_MAX)
                return leat_error_set(err, LEAT_ETOOBIG, "too many cursors in one session (%u)", count);
        if (find_named(s, st->stmt.name) != NULL)
                return leat_error_set(err, LEAT_EEXISTS, "cursor \"%s\" already exists", st->stmt.name);
        struct leat_span body = st->stmt.body;
        char *sql = leat_strndup(st->text + body.start, body.len);
        int rc = leat_query_stmt_new(s, sql, st->desc.params, st->desc.param_count, &own, err);
        free(sql);
        if (rc != 0)
                return rc;
        struct query_named *n = leat_calloc(1, sizeof *n);
        n->stmt = own;
        n->hold = st->stmt.hold;
        n->name = leat_strdup(st->stmt.name);
        rc = leat_query_cursor_open(own, params, &n->cursor, err);
        if (rc != 0) {
                named_free(n);
                return rc;
        }
        n->next = s->named;
        s->named = n;
        return 0;
}

int leat_query_fetch_prepare(struct query_stmt *st, struct leat_error *err)
{
        struct query_named *n;
        LEAT_TRY(find_or_fail(st->session, st->stmt.name, &n, err));
        if (st->stmt.kind == LEAT_STMT_MOVE)
                return 0;
        /* The cursor may be closed before this statement is freed: names and types are copied. */
        uint32_t count = n->stmt->desc.column_count;
        const char **names = leat_arena_alloc(st->arena, (count + 1) * sizeof *names);
        struct leat_type *types = leat_arena_alloc(st->arena, (count + 1) * sizeof *types);
        for (uint32_t i = 0; i < count; i++) {
                names[i] = leat_arena_strdup(st->arena, n->stmt->desc.names[i]);
                types[i] = leat_type_copy(st->arena, &n->stmt->desc.columns[i]);
        }
        st->desc.column_count = count;
        st->desc.names = names;
        st->desc.columns = types;
        return 0;
}

/* Rows [from, from + rows) of a column, without copying values. */
static void slice_column(struct leat_arena *arena, const struct leat_column *col, uint32_t from, uint32_t rows,
                         struct leat_column *ret)
{
        *ret = *col;
        if (col->data != NULL)
                ret->data = (uint8_t *)col->data + (size_t)from * leat_type_bytes(&col->type);
        if (col->validity != NULL) {
                ret->validity = leat_arena_zalloc(arena, ((size_t)rows / 64 + 1) * sizeof *ret->validity);
                for (uint32_t r = 0; r < rows; r++)
                        if (leat_column_valid(col, from + r))
                                ret->validity[r >> 6] |= 1ull << (r & 63);
        }
        if (col->type.id != LEAT_T_STRUCT)
                return;
        ret->children = leat_arena_alloc(arena, col->type.child_count * sizeof *ret->children);
        for (uint32_t i = 0; i < col->type.child_count; i++)
                slice_column(arena, &col->children[i], from, rows, &ret->children[i]);
}

static int next_portion(struct query_cursor *cur, const struct leat_batch **ret_rows, struct leat_error *err)
{
        struct query_named *n;
        int64_t *left = cur->state;
        LEAT_TRY(find_or_fail(cur->stmt->session, cur->stmt->stmt.name, &n, err));
        *ret_rows = NULL;
        if (*left == 0)
                return 0;
        if (n->rows == NULL || n->row == n->rows->rows) {
                n->row = 0;
                LEAT_TRY(leat_query_cursor_next(n->cursor, &n->rows, err));
                if (n->rows == NULL)
                        return 0;
        }
        uint32_t rows = (uint32_t)LEAT_MIN((int64_t)(n->rows->rows - n->row), *left);
        struct leat_batch *out = leat_arena_zalloc(cur->arena, sizeof *out);
        out->rows = rows;
        out->column_count = n->rows->column_count;
        out->columns = leat_arena_alloc(cur->arena, (out->column_count + 1) * sizeof *out->columns);
        for (uint32_t c = 0; c < out->column_count; c++)
                slice_column(cur->arena, &n->rows->columns[c], n->row, rows, &out->columns[c]);
        n->row += rows;
        *left -= rows;
        *ret_rows = out;
        return 0;
}

int leat_query_fetch_open(struct query_cursor *cur, struct leat_error *err)
{
        struct query_named *n;
        const struct leat_batch *rows = NULL;
        LEAT_TRY(find_or_fail(cur->stmt->session, cur->stmt->stmt.name, &n, err));
        int64_t *left = leat_arena_alloc(cur->arena, sizeof *left);
        *left = cur->stmt->stmt.fetch_rows;
        cur->state = left;
        if (cur->stmt->stmt.kind == LEAT_STMT_FETCH) {
                cur->next = next_portion;
                return 0;
        }
        cur->affected = 0;
        do {
                LEAT_TRY(next_portion(cur, &rows, err));
                cur->affected += rows == NULL ? 0 : rows->rows;
        } while (rows != NULL);
        return 0;
}

int leat_query_close_named(struct query_session *s, const char *name, struct leat_error *err)
{
        struct query_named *n;
        if (name != NULL)
                LEAT_TRY(find_or_fail(s, name, &n, err));
        leat_query_named_close(s, name, false);
        return 0;
}
