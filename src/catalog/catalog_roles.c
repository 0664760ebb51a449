/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/catalog: the rows by which roles meet: applied versions, leases, jobs,
 * arrangement ids. None of them raises the catalog's version.
 */
#include <stdio.h>

#include "catalog_int.h"

#include "leat/os.h"

#define APPLIED_POLL_US 2000

/* ---- applied versions ----------------------------------------------------------- */
int leat_catalog_applied_set(struct leat_catalog *cat, const char *role, int pid, uint64_t version,
                             struct leat_error *err)
{
        sqlite3_stmt *stmt;
        bool own;
        LEAT_TRY(leat_catalog_tx_begin(cat, &own, err));
        /* A role that was started again takes the place of its dead predecessor, whose pid may be somebody else's by now. */
        int rc = leat_catalog_prepare(cat, &stmt, err, "DELETE FROM applied WHERE role=? AND pid<>?", "ti", role,
                                      (int64_t)pid);
        if (rc == 0)
                rc = leat_catalog_run(cat, stmt, err);
        if (rc == 0)
                rc = leat_catalog_prepare(cat, &stmt, err, "INSERT OR REPLACE INTO applied VALUES(?,?,?)", "tii", role,
                                          (int64_t)pid, (int64_t)version);
        if (rc == 0)
                rc = leat_catalog_run(cat, stmt, err);
        return leat_catalog_tx_end(cat, own, rc, err);
}

int leat_catalog_applied_remove(struct leat_catalog *cat, const char *role, int pid, struct leat_error *err)
{
        sqlite3_stmt *stmt;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, "DELETE FROM applied WHERE role=? AND pid=?", "ti", role,
                                      (int64_t)pid));
        return leat_catalog_run(cat, stmt, err);
}

static bool role_wanted(const char *role, const char *const *roles, uint32_t count)
{
        for (uint32_t i = 0; i < count; i++) {
                if (strncmp(role, roles[i], strlen(roles[i])) == 0)
                        return true;
        }
        return false;
}

/* Finds a process that is behind; *ret_pid 0 when there is none. Outside a read transaction afterwards, so that the
 * caller may write. */
static int find_behind(struct leat_catalog *cat, const char *const *roles, uint32_t role_count, uint64_t version,
                       char *ret_role, size_t role_bytes, int *ret_pid, struct leat_error *err)
{
        sqlite3_stmt *stmt;
        bool row;
        int rc;
        *ret_pid = 0;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, "SELECT role, pid FROM applied WHERE version<?", "i",
                                      (int64_t)version));
        while ((rc = leat_catalog_step(cat, stmt, &row, err)) == 0 && row) {
                const char *role = (const char *)sqlite3_column_text(stmt, 0);
                if (!role_wanted(role, roles, role_count))
                        continue;
                snprintf(ret_role, role_bytes, "%s", role);
                *ret_pid = sqlite3_column_int(stmt, 1);
                break;
        }
        sqlite3_finalize(stmt);
        return rc;
}

int leat_catalog_applied_wait(struct leat_catalog *cat, const char *const *roles, uint32_t role_count, uint64_t version,
                              int64_t timeout_us, struct leat_error *err)
{
        int64_t deadline = leat_os_monotonic_us() + timeout_us;
        char role[128];
        int pid;
        for (;;) {
                LEAT_TRY(find_behind(cat, roles, role_count, version, role, sizeof role, &pid, err));
                if (pid == 0)
                        return 0;
                if (!leat_os_pid_alive(pid)) {
                        LEAT_TRY(leat_catalog_applied_remove(cat, role, pid, err));
                        continue;
                }
                if (leat_os_monotonic_us() >= deadline)
                        break;
                leat_os_sleep_us(APPLIED_POLL_US);
        }
        leat_error_set(err, LEAT_ETIMEOUT, "%s (pid %d) has not taken over the change yet", role, pid);
        leat_error_hint(err, "The change is made; look at the log of that process.");
        return LEAT_ETIMEOUT;
}

/* ---- leases ------------------------------------------------------------------------ */
int leat_catalog_lease_take(struct leat_catalog *cat, const char *pipeline, int pid, uint64_t *ret_incarnation,
                            struct leat_error *err)
{
        sqlite3_stmt *stmt;
        bool row;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err,
                                      "INSERT INTO leases VALUES(?,1,?,?) ON CONFLICT(pipeline) DO UPDATE SET"
                                      " incarnation=incarnation+1, pid=excluded.pid, taken_us=excluded.taken_us"
                                      " RETURNING incarnation",
                                      "tii", pipeline, (int64_t)pid, leat_os_now_us()));
        int rc = leat_catalog_step(cat, stmt, &row, err);
        uint64_t incarnation = rc == 0 && row ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
        /* The statement is committed when it has been stepped to its end. */
        if (rc == 0)
                rc = leat_catalog_step(cat, stmt, &row, err);
        sqlite3_finalize(stmt);
        if (rc == 0)
                *ret_incarnation = incarnation;
        return rc;
}

int leat_catalog_leases(struct leat_catalog *cat, struct leat_arena *arena, struct leat_lease **ret_leases,
                        uint32_t *ret_count, struct leat_error *err)
{
        sqlite3_stmt *stmt;
        struct leat_lease *leases = NULL;
        uint32_t count = 0;
        bool row;
        int rc;
        LEAT_TRY(leat_catalog_prepare(
                cat, &stmt, err,
                "SELECT pipeline,incarnation,pid,taken_us,(SELECT count(*) FROM leases) FROM leases ORDER BY pipeline",
                ""));
        while ((rc = leat_catalog_step(cat, stmt, &row, err)) == 0 && row) {
                if (leases == NULL)
                        leases = leat_arena_zalloc(arena, (size_t)sqlite3_column_int64(stmt, 4) * sizeof *leases);
                leases[count++] = (struct leat_lease){
                        .pipeline = leat_catalog_column_text(arena, stmt, 0),
                        .incarnation = (uint64_t)sqlite3_column_int64(stmt, 1),
                        .pid = sqlite3_column_int(stmt, 2),
                        .taken_us = sqlite3_column_int64(stmt, 3),
                };
        }
        sqlite3_finalize(stmt);
        if (rc != 0)
                return rc;
        *ret_leases = leases;
        *ret_count = count;
        return 0;
}

int leat_catalog_arrangement_ids(struct leat_catalog *cat, uint32_t count, uint64_t *ret_first, struct leat_error *err)
{
        bool own;
        uint64_t first;
        LEAT_TRY(leat_catalog_tx_begin(cat, &own, err));
        int rc = leat_catalog_counter(cat, "arrangement", count, &first, err);
        rc = leat_catalog_tx_end(cat, own, rc, err);
        if (rc == 0)
                *ret_first = first;
        return rc;
}

/* ---- jobs -------------------------------------------------------------------------- */
static int check_incarnation(struct leat_catalog *cat, const char *pipeline, uint64_t incarnation,
                             struct leat_error *err)
{
        sqlite3_stmt *stmt;
        bool row;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err, "SELECT incarnation FROM leases WHERE pipeline=?", "t",
                                      pipeline));
        int rc = leat_catalog_step(cat, stmt, &row, err);
        uint64_t newest = rc == 0 && row ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
        sqlite3_finalize(stmt);
        if (rc == 0 && newest > incarnation)
                rc = leat_error_set(err, LEAT_EFENCED,
                                    "pipeline \"%s\" has a newer worker (incarnation %llu, not %llu)", pipeline,
                                    (unsigned long long)newest, (unsigned long long)incarnation);
        return rc;
}

int leat_catalog_job_set(struct leat_catalog *cat, const struct leat_job *job, uint64_t incarnation,
                         struct leat_error *err)
{
        sqlite3_stmt *stmt;
        bool own;
        LEAT_TRY(leat_catalog_tx_begin(cat, &own, err));
        int rc = check_incarnation(cat, job->pipeline, incarnation, err);
        if (rc == 0)
                rc = leat_catalog_prepare(cat, &stmt, err, "INSERT OR REPLACE INTO jobs VALUES(?,?,?,?,?,?)", "ititti",
                                          (int64_t)job->view_id, job->pipeline, (int64_t)job->state,
                                          job->reason != NULL ? job->reason : "",
                                          job->progress != NULL ? job->progress : "", leat_os_now_us());
        if (rc == 0)
                rc = leat_catalog_run(cat, stmt, err);
        return leat_catalog_tx_end(cat, own, rc, err);
}

int leat_catalog_jobs(struct leat_catalog *cat, struct leat_arena *arena, struct leat_job **ret_jobs,
                      uint32_t *ret_count, struct leat_error *err)
{
        sqlite3_stmt *stmt;
        struct leat_job *jobs = NULL;
        uint32_t count = 0;
        bool row;
        int rc;
        LEAT_TRY(leat_catalog_prepare(cat, &stmt, err,
                                      "SELECT view_id,pipeline,state,reason,progress,changed_us,(SELECT count(*) FROM"
                                      " jobs) FROM jobs ORDER BY view_id",
                                      ""));
        while ((rc = leat_catalog_step(cat, stmt, &row, err)) == 0 && row) {
                if (jobs == NULL)
                        jobs = leat_arena_zalloc(arena, (size_t)sqlite3_column_int64(stmt, 6) * sizeof *jobs);
                jobs[count++] = (struct leat_job){
                        .view_id = (uint64_t)sqlite3_column_int64(stmt, 0),
                        .pipeline = leat_catalog_column_text(arena, stmt, 1),
                        .state = (uint8_t)sqlite3_column_int(stmt, 2),
                        .reason = leat_catalog_column_text(arena, stmt, 3),
                        .progress = leat_catalog_column_text(arena, stmt, 4),
                        .changed_us = sqlite3_column_int64(stmt, 5),
                };
        }
        sqlite3_finalize(stmt);
        if (rc != 0)
                return rc;
        *ret_jobs = jobs;
        *ret_count = count;
        return 0;
}
