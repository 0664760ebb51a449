/* SPDX-License-Identifier: Apache-2.0 */
/* leat/catalog: inside. */
#ifndef LEAT_CATALOG_INT_H
#define LEAT_CATALOG_INT_H

#include <sqlite3.h>

#include "leat/catalog.h"

struct leat_catalog {
        sqlite3 *db;
        char *path;
        sqlite3_stmt *data_version; /* PRAGMA data_version */
        sqlite3_stmt *get_version;
        int64_t seen_data_version;
        uint64_t seen_version;
        bool version_known;
        bool in_change; /* between begin and commit */
};

/* The VFS to open files with (catalog_vfs.c); an SQLite code when it cannot be registered. Thread: any. */
int leat_catalog_vfs(const char **ret_name) LEAT_NODISCARD;
/* Fills @err from the handle's last error; names the file and what was tried. */
int leat_catalog_sqlite_error(struct leat_catalog *cat, int rc, const char *what, struct leat_error *err);
/* Prepares @sql and binds @fmt's values in order: i int64, t text (NULL allowed), b view. */
int leat_catalog_prepare(struct leat_catalog *cat, sqlite3_stmt **ret_stmt, struct leat_error *err, const char *sql,
                         const char *fmt, ...) LEAT_NODISCARD;
/* Runs a prepared statement that gives no rows, and finalizes it. */
int leat_catalog_run(struct leat_catalog *cat, sqlite3_stmt *stmt, struct leat_error *err) LEAT_NODISCARD;
/* Steps: 1 = a row, 0 = end, else *ret_rc is the error that err describes (the statement is finalized then). */
int leat_catalog_step(struct leat_catalog *cat, sqlite3_stmt *stmt, bool *ret_row,
                      struct leat_error *err) LEAT_NODISCARD;
int leat_catalog_exec(struct leat_catalog *cat, const char *sql, struct leat_error *err) LEAT_NODISCARD;
/* BEGIN IMMEDIATE, unless a change is open; *ret_own tells whether to commit. */
int leat_catalog_tx_begin(struct leat_catalog *cat, bool *ret_own, struct leat_error *err) LEAT_NODISCARD;
/* Commits or, when @rc is not 0, rolls back an own transaction; returns @rc or the error of the commit. */
int leat_catalog_tx_end(struct leat_catalog *cat, bool own, int rc, struct leat_error *err) LEAT_NODISCARD;
/* Adds @count to the counter @name and returns its old value. */
int leat_catalog_counter(struct leat_catalog *cat, const char *name, uint64_t count, uint64_t *ret_old,
                         struct leat_error *err) LEAT_NODISCARD;
char *leat_catalog_column_text(struct leat_arena *arena, sqlite3_stmt *stmt, int column);
struct leat_view leat_catalog_column_blob(struct leat_arena *arena, sqlite3_stmt *stmt, int column);

#endif
