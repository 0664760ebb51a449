/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/catalog: objects, what they read, and the journal of intents.
 *
 * Each row of objects carries a CRC32C over kind, name, text and body, checked
 * when it is read: SQLite finds torn pages, not a flipped bit in a blob.
 */
#include "catalog_int.h"

#include "leat/os.h"

static uint32_t object_sum(int kind, const char *name, const char *sql, struct leat_view body)
{
        uint8_t k = (uint8_t)kind;
        uint32_t sum = leat_crc32c(0, &k, 1);
        sum = leat_crc32c(sum, name, strlen(name) + 1);
        sum = leat_crc32c(sum, sql, strlen(sql) + 1);
        return leat_crc32c(sum, body.data, body.len);
}

/* ---- writing ---------------------------------------------------------------- */
static int check_name_free(struct leat_catalog *cat, int space, const char *name, uint64_t id, struct leat_error *err)
{
        sqlite3_stmt *stmt;
        bool row;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, "SELECT kind FROM objects WHERE space=? AND name=? AND id<>?",
                                      "iti", (int64_t)space, name, (int64_t)id));
        int rc = leat_catalog_step(cat, stmt, &row, err);
        if (rc == 0 && row)
                rc = leat_error_set(err, LEAT_EEXISTS, "%s \"%s\" already exists",
                                    leat_object_kind_name(sqlite3_column_int(stmt, 0)), name);
        sqlite3_finalize(stmt);
        return rc;
}

static int write_reads(struct leat_catalog *cat, uint64_t id, const struct leat_object *object, struct leat_error *err)
{
        sqlite3_stmt *stmt;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, "DELETE FROM reads WHERE reader=?", "i", (int64_t)id));
        LEAT_TRY(leat_catalog_run(cat, stmt, err));
        for (uint32_t i = 0; i < object->read_count; i++) {
                LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, "INSERT OR IGNORE INTO reads VALUES(?,?)", "ii",
                                              (int64_t)id, (int64_t)object->reads[i]));
                LEAT_TRY(leat_catalog_run(cat, stmt, err));
        }
        return 0;
}

int leat_catalog_put(struct leat_catalog *cat, const struct leat_object *object, uint64_t *ret_id,
                     struct leat_error *err)
{
        struct leat_buf body = LEAT_BUF_INIT;
        sqlite3_stmt *stmt;
        uint64_t id = object->id;
        int64_t space = object->kind == LEAT_OBJECT_DASHBOARD, now = leat_os_now_us();
        const char *sql = object->sql != NULL ? object->sql : "";
        int rc;

        LEAT_ASSERT(cat->in_change);
        LEAT_TRY(check_name_free(cat, (int)space, object->name, id, err));
        if (id == 0)
                LEAT_TRY(leat_catalog_counter(cat, "object", 1, &id, err));
        leat_object_encode(object, &body);
        uint32_t sum = object_sum(object->kind, object->name, sql, leat_buf_view(&body));
        LEAT_TRY_GOTO(leat_catalog_prepare(
                cat, &stmt, err,
                "INSERT INTO objects(id,space,name,kind,state,sql,body,reason,created_us,changed_us,version,sum)"
                " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?9,(SELECT value+1 FROM meta WHERE name='version'),?10)"
                " ON CONFLICT(id) DO UPDATE SET space=?2, name=?3, kind=?4, state=?5, sql=?6, body=?7, reason=?8,"
                " changed_us=?9, version=excluded.version, sum=?10",
                "iitiitbtii", (int64_t)id, space, object->name, (int64_t)object->kind, (int64_t)object->state, sql,
                leat_buf_view(&body), object->reason, now, (int64_t)sum));
        LEAT_TRY_GOTO(leat_catalog_run(cat, stmt, err));
        LEAT_TRY_GOTO(write_reads(cat, id, object, err));
        leat_buf_done(&body);
        *ret_id = id;
        return 0;
fail:
        leat_buf_done(&body);
        return rc;
}

int leat_catalog_delete(struct leat_catalog *cat, uint64_t id, struct leat_error *err)
{
        static const char *const statements[] = {"DELETE FROM objects WHERE id=?", "DELETE FROM reads WHERE reader=?",
                                                 "DELETE FROM reads WHERE object=?",
                                                 "DELETE FROM jobs WHERE view_id=?"};
        sqlite3_stmt *stmt;
        LEAT_ASSERT(cat->in_change);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(statements); i++) {
                LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, statements[i], "i", (int64_t)id));
                LEAT_TRY(leat_catalog_run(cat, stmt, err));
        }
        return 0;
}

/* ---- loading ---------------------------------------------------------------- */
static int load_reads(struct leat_catalog *cat, struct leat_arena *arena, struct leat_object *object,
                      struct leat_error *err)
{
        sqlite3_stmt *stmt;
        bool row;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err,
                                      "SELECT object, count(*) OVER () FROM reads WHERE reader=? ORDER BY 1", "i",
                                      (int64_t)object->id));
        int rc;
        uint64_t *reads = NULL;
        while ((rc = leat_catalog_step(cat, stmt, &row, err)) == 0 && row) {
                if (reads == NULL)
                        object->reads = reads =
                                leat_arena_alloc(arena, (size_t)sqlite3_column_int64(stmt, 1) * sizeof *reads);
                reads[object->read_count++] = (uint64_t)sqlite3_column_int64(stmt, 0);
        }
        sqlite3_finalize(stmt);
        return rc;
}

static int load_object(struct leat_catalog *cat, struct leat_arena *arena, sqlite3_stmt *stmt,
                       struct leat_object *object, struct leat_error *err)
{
        struct leat_view body = leat_view_of(sqlite3_column_blob(stmt, 6), (size_t)sqlite3_column_bytes(stmt, 6));
        object->id = (uint64_t)sqlite3_column_int64(stmt, 0);
        object->name = leat_catalog_column_text(arena, stmt, 2);
        int kind = sqlite3_column_int(stmt, 3);
        object->state = (uint8_t)sqlite3_column_int(stmt, 4);
        object->sql = leat_catalog_column_text(arena, stmt, 5);
        object->reason = leat_catalog_column_text(arena, stmt, 7);
        object->created_us = sqlite3_column_int64(stmt, 8);
        object->changed_us = sqlite3_column_int64(stmt, 9);
        object->version = (uint64_t)sqlite3_column_int64(stmt, 10);
        if (object_sum(kind, object->name, object->sql, body) != (uint32_t)sqlite3_column_int64(stmt, 11))
                return leat_error_set(err, LEAT_ECORRUPT, "catalog %s: the definition of \"%s\" is damaged", cat->path,
                                      object->name);
        int rc = leat_object_decode(arena, kind, body, object, err);
        if (rc != 0)
                leat_error_prefix(err, "catalog %s: \"%s\"", cat->path, object->name);
        return rc;
}

static int load_objects(struct leat_catalog *cat, struct leat_arena *arena, struct leat_snapshot *snapshot,
                        struct leat_error *err)
{
        sqlite3_stmt *stmt;
        struct leat_object *objects = NULL;
        bool row;
        int rc;
        LEAT_TRY(leat_catalog_prepare(
                cat, &stmt, err,
                "SELECT id,space,name,kind,state,sql,body,reason,created_us,changed_us,version,sum,"
                " (SELECT count(*) FROM objects), (SELECT value FROM meta WHERE name='version')"
                " FROM objects ORDER BY space, name",
                ""));
        while ((rc = leat_catalog_step(cat, stmt, &row, err)) == 0 && row) {
                if (objects == NULL)
                        snapshot->objects = objects =
                                leat_arena_zalloc(arena, (size_t)sqlite3_column_int64(stmt, 12) * sizeof *objects);
                rc = load_object(cat, arena, stmt, &objects[snapshot->object_count], err);
                if (rc != 0)
                        break;
                snapshot->object_count++;
        }
        sqlite3_finalize(stmt);
        for (uint32_t i = 0; rc == 0 && i < snapshot->object_count; i++)
                rc = load_reads(cat, arena, &objects[i], err);
        return rc;
}

int leat_catalog_load(struct leat_catalog *cat, struct leat_arena *arena, const struct leat_snapshot **ret_snapshot,
                      struct leat_error *err)
{
        struct leat_snapshot *snapshot = leat_arena_zalloc(arena, sizeof *snapshot);
        sqlite3_stmt *stmt;
        bool row, own = !cat->in_change;
        if (own)
                LEAT_TRY(leat_catalog_exec(cat, "BEGIN", err));
        int rc = leat_catalog_prepare(cat, &stmt, err, "SELECT value FROM meta WHERE name='version'", "");
        if (rc == 0) {
                rc = leat_catalog_step(cat, stmt, &row, err);
                if (rc == 0)
                        snapshot->version = (uint64_t)sqlite3_column_int64(stmt, 0);
                sqlite3_finalize(stmt);
        }
        if (rc == 0)
                rc = load_objects(cat, arena, snapshot, err);
        rc = leat_catalog_tx_end(cat, own, rc, err);
        if (rc == 0)
                *ret_snapshot = snapshot;
        return rc;
}

/* ---- journal ------------------------------------------------------------------ */
int leat_catalog_intent_add(struct leat_catalog *cat, const struct leat_intent *intent, uint64_t *ret_id,
                            struct leat_error *err)
{
        sqlite3_stmt *stmt;
        uint64_t id;
        LEAT_ASSERT(cat->in_change);
        LEAT_TRY(leat_catalog_counter(cat, "intent", 1, &id, err));
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, "INSERT INTO intents VALUES(?,?,?,?,?)", "iiibi", (int64_t)id,
                                      (int64_t)intent->kind, (int64_t)intent->object_id, intent->payload,
                                      leat_os_now_us()));
        LEAT_TRY(leat_catalog_run(cat, stmt, err));
        *ret_id = id;
        return 0;
}

int leat_catalog_intent_remove(struct leat_catalog *cat, uint64_t id, struct leat_error *err)
{
        sqlite3_stmt *stmt;
        LEAT_ASSERT(cat->in_change);
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, "DELETE FROM intents WHERE id=?", "i", (int64_t)id));
        return leat_catalog_run(cat, stmt, err);
}

int leat_catalog_intents(struct leat_catalog *cat, struct leat_arena *arena, struct leat_intent **ret_intents,
                         uint32_t *ret_count, struct leat_error *err)
{
        sqlite3_stmt *stmt;
        struct leat_intent *intents = NULL;
        uint32_t count = 0;
        bool row;
        int rc;
        LEAT_TRY(leat_catalog_prepare(
                cat, &stmt, err,
                "SELECT id,kind,object_id,payload,at_us,(SELECT count(*) FROM intents) FROM intents ORDER BY id", ""));
        while ((rc = leat_catalog_step(cat, stmt, &row, err)) == 0 && row) {
                if (intents == NULL)
                        intents = leat_arena_zalloc(arena, (size_t)sqlite3_column_int64(stmt, 5) * sizeof *intents);
                intents[count++] = (struct leat_intent){
                        .id = (uint64_t)sqlite3_column_int64(stmt, 0),
                        .kind = (uint8_t)sqlite3_column_int(stmt, 1),
                        .object_id = (uint64_t)sqlite3_column_int64(stmt, 2),
                        .payload = leat_catalog_column_blob(arena, stmt, 3),
                        .at_us = sqlite3_column_int64(stmt, 4),
                };
        }
        sqlite3_finalize(stmt);
        if (rc != 0)
                return rc;
        *ret_intents = intents;
        *ret_count = count;
        return 0;
}
