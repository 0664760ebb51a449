/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/catalog: the file, transactions, the version.
 *
 * Design   One SQLite file in WAL mode, so that readers never wait for the
 *          writer; synchronous=FULL, so that what returned is on disk. Each
 *          role has a connection of its own. PRAGMA data_version tells for a
 *          microsecond's price whether another connection committed anything;
 *          only then is the version row read.
 * Format   docs/formats.md, "catalog.db". application_id is "LEAT",
 *          user_version the format. Rows of objects carry a CRC32C.
 * Failure  A transaction is all or nothing. A file that SQLite finds damaged,
 *          or whose rows fail their sums, is refused with its name.
 */
#include "catalog_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "leat/os.h"

#define CATALOG_FORMAT 1
#define CATALOG_APPLICATION_ID 0x4C454154 /* "LEAT" */
#define CATALOG_BUSY_MS 10000
#define CATALOG_OPEN_RETRY_US 2000

static const char schema_sql[] =
        "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
        "INSERT INTO meta VALUES('version',1),('object',1),('intent',1),('arrangement',1);"
        "CREATE TABLE objects(id INTEGER PRIMARY KEY, space INTEGER NOT NULL, name TEXT NOT NULL,"
        " kind INTEGER NOT NULL, state INTEGER NOT NULL, sql TEXT NOT NULL, body BLOB NOT NULL, reason TEXT,"
        " created_us INTEGER NOT NULL, changed_us INTEGER NOT NULL, version INTEGER NOT NULL, sum INTEGER NOT NULL,"
        " UNIQUE(space, name));"
        "CREATE TABLE reads(reader INTEGER NOT NULL, object INTEGER NOT NULL, PRIMARY KEY(reader, object)) WITHOUT "
        "ROWID;"
        "CREATE TABLE intents(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, object_id INTEGER NOT NULL,"
        " payload BLOB NOT NULL, at_us INTEGER NOT NULL);"
        "CREATE TABLE applied(role TEXT NOT NULL, pid INTEGER NOT NULL, version INTEGER NOT NULL,"
        " PRIMARY KEY(role, pid)) WITHOUT ROWID;"
        "CREATE TABLE leases(pipeline TEXT PRIMARY KEY, incarnation INTEGER NOT NULL, pid INTEGER NOT NULL,"
        " taken_us INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE jobs(view_id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, state INTEGER NOT NULL,"
        " reason TEXT NOT NULL, progress TEXT NOT NULL, changed_us INTEGER NOT NULL);";

int leat_catalog_sqlite_error(struct leat_catalog *cat, int rc, const char *what, struct leat_error *err)
{
        const char *text = cat->db != NULL ? sqlite3_errmsg(cat->db) : sqlite3_errstr(rc);
        /* A sync that finds the disk full is an I/O error to SQLite, and that of a COMMIT it does not keep the cause of. */
        int kept = errno, os_errno = cat->db != NULL ? sqlite3_system_errno(cat->db) : 0, code;
        if (os_errno == 0)
                os_errno = kept;
        char reason[96], cause[128] = "";
        switch (rc & 0xFF) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                code = leat_error_set(err, LEAT_ECORRUPT, "catalog %s is damaged (%s: %s)", cat->path, what, text);
                leat_error_hint(err, "Put back a copy of the file; topics and their records are not in it.");
                return code;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                code = leat_error_set(err, LEAT_EBUSY, "catalog %s is held by another process (%s)", cat->path, what);
                break;
        case SQLITE_FULL:
                code = leat_error_set(err, LEAT_EFULL, "no space left for catalog %s (%s)", cat->path, what);
                leat_error_hint(err, "Free disk space and run the statement again.");
                break;
        case SQLITE_NOMEM:
                return leat_error_set(err, LEAT_ENOMEM, "out of memory in catalog %s (%s)", cat->path, what);
        case SQLITE_IOERR:
                if (os_errno != 0)
                        snprintf(cause, sizeof cause, " (%s)", strerror_r(os_errno, reason, sizeof reason));
                code = os_errno == ENOSPC || os_errno == EDQUOT ? LEAT_EFULL : LEAT_EIO;
                (void)leat_error_set(err, code, "catalog %s: %s: %s%s", cat->path, what, text, cause);
                if (code == LEAT_EIO)
                        return code;
                leat_error_hint(err, "Free disk space and run the statement again.");
                break;
        default:
                return leat_error_set(err, LEAT_EIO, "catalog %s: %s: %s", cat->path, what, text);
        }
        if (err != NULL)
                err->retriable = true;
        return code;
}

int leat_catalog_exec(struct leat_catalog *cat, const char *sql, struct leat_error *err)
{
        errno = 0;
        int rc = sqlite3_exec(cat->db, sql, NULL, NULL, NULL);
        return rc == SQLITE_OK ? 0 : leat_catalog_sqlite_error(cat, rc, "write", err);
}

static int bind_values(sqlite3_stmt *stmt, const char *fmt, va_list args)
{
        int rc = SQLITE_OK;
        for (int i = 0; fmt[i] != 0 && rc == SQLITE_OK; i++) {
                switch (fmt[i]) {
                case 'i':
                        rc = sqlite3_bind_int64(stmt, i + 1, va_arg(args, int64_t));
                        break;
                case 't':
                        rc = sqlite3_bind_text(stmt, i + 1, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
                        break;
                default: {
                        struct leat_view view = va_arg(args, struct leat_view);
                        rc = sqlite3_bind_blob64(stmt, i + 1, view.len != 0 ? (const void *)view.data : "", view.len,
                                                 SQLITE_TRANSIENT);
                        break;
                }
                }
        }
        return rc;
}

int leat_catalog_prepare(struct leat_catalog *cat, sqlite3_stmt **ret_stmt, struct leat_error *err, const char *sql,
                         const char *fmt, ...)
{
        sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(cat->db, sql, -1, &stmt, NULL);
        if (rc == SQLITE_OK) {
                va_list args;
                va_start(args, fmt);
                rc = bind_values(stmt, fmt, args);
                va_end(args);
        }
        if (rc != SQLITE_OK) {
                int code = leat_catalog_sqlite_error(cat, rc, "read", err);
                sqlite3_finalize(stmt);
                return code;
        }
        *ret_stmt = stmt;
        return 0;
}

int leat_catalog_step(struct leat_catalog *cat, sqlite3_stmt *stmt, bool *ret_row, struct leat_error *err)
{
        errno = 0;
        int rc = sqlite3_step(stmt);
        *ret_row = rc == SQLITE_ROW;
        return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : leat_catalog_sqlite_error(cat, rc, "read", err);
}

int leat_catalog_run(struct leat_catalog *cat, sqlite3_stmt *stmt, struct leat_error *err)
{
        errno = 0;
        int rc = sqlite3_step(stmt);
        int code = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : leat_catalog_sqlite_error(cat, rc, "write", err);
        sqlite3_finalize(stmt);
        return code;
}

int leat_catalog_tx_begin(struct leat_catalog *cat, bool *ret_own, struct leat_error *err)
{
        *ret_own = !cat->in_change;
        return *ret_own ? leat_catalog_exec(cat, "BEGIN IMMEDIATE", err) : 0;
}

int leat_catalog_tx_end(struct leat_catalog *cat, bool own, int rc, struct leat_error *err)
{
        if (!own)
                return rc;
        if (rc == 0)
                rc = leat_catalog_exec(cat, "COMMIT", err);
        if (rc != 0 && sqlite3_get_autocommit(cat->db) == 0)
                sqlite3_exec(cat->db, "ROLLBACK", NULL, NULL, NULL);
        return rc;
}

char *leat_catalog_column_text(struct leat_arena *arena, sqlite3_stmt *stmt, int column)
{
        const char *text = (const char *)sqlite3_column_text(stmt, column);
        return text != NULL ? leat_arena_strdup(arena, text) : NULL;
}

struct leat_view leat_catalog_column_blob(struct leat_arena *arena, sqlite3_stmt *stmt, int column)
{
        size_t len = (size_t)sqlite3_column_bytes(stmt, column);
        const void *data = sqlite3_column_blob(stmt, column);
        void *copy = leat_arena_alloc(arena, len + 1);
        if (len != 0)
                memcpy(copy, data, len);
        return leat_view_of(copy, len);
}

static int pragma_int(struct leat_catalog *cat, const char *sql, int64_t *ret_value, struct leat_error *err)
{
        sqlite3_stmt *stmt;
        bool row;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, sql, ""));
        int rc = leat_catalog_step(cat, stmt, &row, err);
        if (rc == 0)
                *ret_value = row ? sqlite3_column_int64(stmt, 0) : 0;
        sqlite3_finalize(stmt);
        return rc;
}

static int check_pages(struct leat_catalog *cat, const char *pragma, struct leat_error *err)
{
        sqlite3_stmt *stmt;
        bool row;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, pragma, ""));
        int rc = leat_catalog_step(cat, stmt, &row, err);
        if (rc == 0 && row && strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0) {
                rc = leat_error_set(err, LEAT_ECORRUPT, "catalog %s is damaged: %s", cat->path,
                                    (const char *)sqlite3_column_text(stmt, 0));
                leat_error_hint(err, "Put back a copy of the file; topics and their records are not in it.");
        }
        sqlite3_finalize(stmt);
        return rc;
}

/* Makes the tables in a new file; inside the transaction, so that of several roles only one does. */
static int create_schema(struct leat_catalog *cat, struct leat_error *err)
{
        char sql[96];
        int64_t format;
        bool own;
        LEAT_TRY(leat_catalog_tx_begin(cat, &own, err));
        int rc = pragma_int(cat, "PRAGMA user_version", &format, err);
        if (rc == 0 && format == 0) {
                snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d", CATALOG_APPLICATION_ID,
                         CATALOG_FORMAT);
                rc = leat_catalog_exec(cat, schema_sql, err);
                if (rc == 0)
                        rc = leat_catalog_exec(cat, sql, err);
        }
        return leat_catalog_tx_end(cat, own, rc, err);
}

static int check_format(struct leat_catalog *cat, struct leat_error *err)
{
        int64_t format, application = 0, tables = 0;
        /* At one moment: another role may be making the tables. */
        LEAT_TRY(leat_catalog_exec(cat, "BEGIN", err));
        int rc = pragma_int(cat, "PRAGMA user_version", &format, err);
        if (rc == 0)
                rc = pragma_int(cat, "PRAGMA application_id", &application, err);
        if (rc == 0)
                rc = pragma_int(cat, "SELECT count(*) FROM sqlite_schema", &tables, err);
        LEAT_TRY(leat_catalog_tx_end(cat, true, rc, err));
        if (format == 0 && tables == 0)
                return create_schema(cat, err);
        if (application != CATALOG_APPLICATION_ID)
                return leat_error_set(err, LEAT_ECORRUPT, "%s is a SQLite file, but no catalog of Leat", cat->path);
        if (format != CATALOG_FORMAT)
                return leat_error_set(err, LEAT_EUNSUPPORTED, "catalog %s has format %lld, this program reads %d",
                                      cat->path, (long long)format, CATALOG_FORMAT);
        return check_pages(cat, "PRAGMA quick_check(1)", err);
}

/* Sets the file up as we want it. SQLite does not wait for others while it changes a new file to WAL mode, so we do. */
static int open_settings(struct leat_catalog *cat, struct leat_error *err)
{
        int64_t end_us = leat_os_monotonic_us() + CATALOG_BUSY_MS * 1000;
        for (;;) {
                int rc = leat_catalog_exec(
                        cat, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA trusted_schema=OFF", err);
                if (rc == 0)
                        rc = check_format(cat, err);
                if (rc != LEAT_EBUSY || leat_os_monotonic_us() >= end_us)
                        return rc;
                leat_os_sleep_us(CATALOG_OPEN_RETRY_US);
        }
}

int leat_catalog_open(const char *path, struct leat_catalog **ret_cat, struct leat_error *err)
{
        struct leat_catalog *cat = leat_calloc(1, sizeof *cat);
        const char *vfs;
        int rc;
        cat->path = leat_strdup(path);
        int sqlite_rc = leat_catalog_vfs(&vfs);
        if (sqlite_rc == SQLITE_OK)
                sqlite_rc = sqlite3_open_v2(
                        path, &cat->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
        if (sqlite_rc != SQLITE_OK) {
                rc = leat_catalog_sqlite_error(cat, sqlite_rc, "open", err);
                goto fail;
        }
        sqlite3_busy_timeout(cat->db, CATALOG_BUSY_MS);
        LEAT_TRY_GOTO(open_settings(cat, err));
        LEAT_TRY_GOTO(leat_catalog_prepare(cat, &cat->data_version, err, "PRAGMA data_version", ""));
        LEAT_TRY_GOTO(
                leat_catalog_prepare(cat, &cat->get_version, err, "SELECT value FROM meta WHERE name='version'", ""));
        *ret_cat = cat;
        return 0;
fail:
        leat_catalog_close(cat);
        return rc;
}

void leat_catalog_close(struct leat_catalog *cat)
{
        if (cat == NULL)
                return;
        sqlite3_finalize(cat->data_version);
        sqlite3_finalize(cat->get_version);
        sqlite3_close(cat->db);
        free(cat->path);
        free(cat);
}

int leat_catalog_verify(struct leat_catalog *cat, struct leat_error *err)
{
        const struct leat_snapshot *snapshot;
        LEAT_TRY(check_pages(cat, "PRAGMA integrity_check(1)", err));
        struct leat_arena *arena = leat_arena_new(0);
        int rc = leat_catalog_load(cat, arena, &snapshot, err);
        leat_arena_free(arena);
        return rc;
}

static int read_one(struct leat_catalog *cat, sqlite3_stmt *stmt, int64_t *ret_value, struct leat_error *err)
{
        bool row;
        int rc = leat_catalog_step(cat, stmt, &row, err);
        if (rc == 0 && !row)
                rc = leat_error_set(err, LEAT_ECORRUPT, "catalog %s has no version", cat->path);
        if (rc == 0)
                *ret_value = sqlite3_column_int64(stmt, 0);
        sqlite3_reset(stmt);
        return rc;
}

int leat_catalog_version(struct leat_catalog *cat, uint64_t *ret_version, struct leat_error *err)
{
        int64_t data_version, version;
        LEAT_TRY(read_one(cat, cat->data_version, &data_version, err));
        if (!cat->version_known || data_version != cat->seen_data_version) {
                LEAT_TRY(read_one(cat, cat->get_version, &version, err));
                cat->seen_version = (uint64_t)version;
                cat->seen_data_version = data_version;
                cat->version_known = true;
        }
        *ret_version = cat->seen_version;
        return 0;
}

int leat_catalog_counter(struct leat_catalog *cat, const char *name, uint64_t count, uint64_t *ret_old,
                         struct leat_error *err)
{
        sqlite3_stmt *stmt;
        bool row;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, "UPDATE meta SET value=value+? WHERE name=? RETURNING value",
                                      "it", (int64_t)count, name));
        int rc = leat_catalog_step(cat, stmt, &row, err);
        if (rc == 0 && !row)
                rc = leat_error_set(err, LEAT_ECORRUPT, "catalog %s has no counter \"%s\"", cat->path, name);
        if (rc == 0)
                *ret_old = (uint64_t)sqlite3_column_int64(stmt, 0) - count;
        sqlite3_finalize(stmt);
        return rc;
}

int leat_catalog_begin(struct leat_catalog *cat, struct leat_error *err)
{
        LEAT_ASSERT(!cat->in_change);
        LEAT_TRY(leat_catalog_exec(cat, "BEGIN IMMEDIATE", err));
        cat->in_change = true;
        return 0;
}

int leat_catalog_commit(struct leat_catalog *cat, uint64_t *ret_version, struct leat_error *err)
{
        uint64_t old;
        LEAT_ASSERT(cat->in_change);
        cat->in_change = false;
        int rc = leat_catalog_counter(cat, "version", 1, &old, err);
        rc = leat_catalog_tx_end(cat, true, rc, err);
        if (rc != 0)
                return rc;
        cat->version_known = false;
        *ret_version = old + 1;
        return 0;
}

void leat_catalog_rollback(struct leat_catalog *cat)
{
        cat->in_change = false;
        if (sqlite3_get_autocommit(cat->db) == 0)
                sqlite3_exec(cat->db, "ROLLBACK", NULL, NULL, NULL);
}
