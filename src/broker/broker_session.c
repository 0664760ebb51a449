/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: fetch sessions (KIP-227).
 *
 * A consumer of many partitions names them all once; from then on it sends only
 * what changed, and gets only partitions with news. The session remembers, per
 * partition, where the client reads and which watermarks it was told.
 *
 *   session id  epoch   means
 *   0           -1      no session, a full list
 *   0            0      a full list, and a new session please
 *   n            0      as above, and forget session n
 *   n           -1      forget session n; a full list, no session
 *   n           e > 0   changes to session n; e counts its requests
 *
 * Bounded: broker.fetch.sessions of them; the one unused longest makes room when
 * it was silent for two minutes, else the new client gets none (id 0), which
 * every client can live with.
 *
 * Locks: `lock`; what a request needs is copied out, so it is held briefly.
 */
#include "broker_int.h"

#define SESSION_PARTITIONS_MAX 20000
#define SESSION_EVICT_US (120 * 1000 * 1000LL)
#define NO_SLOT UINT32_MAX

struct entry {
        struct leat_topic_id topic_id;
        char *topic; /* by name; NULL: by id */
        int32_t partition;
        int32_t leader_epoch;
        int64_t offset;
        int32_t max_bytes;
        int64_t told_high, told_start;
        bool gone;     /* forgotten; removed at the next tidying */
        uint32_t next; /* of the same hash */
};

struct session {
        int32_t id;
        int32_t epoch; /* expected next */
        bool by_id;
        int64_t used_us;
        struct entry *entries;
        uint32_t count, cap, gone;
        uint32_t *heads; /* hash heads, head_count a power of two */
        uint32_t head_count;
        uint32_t first; /* entry that the next answer begins with, so that each gets its turn */
};

struct broker_sessions {
        pthread_mutex_t lock;
        struct session **all;
        uint32_t count, limit;
        uint64_t seed;
};

struct broker_sessions *leat_broker_sessions_new(uint32_t limit)
{
        struct broker_sessions *sessions = leat_calloc(1, sizeof(*sessions));
        pthread_mutex_init(&sessions->lock, NULL);
        sessions->all = NULL;
        sessions->limit = limit;
        leat_os_random(&sessions->seed, sizeof(sessions->seed));
        return sessions;
}

static void session_free(struct session *session)
{
        for (uint32_t i = 0; i < session->count; i++)
                free(session->entries[i].topic);
        free(session->entries);
        free(session->heads);
        free(session);
}

void leat_broker_sessions_free(struct broker_sessions *sessions)
{
        if (sessions == NULL)
                return;
        for (uint32_t i = 0; i < sessions->count; i++)
                session_free(sessions->all[i]);
        free(sessions->all);
        pthread_mutex_destroy(&sessions->lock);
        free(sessions);
}

uint32_t leat_broker_sessions_count(struct broker_sessions *sessions)
{
        pthread_mutex_lock(&sessions->lock);
        uint32_t count = sessions->count;
        pthread_mutex_unlock(&sessions->lock);
        return count;
}

/* ---- entries ------------------------------------------------------------------------------------- */

struct key {
        struct leat_view topic;
        const struct leat_topic_id *topic_id;
        int32_t partition;
};

static uint64_t key_hash(const struct broker_sessions *sessions, const struct key *key, bool by_id)
{
        uint64_t hash = by_id ? leat_hash64(sessions->seed, key->topic_id, sizeof(*key->topic_id))
                              : leat_hash64(sessions->seed, key->topic.data, key->topic.len);
        return leat_hash_mix(hash, (uint32_t)key->partition);
}

static bool key_is(const struct key *key, const struct entry *entry)
{
        if (entry->gone || entry->partition != key->partition)
                return false;
        if (entry->topic != NULL)
                return leat_view_eq_str(key->topic, entry->topic);
        return memcmp(key->topic_id, &entry->topic_id, sizeof(entry->topic_id)) == 0;
}

static void entry_link(struct broker_sessions *sessions, struct session *session, uint32_t index)
{
        struct entry *entry = &session->entries[index];
        struct key key = {.topic_id = &entry->topic_id, .partition = entry->partition};
        if (entry->topic != NULL)
                key.topic = leat_view_str(entry->topic);
        uint32_t *head = &session->heads[key_hash(sessions, &key, session->by_id) & (session->head_count - 1)];
        entry->next = *head;
        *head = index;
}

/* Drops forgotten entries and builds the hash anew for at least @want entries. */
static void session_tidy(struct broker_sessions *sessions, struct session *session, uint32_t want)
{
        uint32_t kept = 0;
        for (uint32_t i = 0; i < session->count; i++) {
                if (session->entries[i].gone)
                        free(session->entries[i].topic);
                else
                        session->entries[kept++] = session->entries[i];
        }
        session->count = kept;
        session->gone = 0;
        session->first = 0;
        if (session->head_count < want) {
                session->head_count = 16;
                while (session->head_count < want)
                        session->head_count *= 2;
                free(session->heads);
                session->heads = leat_malloc(session->head_count * sizeof(session->heads[0]));
        }
        memset(session->heads, 0xff, session->head_count * sizeof(session->heads[0]));
        for (uint32_t i = 0; i < kept; i++)
                entry_link(sessions, session, i);
}

static struct entry *entry_find(struct broker_sessions *sessions, struct session *session, const struct key *key)
{
        if (session->head_count == 0)
                return NULL;
        uint32_t i = session->heads[key_hash(sessions, key, session->by_id) & (session->head_count - 1)];
        while (i != NO_SLOT && !key_is(key, &session->entries[i]))
                i = session->entries[i].next;
        return i == NO_SLOT ? NULL : &session->entries[i];
}

/* The entry of a key, made when missing; NULL when the session is full. */
static struct entry *entry_need(struct broker_sessions *sessions, struct session *session, const struct key *key)
{
        struct entry *entry = entry_find(sessions, session, key);
        if (entry != NULL)
                return entry;
        if (session->count - session->gone >= SESSION_PARTITIONS_MAX)
                return NULL;
        if (session->count >= session->head_count)
                session_tidy(sessions, session, session->count + 1);
        if (session->count == session->cap) {
                session->cap = LEAT_MAX(session->cap * 2, 8u);
                session->entries = leat_realloc(session->entries, session->cap * sizeof(session->entries[0]));
        }
        entry = &session->entries[session->count];
        *entry = (struct entry){.partition = key->partition, .told_high = -1, .told_start = -1};
        if (session->by_id)
                entry->topic_id = *key->topic_id;
        else
                entry->topic = leat_strndup((const char *)key->topic.data, key->topic.len);
        entry_link(sessions, session, session->count++);
        return entry;
}

/* ---- sessions --------------------------------------------------------------------------------------- */

static struct session *session_find(struct broker_sessions *sessions, int32_t id)
{
        for (uint32_t i = 0; i < sessions->count; i++) {
                if (sessions->all[i]->id == id)
                        return sessions->all[i];
        }
        return NULL;
}

static void session_remove(struct broker_sessions *sessions, int32_t id)
{
        for (uint32_t i = 0; i < sessions->count; i++) {
                if (sessions->all[i]->id == id) {
                        session_free(sessions->all[i]);
                        sessions->all[i] = sessions->all[--sessions->count];
                        return;
                }
        }
}

/* Makes room for one more; false when there is none. */
static bool session_room(struct broker_sessions *sessions, int64_t now_us)
{
        if (sessions->count < sessions->limit)
                return true;
        struct session *oldest = NULL;
        for (uint32_t i = 0; i < sessions->count; i++) {
                if (oldest == NULL || sessions->all[i]->used_us < oldest->used_us)
                        oldest = sessions->all[i];
        }
        if (oldest == NULL || now_us - oldest->used_us < SESSION_EVICT_US)
                return false;
        session_remove(sessions, oldest->id);
        return true;
}

static struct session *session_new(struct broker_sessions *sessions, bool by_id, int64_t now_us)
{
        if (!session_room(sessions, now_us))
                return NULL;
        struct session *session = leat_calloc(1, sizeof(*session));
        do {
                leat_os_random(&session->id, sizeof(session->id));
                session->id &= INT32_MAX;
        } while (session->id == 0 || session_find(sessions, session->id) != NULL);
        session->epoch = 1;
        session->by_id = by_id;
        session->used_us = now_us;
        sessions->all = leat_realloc(sessions->all, (sessions->count + 1) * sizeof(sessions->all[0]));
        sessions->all[sessions->count++] = session;
        return session;
}

/* Takes the request's partitions into the session; false when it is full. */
static bool session_update(struct broker_sessions *sessions, struct session *session,
                           const struct leat_kafka_fetch_request *msg)
{
        for (int32_t i = 0; i < msg->forgotten_topics_data_count; i++) {
                const struct leat_kafka_fetch_forgotten *topic = &msg->forgotten_topics_data[i];
                for (int32_t j = 0; j < topic->partitions_count; j++) {
                        struct key key = {topic->topic, &topic->topic_id, topic->partitions[j]};
                        struct entry *entry = entry_find(sessions, session, &key);
                        if (entry != NULL) {
                                entry->gone = true;
                                session->gone++;
                        }
                }
        }
        for (int32_t i = 0; i < msg->topics_count; i++) {
                const struct leat_kafka_fetch_topic *topic = &msg->topics[i];
                for (int32_t j = 0; j < topic->partitions_count; j++) {
                        const struct leat_kafka_fetch_partition *part = &topic->partitions[j];
                        struct key key = {topic->topic, &topic->topic_id, part->partition};
                        struct entry *entry = entry_need(sessions, session, &key);
                        if (entry == NULL)
                                return false;
                        entry->leader_epoch = part->current_leader_epoch;
                        entry->offset = part->fetch_offset;
                        entry->max_bytes = part->partition_max_bytes;
                }
        }
        if (session->gone > session->count / 2)
                session_tidy(sessions, session, session->count);
        return true;
}

/* ---- lists of a request ------------------------------------------------------------------------------- */

static void list_from_request(const struct leat_kafka_fetch_request *msg, struct leat_arena *arena,
                              struct fetch_list *list)
{
        uint32_t count = 0;
        for (int32_t i = 0; i < msg->topics_count; i++)
                count += (uint32_t)msg->topics[i].partitions_count;
        list->items = leat_arena_zalloc(arena, count * sizeof(list->items[0]));
        list->count = count;
        struct fetch_item *item = list->items;
        for (int32_t i = 0; i < msg->topics_count; i++) {
                for (int32_t j = 0; j < msg->topics[i].partitions_count; j++, item++) {
                        const struct leat_kafka_fetch_partition *part = &msg->topics[i].partitions[j];
                        item->topic = msg->topics[i].topic;
                        item->topic_id = msg->topics[i].topic_id;
                        item->partition = part->partition;
                        item->leader_epoch = part->current_leader_epoch;
                        item->offset = part->fetch_offset;
                        item->max_bytes = part->partition_max_bytes;
                }
        }
}

static void list_from_session(struct session *session, struct leat_arena *arena, struct fetch_list *list)
{
        list->items = leat_arena_zalloc(arena, (session->count - session->gone) * sizeof(list->items[0]));
        list->count = 0;
        if (session->first >= session->count)
                session->first = 0;
        for (uint32_t i = 0; i < session->count; i++) {
                const struct entry *entry = &session->entries[(session->first + i) % session->count];
                if (entry->gone)
                        continue;
                struct fetch_item *item = &list->items[list->count++];
                if (entry->topic != NULL)
                        item->topic = leat_view_str(leat_arena_strdup(arena, entry->topic));
                item->topic_id = entry->topic_id;
                item->partition = entry->partition;
                item->leader_epoch = entry->leader_epoch;
                item->offset = entry->offset;
                item->max_bytes = entry->max_bytes;
        }
}

static void begin_incremental(struct broker_sessions *sessions, const struct leat_kafka_fetch_request *msg, bool by_id,
                              int64_t now_us, struct leat_arena *arena, struct fetch_list *list)
{
        struct session *session = session_find(sessions, msg->session_id);
        if (session == NULL) {
                list->error = LEAT_KAFKA_E_FETCH_SESSION_ID_NOT_FOUND;
        } else if (msg->session_epoch != session->epoch) {
                list->error = LEAT_KAFKA_E_INVALID_FETCH_SESSION_EPOCH;
        } else if (session->by_id != by_id) {
                list->error = LEAT_KAFKA_E_FETCH_SESSION_TOPIC_ID_ERROR;
        } else if (!session_update(sessions, session, msg)) {
                session_remove(sessions, session->id);
                list->error = LEAT_KAFKA_E_FETCH_SESSION_ID_NOT_FOUND; /* the client starts over, without one */
        } else {
                session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
                session->used_us = now_us;
                list->session_id = session->id;
                list->incremental = true;
                list_from_session(session, arena, list);
        }
}

void leat_broker_session_begin(struct broker_sessions *sessions, const struct leat_kafka_fetch_request *msg,
                               int16_t version, int64_t now_us, struct leat_arena *arena, struct fetch_list *ret_list)
{
        bool by_id = version >= 13;
        *ret_list = (struct fetch_list){0};
        if (version < 7 || (msg->session_id == 0 && msg->session_epoch == -1)) {
                list_from_request(msg, arena, ret_list);
                return;
        }
        pthread_mutex_lock(&sessions->lock);
        if (msg->session_epoch > 0) {
                begin_incremental(sessions, msg, by_id, now_us, arena, ret_list);
        } else {
                if (msg->session_id != 0)
                        session_remove(sessions, msg->session_id);
                list_from_request(msg, arena, ret_list);
                if (msg->session_epoch == 0 && ret_list->count > 0) {
                        struct session *session = session_new(sessions, by_id, now_us);
                        if (session != NULL && !session_update(sessions, session, msg)) {
                                session_remove(sessions, session->id);
                                session = NULL;
                        }
                        if (session != NULL)
                                ret_list->session_id = session->id;
                }
        }
        pthread_mutex_unlock(&sessions->lock);
}

void leat_broker_session_end(struct broker_sessions *sessions, struct fetch_list *list)
{
        if (list->session_id == 0)
                return;
        pthread_mutex_lock(&sessions->lock);
        struct session *session = session_find(sessions, list->session_id);
        for (uint32_t i = 0; session != NULL && i < list->count; i++) {
                struct fetch_item *item = &list->items[i];
                struct key key = {item->topic, &item->topic_id, item->partition};
                struct entry *entry = entry_find(sessions, session, &key);
                if (entry == NULL)
                        continue;
                /* An error is told each time: the client repairs it and comes back. */
                item->changed = item->error != 0 || entry->told_high != item->high || entry->told_start != item->start;
                entry->told_high = item->error != 0 ? -1 : item->high;
                entry->told_start = item->error != 0 ? -1 : item->start;
                if (item->records.len > 0)
                        session->first = (uint32_t)(entry - session->entries) + 1;
        }
        pthread_mutex_unlock(&sessions->lock);
}
