/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: SHOW PARTITIONS, what each pipeline has read of each partition of its inputs.
 *
 * Design   Positions and event times are those of the newest tick that we follow, ends are asked of the broker, once a
 *          topic. Inputs are shared by the views of a pipeline, so the rows are too; what differs by view (rows that
 *          came late, records that were put aside) stands in SHOW JOBS.
 */
#include "query_int.h"

const struct query_column leat_query_partition_columns[] = {
        {"pipeline", LEAT_T_VARCHAR},      {"input", LEAT_T_VARCHAR},      {"partition", LEAT_T_INTEGER},
        {"position", LEAT_T_BIGINT},       {"lag_records", LEAT_T_BIGINT}, {"newest_event", LEAT_T_TIMESTAMPTZ},
        {"watermark", LEAT_T_TIMESTAMPTZ}, {"idle", LEAT_T_BOOLEAN},
};
const uint32_t leat_query_partition_column_count = LEAT_ARRAY_LEN(leat_query_partition_columns);

static const struct leat_object *input_object(const struct leat_tick *tick, const struct leat_snapshot *cat,
                                              const struct leat_topic_id *topic)
{
        for (uint32_t i = 0; i < tick->input_count; i++)
                if (memcmp(&tick->inputs[i].topic, topic, sizeof *topic) == 0)
                        return leat_snapshot_get(cat, tick->inputs[i].object_id);
        return NULL;
}

/* Ends of all partitions of the topic; -1 each when the broker does not tell. */
static int64_t *topic_ends(struct query_session *s, struct leat_arena *arena, const struct leat_object *input,
                           uint32_t count)
{
        int64_t *ends = leat_arena_alloc(arena, count * sizeof *ends);
        if (leat_feed_offsets(s->feed, input->name, LEAT_FEED_LATEST, ends, (int32_t)count, NULL) != 0)
                for (uint32_t i = 0; i < count; i++)
                        ends[i] = -1;
        return ends;
}

static void partition_row(struct query_rows *rows, const char *pipeline, const struct leat_object *input,
                          const struct leat_tick_position *at, int64_t end, int64_t now_us)
{
        const struct leat_topic_def *topic = input->topic;
        int64_t lag = end - at->offset;
        leat_query_rows_add(rows);
        leat_query_rows_text(rows, 0, pipeline);
        leat_query_rows_text(rows, 1, input->name);
        leat_query_rows_int(rows, 2, at->partition);
        leat_query_rows_int(rows, 3, at->offset);
        if (end >= 0)
                leat_query_rows_int(rows, 4, LEAT_MAX(lag, 0));
        if (topic->watermark_column < 0)
                return;
        if (at->event_us != 0) {
                leat_query_rows_int(rows, 5, at->event_us);
                leat_query_rows_int(rows, 6, at->event_us - topic->watermark_delay_us);
        }
        if (end >= 0) /* one with unread records never is: the worker's rule, by append times instead of its clock */
                leat_query_rows_int(rows, 7, lag <= 0 && now_us - at->append_us >= topic->idle_timeout_us);
}

static void pipeline_rows(struct query_session *s, const struct leat_snapshot *cat, const char *pipeline,
                          const struct leat_tick *tick, struct query_rows *rows)
{
        const struct leat_tick_position *at = tick->positions, *last = at + tick->position_count;
        int64_t now_us = leat_os_now_us();
        while (at < last) {
                uint32_t count = 0; /* the partitions of a topic stand together */
                while (at + count < last && memcmp(&at[count].topic, &at->topic, sizeof at->topic) == 0)
                        count++;
                const struct leat_object *input = input_object(tick, cat, &at->topic);
                if (input != NULL && input->topic != NULL) {
                        const int64_t *ends = topic_ends(s, rows->arena, input, count);
                        for (uint32_t i = 0; i < count; i++)
                                partition_row(rows, pipeline, input, &at[i],
                                              (uint32_t)at[i].partition < count ? ends[at[i].partition] : -1, now_us);
                }
                at += count;
        }
}

int leat_query_partition_rows(struct query_session *s, const struct leat_snapshot *cat, struct query_rows *rows,
                              struct leat_error *err)
{
        struct leat_lease *leases;
        uint32_t count;
        LEAT_TRY(leat_query_session_feed(s, err));
        pthread_mutex_lock(&s->query->mutex);
        int rc = leat_catalog_leases(s->query->catalog, rows->arena, &leases, &count, err);
        pthread_mutex_unlock(&s->query->mutex);
        for (uint32_t i = 0; rc == 0 && i < count; i++) {
                struct leat_picture *pic;
                if (leat_picture_get(s->query->views, leases[i].pipeline, 0, &pic, NULL) != 0)
                        continue;
                pipeline_rows(s, cat, leases[i].pipeline, leat_picture_tick(pic), rows);
                leat_picture_unref(pic);
        }
        return rc;
}
