/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: what its tests share: an engine with the test's relations, and plans made from text. */
#ifndef LEAT_STREAM_TEST_H
#define LEAT_STREAM_TEST_H

#include "leat/engine.h"
#include "stream_int.h"

#define STREAM_FIXTURE_RELATIONS 16
struct stream_fixture {
        struct leat_arena *arena;
        struct leat_engine *engine;
        struct leat_conn *conn; /* empty tables: binds plans */
        struct leat_stream_relation relations[STREAM_FIXTURE_RELATIONS];
        uint32_t relation_count;
};
struct stream_fixture *stream_fixture_new(void);
void stream_fixture_free(struct stream_fixture *fx);
int stream_fixture_compile(struct stream_fixture *fx, const char *sql, const struct leat_stream_options *options,
                           struct leat_stream_graph **ret_graph, struct leat_error *err);
/* Makes the view's relation known to later queries. */
void stream_fixture_view(struct stream_fixture *fx, const char *name, const struct leat_stream_graph *graph);
/* With LEAT_STREAM_CORPUS=src/stream/fuzz/corpus the tests write the seeds of the fuzz targets. */
void stream_corpus_add(const char *what, struct leat_view bytes);

#endif
