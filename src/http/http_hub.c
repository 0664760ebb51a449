/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/http: one series of events for many viewers.
 *
 * Events   stand in one list in the order of their sequence numbers, which go on
 *          over all hubs of the process and start from the clock, so that an id of
 *          an earlier process is older than any of ours. An event is dropped when a
 *          later one replaces it; so the list is the state, and the part of it
 *          after a sequence number is what brings a viewer from there up to date.
 * Cost     encoding once; for each viewer one reference and a part of one system
 *          call (net gathers what a turn has queued).
 * Memory   the state once, however many viewers. It is the sender's business to
 *          send a snapshot before patches have grown large
 *          (leat_http_hub_patch_bytes).
 */
#include "http_int.h"

#include <stdio.h>
#include <stdlib.h>

struct hub_event {
        struct hub_event *next;
        struct leat_block *block;
        uint64_t seq;
        enum leat_http_event kind;
        int key;
        char name[16];
};

struct leat_http_hub {
        struct leat_http *http;
        struct leat_http_hub *prev, *next;
        struct leat_http_hub_opts opts;
        struct hub_event *first, **last;
        struct http_stream *streams;
        size_t snapshot_bytes, patch_bytes;
        int viewers;
};

static uint64_t newest_seq; /* over all hubs; they are on one thread */

static uint64_t next_seq(void)
{
        if (newest_seq == 0)
                newest_seq = (uint64_t)leat_os_now_us();
        return ++newest_seq;
}

/* ---- state ---- */

static size_t *bytes_of(struct leat_http_hub *hub, const struct hub_event *event)
{
        return event->kind == LEAT_HTTP_SNAPSHOT ? &hub->snapshot_bytes : &hub->patch_bytes;
}

static bool replaces(const struct hub_event *event, const struct hub_event *old)
{
        if (event->key != old->key)
                return false;
        return event->kind == LEAT_HTTP_SNAPSHOT ||
               (event->kind == LEAT_HTTP_NOTE && old->kind == LEAT_HTTP_NOTE && strcmp(event->name, old->name) == 0);
}

/* Drops what @event (NULL: the end of all) makes needless. */
static void state_drop(struct leat_http_hub *hub, const struct hub_event *event)
{
        struct hub_event **at = &hub->first;
        while (*at) {
                struct hub_event *old = *at;
                if (event && !replaces(event, old)) {
                        at = &old->next;
                        continue;
                }
                *at = old->next;
                *bytes_of(hub, old) -= old->block->len;
                leat_block_unref(old->block);
                free(old);
        }
        hub->last = at;
}

static struct leat_block *event_encode(const struct hub_event *event, int64_t tick, struct leat_view data)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_buf_reserve(&buf, data.len + 128);
        leat_buf_printf(&buf, "id: %lld.%llu\nevent: %s\ndata: ", (long long)tick, (unsigned long long)event->seq,
                        event->name);
        const uint8_t *at = data.data, *end = data.data + data.len;
        while (at < end) { /* each line of the data is a line of its own */
                const uint8_t *stop = at;
                while (stop < end && *stop != '\n' && *stop != '\r')
                        stop++;
                leat_buf_add(&buf, at, (size_t)(stop - at));
                if (stop < end)
                        leat_buf_add_str(&buf, "\ndata: ");
                at = stop + 1;
        }
        leat_buf_add_str(&buf, "\n\n");
        return leat_block_from_buf(&buf);
}

/* ---- viewers ---- */

static void stream_write(struct http_stream *stream, const struct hub_event *event)
{
        leat_net_conn_write_block(stream->net, event->block, leat_view_of(event->block->data, event->block->len));
        stream->seq = event->seq;
}

static void stream_catch_up(struct http_stream *stream)
{
        for (struct hub_event *event = stream->hub->first; event; event = event->next) {
                if (event->seq > stream->seq)
                        stream_write(stream, event);
        }
}

void leat_http_stream_drained(struct http_stream *stream)
{
        if (!stream->is_slow || !stream->hub)
                return;
        stream->is_slow = false;
        stream_catch_up(stream);
}

static void stream_unlink(struct http_stream *stream)
{
        struct leat_http_hub *hub = stream->hub;
        if (stream->prev)
                stream->prev->next = stream->next;
        else
                hub->streams = stream->next;
        if (stream->next)
                stream->next->prev = stream->prev;
        stream->hub = NULL;
        hub->viewers--;
        atomic_fetch_sub(hub->http->streams, 1);
}

void leat_http_stream_closed(struct http_stream *stream)
{
        struct leat_http_hub *hub = stream->hub;
        if (hub) {
                stream_unlink(stream);
                if (hub->opts.on_viewers)
                        hub->opts.on_viewers(hub->opts.arg, hub->viewers);
        }
        free(stream);
}

/* The sequence number in "12.1764022000123456". One of an earlier hub or process is older than all of ours, so everything
 * follows it; one that we have not given out yet (the clock was set back) is none. */
static uint64_t resume_seq(const char *id)
{
        const char *dot = id ? strchr(id, '.') : NULL;
        uint64_t seq = dot ? strtoull(dot + 1, NULL, 10) : 0;
        return seq <= newest_seq ? seq : 0;
}

void leat_http_hub_join(struct leat_http_hub *hub, struct leat_http_req *req)
{
        uint64_t seq = resume_seq(leat_http_req_header(req, "last-event-id"));
        struct leat_buf head = LEAT_BUF_INIT;
        req->must_close = true; /* the stream ends with its connection */
        leat_http_head(req, &head, 200, "text/event-stream");
        leat_buf_add_str(&head, "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n");
        if (req->is_head) {
                leat_http_send(req, &head, NULL, leat_view_of(NULL, 0));
                return;
        }
        leat_buf_add_str(&head, "\r\nretry: 1000\n\n");
        struct http_stream *stream = leat_calloc(1, sizeof(*stream));
        stream->hub = hub;
        stream->seq = seq;
        stream->next = hub->streams;
        if (stream->next)
                stream->next->prev = stream;
        hub->streams = stream;
        leat_http_req_to_stream(req, stream);
        leat_net_conn_write_buf(stream->net, &head);
        stream_catch_up(stream);
        hub->viewers++;
        atomic_fetch_add(hub->http->streams, 1);
        if (hub->opts.on_viewers)
                hub->opts.on_viewers(hub->opts.arg, hub->viewers);
}

/* ---- hub ---- */

struct leat_http_hub *leat_http_hub_new(struct leat_http *http, const struct leat_http_hub_opts *opts)
{
        struct leat_http_hub *hub = leat_calloc(1, sizeof(*hub));
        hub->http = http;
        if (opts)
                hub->opts = *opts;
        if (hub->opts.slow_bytes == 0)
                hub->opts.slow_bytes = (size_t)leat_param(LEAT_P_HTTP_STREAM_SLOW_BYTES);
        hub->last = &hub->first;
        hub->next = http->hubs;
        if (hub->next)
                hub->next->prev = hub;
        http->hubs = hub;
        return hub;
}

void leat_http_hub_free(struct leat_http_hub *hub)
{
        if (!hub)
                return;
        while (hub->streams) {
                leat_net_conn_finish(hub->streams->net);
                stream_unlink(hub->streams);
        }
        state_drop(hub, NULL);
        if (hub->prev)
                hub->prev->next = hub->next;
        else
                hub->http->hubs = hub->next;
        if (hub->next)
                hub->next->prev = hub->prev;
        free(hub);
}

void leat_http_hub_send(struct leat_http_hub *hub, enum leat_http_event kind, int key, int64_t tick, const char *name,
                        struct leat_view data)
{
        struct hub_event *event = leat_calloc(1, sizeof(*event));
        event->kind = kind;
        event->key = key;
        event->seq = next_seq();
        snprintf(event->name, sizeof(event->name), "%s", name);
        event->block = event_encode(event, tick, data);
        state_drop(hub, event);
        *hub->last = event;
        hub->last = &event->next;
        *bytes_of(hub, event) += event->block->len;
        for (struct http_stream *stream = hub->streams; stream; stream = stream->next) {
                if (stream->is_slow)
                        continue;
                if (leat_net_conn_queued(stream->net) > hub->opts.slow_bytes) {
                        stream->is_slow = true;
                        leat_stat_add(hub->http->skips, 1);
                        continue;
                }
                stream_write(stream, event);
        }
}

void leat_http_hub_reset(struct leat_http_hub *hub)
{
        state_drop(hub, NULL);
}

int leat_http_hub_viewers(const struct leat_http_hub *hub)
{
        return hub->viewers;
}

size_t leat_http_hub_snapshot_bytes(const struct leat_http_hub *hub)
{
        return hub->snapshot_bytes;
}

size_t leat_http_hub_patch_bytes(const struct leat_http_hub *hub)
{
        return hub->patch_bytes;
}

void leat_http_hubs_beat(struct leat_http *http)
{
        for (struct leat_http_hub *hub = http->hubs; hub; hub = hub->next) {
                for (struct http_stream *stream = hub->streams; stream; stream = stream->next) {
                        if (!stream->is_slow)
                                leat_net_conn_write_block(stream->net, NULL, leat_view_str(": \n\n"));
                }
        }
}
