/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: scans of the arrangement behind a materialized view, as columns
 * c0, c1 … of the state. With one value for each key column the row is looked
 * up; else everything is read. A row of weight n is given n times.
 */
#include <errno.h>
#include <stdlib.h>

#include "query_int.h"

enum { VIEW_CHUNK_ROWS = 16384 };

struct view_scan {
        struct query_scan scan;
        struct leat_arena *arena; /* lives as long as the scan */
        struct leat_picture *picture;
        struct leat_scan *rows;         /* everything, or */
        struct leat_gather *gather;     /* the rows of one key */
        const struct leat_batch *found; /* one row, given out once */
        uint32_t *columns;
        uint32_t count;
        /* the chunk that is being given out */
        const struct leat_batch *chunk;
        const int64_t *weights;
        uint32_t row;
        int64_t left; /* of the row's weight */
        struct leat_batch out;
        struct leat_arena *chunk_arena;
};

int leat_query_graph(const struct leat_object *view, struct leat_arena *arena, struct leat_stream_graph **ret_graph,
                     struct leat_error *err)
{
        int rc = leat_stream_graph_decode(arena, view->view->graph, ret_graph, err);
        if (rc != 0)
                leat_error_prefix(err, "view \"%s\"", view->name);
        return rc;
}

static int view_graph(struct query_session *s, uint64_t view_id, struct leat_arena *arena,
                      const struct leat_object **ret_view, struct leat_stream_graph **ret_graph, struct leat_error *err)
{
        *ret_view = leat_snapshot_get(s->catalog->snapshot, view_id);
        if (*ret_view == NULL || (*ret_view)->view == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "the view has been dropped");
        return leat_query_graph(*ret_view, arena, ret_graph, err);
}

void leat_query_arr_describe(const struct leat_stream_graph *graph, struct leat_arena *arena, uint32_t *ret_count,
                             const char ***ret_names, struct leat_type **ret_types)
{
        struct leat_arr_def def = leat_stream_arr_def(graph, 0);
        const char **names = leat_arena_alloc(arena, (def.column_count + 1) * sizeof *names);
        struct leat_type *types = leat_arena_alloc(arena, (def.column_count + 1) * sizeof *types);
        for (uint32_t i = 0; i < def.column_count; i++) {
                names[i] = leat_arena_printf(arena, "c%u", i);
                types[i] = leat_type_copy(arena, &def.types[i]);
        }
        *ret_count = def.column_count;
        *ret_names = names;
        *ret_types = types;
}

int leat_query_view_describe(struct query_session *s, uint64_t view_id, struct leat_arena *arena, uint32_t *ret_count,
                             const char ***ret_names, struct leat_type **ret_types, struct leat_error *err)
{
        const struct leat_object *view;
        struct leat_stream_graph *graph;
        LEAT_TRY(view_graph(s, view_id, arena, &view, &graph, err));
        leat_query_arr_describe(graph, arena, ret_count, ret_names, ret_types);
        return 0;
}

/* ---- keys ----------------------------------------------------------------------------- */
/* @text as a value of @type in row 0 of @col; false when this type is not read by key. */
static bool value_from_text(struct leat_arena *arena, const char *text, const struct leat_type *type,
                            struct leat_column *col)
{
        int64_t value;
        char *end;
        col->type = *type;
        col->data = leat_arena_zalloc(arena, 16);
        switch (type->id) {
        case LEAT_T_VARCHAR: {
                struct leat_string s = leat_string_borrow(leat_view_str(leat_arena_strdup(arena, text)));
                memcpy(col->data, &s, sizeof s);
                return true;
        }
        case LEAT_T_TINYINT:
        case LEAT_T_SMALLINT:
        case LEAT_T_INTEGER:
        case LEAT_T_BIGINT:
                errno = 0;
                value = strtoll(text, &end, 10);
                if (errno != 0 || *end != '\0' || end == text)
                        return false;
                memcpy(col->data, &value, leat_type_bytes(type));
                /* A value outside the type is in no row; let the full scan say so. */
                return leat_type_bytes(type) == 8 ||
                       (value >= INT32_MIN / (type->id == LEAT_T_INTEGER ? 1 : 65536) &&
                        value <= INT32_MAX / (type->id == LEAT_T_INTEGER ? 1 : 65536) && type->id != LEAT_T_TINYINT);
        case LEAT_T_TIMESTAMP:
        case LEAT_T_TIMESTAMPTZ:
                if (!leat_time_parse(leat_view_str(text), &value))
                        return false;
                memcpy(col->data, &value, 8);
                return true;
        default:
                return false;
        }
}

/* The key of the arrangement from the conditions; NULL when it cannot be made of them. */
static struct leat_batch *make_key(const struct query_session *s, struct leat_arena *arena,
                                   const struct leat_scan_key *key, const struct leat_stream_output *output,
                                   const struct leat_arr_def *def)
{
        if (!key->by_key || !output->keyed || def->key_count == 0)
                return NULL;
        struct leat_batch *batch = leat_arena_zalloc(arena, sizeof *batch);
        batch->rows = 1;
        batch->column_count = def->key_count;
        batch->columns = leat_arena_zalloc(arena, def->key_count * sizeof *batch->columns);
        for (uint32_t k = 0; k < def->key_count; k++) {
                const struct leat_scan_condition *found = NULL;
                for (uint32_t c = 0; c < key->condition_count; c++)
                        if (key->conditions[c].op == LEAT_SCAN_EQ &&
                            key->conditions[c].column == output->key_columns[k])
                                found = &key->conditions[c];
                if (found == NULL)
                        return NULL;
                if (found->param != 0) {
                        const struct leat_column *p = s->params == NULL ? NULL : &s->params->columns[found->param - 1];
                        if (p == NULL || !leat_column_valid(p, 0) || p->type.id != def->types[k].id)
                                return NULL;
                        batch->columns[k] = *p;
                } else if (!value_from_text(arena, found->value, &def->types[k], &batch->columns[k])) {
                        return NULL;
                }
        }
        return batch;
}

/* ---- scanning ---------------------------------------------------------------------------- */
static int next_chunk(struct view_scan *v, struct leat_error *err)
{
        const uint32_t *ordinals;
        v->row = 0;
        v->left = 0;
        v->weights = NULL;
        if (v->gather != NULL)
                return leat_gather_next(v->gather, &v->chunk, &ordinals, &v->weights, err);
        if (v->rows != NULL)
                return leat_scan_next(v->rows, &v->chunk, &v->weights, err);
        v->chunk = v->found;
        v->found = NULL;
        return 0;
}

/* The chunk's columns in the order that was asked for; @pick chooses rows, NULL = all of them. */
static void give(struct view_scan *v, const uint32_t *pick, uint32_t rows)
{
        const struct leat_batch *from = v->chunk;
        if (pick != NULL && v->count != 0) {
                struct leat_batch narrow = {
                        .rows = v->chunk->rows, .column_count = v->count, .columns = v->out.columns};
                for (uint32_t c = 0; c < v->count; c++)
                        v->out.columns[c] = v->chunk->columns[v->columns[c]];
                from = leat_batch_gather(v->chunk_arena, &narrow, pick, rows);
                for (uint32_t c = 0; c < v->count; c++)
                        v->out.columns[c] = from->columns[c];
        } else {
                for (uint32_t c = 0; c < v->count; c++)
                        v->out.columns[c] = from->columns[v->columns[c]];
        }
        v->out.rows = rows;
        v->out.column_count = v->count;
}

static bool all_ones(const int64_t *weights, uint32_t rows)
{
        for (uint32_t i = 0; weights != NULL && i < rows; i++)
                if (weights[i] != 1)
                        return false;
        return true;
}

static int view_next(struct query_scan *scan, const struct leat_batch **ret_batch, struct leat_error *err)
{
        struct view_scan *v = (struct view_scan *)scan;
        for (;;) {
                if (v->chunk == NULL || v->row >= v->chunk->rows) {
                        LEAT_TRY(next_chunk(v, err));
                        if (v->chunk == NULL) {
                                *ret_batch = NULL;
                                return 0;
                        }
                        if (all_ones(v->weights, v->chunk->rows)) {
                                v->row = v->chunk->rows;
                                if (v->chunk->rows == 0)
                                        continue;
                                give(v, NULL, v->chunk->rows);
                                *ret_batch = &v->out;
                                return 0;
                        }
                }
                leat_arena_reset(v->chunk_arena);
                uint32_t *pick = leat_arena_alloc(v->chunk_arena, VIEW_CHUNK_ROWS * sizeof *pick), n = 0;
                while (n < VIEW_CHUNK_ROWS && v->row < v->chunk->rows) {
                        if (v->left == 0)
                                v->left = LEAT_MAX(v->weights[v->row], 0);
                        for (; v->left > 0 && n < VIEW_CHUNK_ROWS; v->left--)
                                pick[n++] = v->row;
                        if (v->left == 0)
                                v->row++;
                }
                if (n == 0)
                        continue;
                give(v, pick, n);
                *ret_batch = &v->out;
                return 0;
        }
}

static void view_close(struct query_scan *scan)
{
        struct view_scan *v = (struct view_scan *)scan;
        leat_scan_close(v->rows);
        leat_gather_close(v->gather);
        leat_picture_unref(v->picture);
        leat_arena_free(v->chunk_arena);
        leat_arena_free(v->arena);
        free(v);
}

static int start(struct view_scan *v, struct query_session *s, const struct leat_scan_key *key,
                 const struct leat_object *view, const struct leat_stream_graph *graph, struct leat_error *err)
{
        struct leat_state_snapshot *state = leat_picture_state(v->picture);
        struct leat_arr_def def = leat_stream_arr_def(graph, 0);
        struct leat_batch *keys = make_key(s, v->arena, key, leat_stream_output(graph), &def);
        struct leat_batch *found;
        uint64_t *bits;
        (void)view;
        if (keys == NULL) {
                LEAT_TRY(leat_scan_open(state, def.id, v->columns, v->count, &v->rows, err));
                /* The scan gives just these columns, in this order. */
                for (uint32_t i = 0; i < v->count; i++)
                        v->columns[i] = i;
                return 0;
        }
        if (def.mode != LEAT_ARR_MAP || def.order_count != 0)
                return leat_gather_open(state, def.id, keys, NULL, &v->gather, err);
        LEAT_TRY(leat_state_lookup(state, def.id, keys, v->arena, &found, &bits, err));
        v->found = (bits[0] & 1) != 0 ? found : NULL;
        return 0;
}

int leat_query_view_open(struct query_session *s, const struct leat_scan_key *key, const uint32_t *columns,
                         uint32_t count, struct query_scan **ret_scan, struct leat_error *err)
{
        const struct leat_object *view;
        struct leat_stream_graph *graph;
        struct leat_picture *picture;
        struct view_scan *v = leat_calloc(1, sizeof *v);
        v->scan.next = view_next;
        v->scan.close = view_close;
        v->arena = leat_arena_new(0);
        v->chunk_arena = leat_arena_new(64 * 1024);
        v->count = count;
        v->columns = leat_arena_alloc(v->arena, (count + 1) * sizeof *v->columns);
        memcpy(v->columns, columns, count * sizeof *columns);
        v->out.columns = leat_arena_zalloc(v->arena, (count + 1) * sizeof *v->out.columns);
        int rc = view_graph(s, key->object_id, v->arena, &view, &graph, err);
        if (rc == 0)
                rc = leat_query_session_picture(s, view->view->pipeline, &picture, err);
        if (rc == 0) {
                v->picture = leat_picture_ref(picture);
                rc = start(v, s, key, view, graph, err);
        }
        if (rc != 0) {
                view_close(&v->scan);
                return rc;
        }
        *ret_scan = &v->scan;
        return 0;
}
