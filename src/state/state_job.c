/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: merging run files beside the ticks, a slice of time after the other.
 *
 * Design    One merge at a time, of the first bucket that has a full size class.
 *           It holds its inputs; newer runs may come meanwhile, they lie in front.
 *           When it is done, its file is synced and takes the inputs' place.
 * Failure   A merge that cannot write is given up: its file goes, the inputs stay,
 *           the caller gets the error and may ask again.
 */
#include "state_int.h"

struct leat_job {
        struct leat_arr *arr;
        int64_t bucket;
        struct leat_merge merge;
        struct leat_builder *builder;
        struct leat_pack_writer pack;
};

void leat_job_abort(struct leat_state *state)
{
        struct leat_job *job = state->job;
        if (job == NULL)
                return;
        state->job = NULL;
        leat_builder_free(job->builder);
        leat_merge_done(&job->merge);
        leat_pack_writer_abort(&job->pack);
        leat_arr_unref(job->arr);
        free(job);
}

bool leat_job_uses(const struct leat_state *state, uint64_t arr, int64_t bucket)
{
        return state->job != NULL && state->job->arr->def.id == arr && state->job->bucket == bucket;
}

static int job_start(struct leat_state *state, const struct leat_table *table, const struct leat_bucket *bucket,
                     uint32_t from, uint32_t count, struct leat_error *err)
{
        uint64_t bytes = 0;
        for (uint32_t i = from; i < from + count; i++)
                bytes += bucket->runs[i]->bytes;
        LEAT_TRY(leat_state_room(state, bytes, err));
        struct leat_job *job = leat_calloc(1, sizeof *job);
        int rc = leat_pack_writer_open(state->dir, state->next_seq, &job->pack, err);
        if (rc != 0) {
                free(job);
                return rc;
        }
        state->next_seq++;
        job->arr = leat_arr_ref(table->arr);
        job->bucket = bucket->id;
        leat_merge_init(&job->merge, table->arr, bucket->runs + from, count, from + count < bucket->count);
        job->builder = leat_builder_new(table->arr, bucket->id, job->merge.keys_max, job->merge.rows_max, &job->pack);
        for (uint32_t i = from; i < from + count; i++)
                leat_builder_ticks(job->builder, bucket->runs[i]->info.tick_low, bucket->runs[i]->info.tick_high);
        state->job = job;
        return 0;
}

/* Starts the merge that is due; *ret_found false when none is. */
static int job_find(struct leat_state *state, bool *ret_found, struct leat_error *err)
{
        *ret_found = false;
        for (uint32_t e = 0; e < state->entry_count; e++) {
                const struct leat_table *table = state->entries[e].table;
                for (uint32_t b = 0; b < table->count; b++) {
                        const struct leat_bucket *bucket = table->buckets[b];
                        uint32_t from, count;
                        if (!leat_merge_pick(bucket->runs + bucket->mem_count, bucket->count - bucket->mem_count,
                                             leat_state_tuning.fanout_files, &from, &count))
                                continue;
                        *ret_found = true;
                        return job_start(state, table, bucket, bucket->mem_count + from, count, err);
                }
        }
        return 0;
}

static int job_slice(struct leat_job *job, bool *ret_end, struct leat_error *err)
{
        LEAT_TRY(leat_merge_next(&job->merge, ret_end, err));
        if (*ret_end)
                return 0;
        LEAT_TRY(leat_builder_keys(job->builder, job->merge.hashes, job->merge.firsts, job->merge.key_count, err));
        return leat_builder_refs(job->builder, job->merge.rows.refs, job->merge.rows.weights, job->merge.rows.count,
                                 err);
}

static int job_finish(struct leat_state *state, struct leat_error *err)
{
        struct leat_job *job = state->job;
        struct leat_run *run;
        struct leat_pack *pack = NULL;
        LEAT_TRY(leat_builder_finish(job->builder, &run, err));
        if (run != NULL) {
                int rc = leat_pack_writer_finish(&job->pack, &pack, err);
                if (rc != 0) {
                        leat_run_unref(run);
                        return rc;
                }
                leat_run_attach(run, pack);
                leat_state_file_add(state, pack->seq, pack->bytes);
                leat_pack_unref(pack);
        }
        struct leat_entry *entry = leat_state_entry(state, job->arr->def.id);
        const struct leat_bucket *bucket = leat_table_find(entry->table, job->bucket);
        uint32_t from = bucket->mem_count;
        while (bucket->runs[from] != job->merge.runs[0])
                from++;
        leat_state_replace(state, entry, job->bucket, from, job->merge.count, run, false);
        leat_job_abort(state);
        return 0;
}

int leat_state_merge(struct leat_state *state, int64_t budget_us, bool *ret_more, struct leat_error *err)
{
        *ret_more = false;
        if (state->options.role != LEAT_STATE_WRITER)
                return 0;
        int64_t start = leat_os_monotonic_us();
        do {
                bool end = false;
                int rc = 0;
                if (state->job == NULL) {
                        bool found;
                        LEAT_TRY(job_find(state, &found, err));
                        if (!found)
                                return 0;
                }
                rc = job_slice(state->job, &end, err);
                if (rc == 0 && end)
                        rc = job_finish(state, err);
                if (rc != 0) {
                        leat_job_abort(state);
                        return rc;
                }
        } while (leat_os_monotonic_us() - start < budget_us);
        *ret_more = true;
        return 0;
}
