/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log, private. README.md tells how the parts fit together.
 *
 * Locks, in the order in which they may be taken:
 *   log->topics_lock (rwlock)   the registry of topics and partitions
 *   part->lock                  everything of a partition and its segments
 *   log->files.lock             the cache of open descriptors
 *   log->pool.lock              the queue of partitions that wait for a sync
 */
#ifndef LEAT_LOG_INT_H
#define LEAT_LOG_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "leat/log.h"
#include "leat/os.h"

#define LEAT_LOG_INDEX_EVERY 4096 /* bytes of log between two index entries */
#define LEAT_LOG_ENTRY_BYTES 24   /* one index entry */
#define LEAT_LOG_BATCH_BYTES_MAX (512u << 20)
#define LEAT_LOG_SCAN_BYTES (256u << 10)
#define LEAT_LOG_PRODUCER_BATCHES 5 /* batches remembered per producer, as Kafka does */
#define LEAT_LOG_EPOCHS_MAX 64      /* leader epochs remembered per partition */
#define LEAT_LOG_HINTS 8

/* For the few calls whose failure changes nothing; the comment there says why. */
#define LEAT_LOG_IGNORE(call) \
        do { \
                if (call) {} \
        } while (0)

/* ---- batches (log_batch.c) -------------------------------------------------- */

/* The header of a record batch, decoded. */
struct leat_log_batch {
        int64_t base;
        uint32_t bytes; /* whole batch, header included */
        int32_t epoch;
        uint32_t crc;
        uint16_t attributes;
        int32_t last_delta;
        int64_t max_time_ms;
        int64_t producer_id;
        int16_t producer_epoch;
        int32_t base_sequence;
        int32_t count;
};
/* Decodes LEAT_LOG_BATCH_HEADER_BYTES at @p. False when it can be no header:
 * magic, length or deltas are impossible. */
bool leat_log_batch_parse(const uint8_t *p, struct leat_log_batch *ret_batch);
/* True when the CRC over the @bytes->len whole bytes fits. */
bool leat_log_batch_crc_ok(const uint8_t *p, const struct leat_log_batch *batch);
static inline int64_t leat_log_batch_end(const struct leat_log_batch *batch)
{
        return batch->base + batch->last_delta + 1;
}

/* ---- open files (log_files.c) ------------------------------------------------ */

/* A file that is opened when needed and closed when many others are. */
struct leat_log_file {
        char *path;
        int fd;                            /* -1 = closed; files.lock */
        uint32_t pins;                     /* files.lock */
        struct leat_log_file *prev, *next; /* list of open unpinned files, oldest first; files.lock */
};
struct leat_log_files {
        pthread_mutex_t lock;
        struct leat_log_file lru; /* sentinel */
        uint32_t open, max;
};
void leat_log_files_init(struct leat_log_files *files, uint32_t max);
void leat_log_files_done(struct leat_log_files *files);
void leat_log_file_init(struct leat_log_file *file, char *path);
/* Closes and frees the path; not pinned any more. */
void leat_log_file_done(struct leat_log_files *files, struct leat_log_file *file);
/* Opens when necessary (read and write, made when missing if @create) and keeps it open until put. */
int leat_log_file_get(struct leat_log_files *files, struct leat_log_file *file, bool create, int *ret_fd,
                      struct leat_error *err) LEAT_NODISCARD;
/* The same when it is open already, else false: never waits for the disk. */
bool leat_log_file_get_open(struct leat_log_files *files, struct leat_log_file *file, int *ret_fd);
void leat_log_file_put(struct leat_log_files *files, struct leat_log_file *file);

/* Reads from the disk, or only @cached: what is in memory, LEAT_EBUSY when nothing is. */
static inline int leat_log_pread(bool cached, int fd, const char *path, void *data, size_t bytes, int64_t pos,
                                 size_t *ret_bytes, struct leat_error *err)
{
        return (cached ? leat_os_pread_cached : leat_os_pread)(fd, path, data, bytes, pos, ret_bytes, err);
}
static inline int leat_log_busy(struct leat_error *err)
{
        return leat_error_set(err, LEAT_EBUSY, "the disk must be waited for");
}

/* ---- segments (log_segment.c, log_index.c) -------------------------------------- */

struct leat_log_entry {
        uint32_t rel;          /* offset of the batch, less the segment's base */
        uint32_t pos;          /* where it begins */
        int64_t max_before_ms; /* largest timestamp of all batches before it in the segment, -1 none */
};

/* Fields are guarded by the partition's lock, unless noted. */
struct leat_log_segment {
        _Atomic uint32_t refs;
        struct leat_log_files *files;
        int64_t base;        /* constant */
        int64_t end;         /* next offset */
        int64_t bytes;       /* valid bytes */
        int64_t synced;      /* bytes known to be on disk */
        int64_t max_time_ms; /* of all batches, when index_ready */
        int64_t created_us;
        bool sealed;       /* nothing is appended any more */
        bool pinned;       /* log file is kept open: bytes beyond `synced` */
        bool entry_dirty;  /* its name in the folder is not synced */
        bool index_ready;  /* index file and pending entries cover the segment */
        bool index_closed; /* the index has its last entry */
        struct leat_log_file log, index;
        uint32_t index_count;           /* entries in the file */
        struct leat_log_entry *pending; /* entries not yet in the file */
        uint32_t pending_count, pending_cap;
        int64_t entry_pos;             /* position of the newest entry, -1 none */
        struct leat_buf roll_snapshot; /* state of producers at `end`, to be written when the segment is synced */
};

struct leat_log_segment *leat_log_segment_new(struct leat_log_files *files, const char *dir, int64_t base);
struct leat_log_segment *leat_log_segment_ref(struct leat_log_segment *seg);
void leat_log_segment_unref(struct leat_log_segment *seg);

/* Notes the batch at @pos in the index when one is due, and its timestamp. */
void leat_log_index_note(struct leat_log_segment *seg, const struct leat_log_batch *batch, int64_t pos);
/* Writes pending entries below @synced_bytes; with @close also the last entry. Failure keeps them. */
int leat_log_index_flush(struct leat_log_segment *seg, int64_t synced_bytes, bool close,
                         struct leat_error *err) LEAT_NODISCARD;
/* Finds the newest entry with rel <= @rel among the first @count of the file.
 * Returns LEAT_ECORRUPT when an entry is damaged, LEAT_ENOTFOUND when there is none,
 * LEAT_EBUSY when @cached and it would have to wait for the disk. Needs no lock. */
int leat_log_index_find(struct leat_log_segment *seg, bool cached, uint32_t count, uint32_t rel,
                        struct leat_log_entry *ret_entry, struct leat_error *err) LEAT_NODISCARD;
/* The last entry with max_before_ms < @time_ms; as leat_log_index_find. */
int leat_log_index_find_time(struct leat_log_segment *seg, uint32_t count, int64_t time_ms,
                             struct leat_log_entry *ret_entry, struct leat_error *err) LEAT_NODISCARD;
/* As the two above over the pending entries; false when there is none. */
bool leat_log_index_pending(const struct leat_log_segment *seg, uint32_t rel, struct leat_log_entry *ret_entry);
bool leat_log_index_pending_time(const struct leat_log_segment *seg, int64_t time_ms, struct leat_log_entry *ret_entry);
/* Takes over the index file up to position @limit, and completes it from the
 * log's headers up to there. A sealed segment gets its last entry. */
int leat_log_index_load(struct leat_log_segment *seg, int64_t limit, struct leat_error *err) LEAT_NODISCARD;
/* Throws the index away and makes it anew from the log. */
int leat_log_index_rebuild(struct leat_log_segment *seg, struct leat_error *err) LEAT_NODISCARD;
/* Brings into memory what leat_log_index_load will read of a closed segment. Needs no lock, so that the disk is not waited
 * for under it. */
void leat_log_index_warm(struct leat_log_segment *seg);

/* Walks batches of a segment. */
typedef int leat_log_walk_fn(void *arg, const struct leat_log_batch *batch, int64_t pos);
struct leat_log_walk {
        int64_t pos;          /* in: begin; out: where it stopped */
        int64_t offset;       /* in: expected offset there (-1 = any); out: the next one */
        int64_t limit;        /* bytes of the file that may be read */
        int64_t offset_limit; /* stop in front of a batch that begins at or above */
        int32_t epoch_max;    /* no batch may have a newer epoch */
        bool check_crc;
        bool bad; /* out: stopped because what is at `pos` is no good batch */
};
/* Returns an error only for I/O or what @fn returned. Needs no lock. */
int leat_log_segment_walk(struct leat_log_segment *seg, struct leat_log_walk *walk, leat_log_walk_fn *fn, void *arg,
                          struct leat_error *err) LEAT_NODISCARD;
/* The same, going on behind damage at the next good batch. */
int leat_log_segment_walk_around(struct leat_log_segment *seg, struct leat_log_walk *walk, leat_log_walk_fn *fn,
                                 void *arg, struct leat_error *err) LEAT_NODISCARD;
/* Looks for the next good batch (CRC checked) at or after @pos with an offset in [@low, @high).
 * LEAT_ENOTFOUND when there is none below @limit. */
int leat_log_segment_resync(struct leat_log_segment *seg, int64_t pos, int64_t limit, int64_t low, int64_t high,
                            int64_t *ret_pos, struct leat_log_batch *ret_batch, struct leat_error *err) LEAT_NODISCARD;

/* ---- producers (log_producers.c) --------------------------------------------------- */

struct leat_log_seq {
        int32_t first, last;
        int64_t base; /* offset of the first record */
        int64_t end;
};
struct leat_log_prod {
        int64_t id; /* -1 = free place */
        int16_t epoch;
        uint8_t count; /* used of batches, newest last */
        int64_t time_ms;
        struct leat_log_seq batches[LEAT_LOG_PRODUCER_BATCHES];
};
struct leat_log_prods {
        struct leat_log_prod *slots; /* open addressing */
        uint32_t cap, count;
};
struct leat_log_epoch {
        int32_t epoch;
        int64_t start;
};
/* What a snapshot holds: everything that follows from the batches below `offset`. */
struct leat_log_memory {
        struct leat_log_prods prods;
        struct leat_log_epoch epochs[LEAT_LOG_EPOCHS_MAX];
        uint32_t epoch_count;
};
void leat_log_memory_done(struct leat_log_memory *mem);
/* Checks an idempotent batch. 0 = new; LEAT_EDUPLICATE fills @ret_seq; LEAT_ESEQUENCE, LEAT_EFENCED. */
int leat_log_memory_check(const struct leat_log_memory *mem, const struct leat_log_batch *batch,
                          struct leat_log_seq *ret_seq, struct leat_error *err);
/* Learns a batch whose base and epoch are final. */
void leat_log_memory_note(struct leat_log_memory *mem, const struct leat_log_batch *batch, int64_t now_ms);
void leat_log_memory_expire(struct leat_log_memory *mem, int64_t before_ms);
/* Forgets epochs that begin at or above @end, or end at or below @start. */
void leat_log_memory_trim(struct leat_log_memory *mem, int64_t start, int64_t end);
void leat_log_memory_write(const struct leat_log_memory *mem, int64_t offset, struct leat_buf *out);
/* LEAT_ECORRUPT when it is no good snapshot. */
int leat_log_memory_parse(struct leat_view file, struct leat_log_memory *ret_mem, int64_t *ret_offset,
                          struct leat_error *err) LEAT_NODISCARD;

/* ---- checkpoint and log start (log_checkpoint.c) -------------------------------------- */

struct leat_log_checkpoint {
        uint64_t number;
        int64_t segment; /* base of the segment that holds the synced end */
        int64_t pos;
        int64_t offset;
};
#define LEAT_LOG_CHECKPOINT_SLOT 64
void leat_log_checkpoint_format(const struct leat_log_checkpoint *ck, uint8_t out[LEAT_LOG_CHECKPOINT_SLOT]);
/* False when the file of two slots holds no good one. */
bool leat_log_checkpoint_parse(struct leat_view file, struct leat_log_checkpoint *ret_ck);
/* Small checksummed files of one number: log start, epoch, producer ids. */
int leat_log_number_write(const char *path, uint64_t value, struct leat_error *err) LEAT_NODISCARD;
/* LEAT_ENOTFOUND, LEAT_ECORRUPT. */
int leat_log_number_read(const char *path, uint64_t *ret_value, struct leat_error *err) LEAT_NODISCARD;

/* ---- partitions --------------------------------------------------------------------------- */

enum leat_log_sync_state { LEAT_LOG_SYNC_IDLE, LEAT_LOG_SYNC_QUEUED, LEAT_LOG_SYNC_RUNNING };

struct leat_log_hint {
        int64_t offset, segment;
        int64_t pos;
};

struct leat_log_partition {
        _Atomic uint32_t refs;
        struct leat_log *log;
        uint32_t index;
        char *dir;
        _Atomic(void *) user;

        pthread_mutex_t lock; /* everything below */
        struct leat_log_topic *topic;
        struct leat_error broken; /* code != 0: could not be opened */
        bool deleted, closed, read_only;
        uint32_t sync_failures;
        uint64_t generation;          /* counts failed syncs */
        struct leat_error sync_error; /* the last of them */
        int64_t start, high, end;
        struct leat_log_segment **segs; /* oldest first; the last is written when not sealed */
        uint32_t seg_count, seg_cap;
        struct leat_log_memory mem;
        int64_t snapshot_bytes; /* appended since the last snapshot */
        int64_t kept_offset;    /* what batches below say of producers is durable in producers.roll */
        int64_t index_bytes;    /* appended since the last flush of the index */
        struct leat_log_file checkpoint;
        uint64_t checkpoint_number;
        int64_t retention_ms, retention_bytes, segment_bytes, segment_ms; /* of the topic; -1 = none */
        bool deletes;                                                     /* cleanup.policy has delete */
        struct leat_log_hint hints[LEAT_LOG_HINTS];
        uint32_t hint_next;
        struct leat_chain scratch; /* of append */
        struct leat_buf scratch_heads;

        enum leat_log_sync_state sync_state;
        bool sync_again;  /* asked for while running */
        bool save_wanted; /* write index and snapshot although little has changed */
        bool keep_wanted; /* write producers.roll: segments wait for it to be removed */
        struct leat_log_waiter *waiters, **waiters_tail;
        struct leat_log_partition *sync_next; /* pool.lock */
};

struct leat_log_pool {
        pthread_mutex_t lock;
        pthread_cond_t work, idle;
        struct leat_log_partition *first, *last;
        uint32_t running;
        bool stop;
        pthread_t threads[16];
        uint32_t thread_count;
};

/* One topic of the registry. */
struct leat_log_slot {
        struct leat_log_topic *topic;
        struct leat_log_partition **parts;
};

struct leat_log {
        char *dir;
        int32_t epoch;
        _Atomic bool closing;
        leat_log_moved_fn *moved;
        void *moved_arg;
        struct leat_log_files files;
        struct leat_log_pool pool;

        pthread_mutex_t change; /* one change of topics at a time; taken before topics_lock */
        pthread_rwlock_t topics_lock;
        struct leat_log_slot *slots; /* sorted by name */
        uint32_t slot_count;
        uint32_t *by_id; /* hash table of slot numbers + 1, slots_cap entries */
        uint32_t by_id_cap;
        uint8_t (*doomed)[LEAT_LOG_ID_BYTES]; /* deleted topics whose files may still be there */
        uint32_t doomed_count;
        _Atomic uint64_t version;
        _Atomic uint32_t partition_count;
        struct {
                _Atomic uint64_t syncs, sync_failures, sync_time_us, sealed, removed;
        } counters;

        pthread_mutex_t ids_lock;
        uint64_t ids_next, ids_end;

        pthread_mutex_t tidy_lock; /* one tidying at a time */
        pthread_mutex_t wake_lock; /* tidy_stop */
        pthread_cond_t wake;
        bool tidy_stop, tidy_now, tidy_started;
        pthread_t tidy_thread;
};

/* log_partition.c */
struct leat_log_partition *leat_log_partition_new(struct leat_log *log, struct leat_log_topic *topic, uint32_t index);
void leat_log_partition_configure(struct leat_log_partition *part, struct leat_log_topic *topic);
/* Lock held. The error that every use of a broken, deleted or closed partition gives; 0 when usable. */
int leat_log_partition_usable(const struct leat_log_partition *part, struct leat_error *err);
struct leat_log_segment *leat_log_partition_active(struct leat_log_partition *part);
void leat_log_partition_push(struct leat_log_partition *part, struct leat_log_segment *seg);
/* Lock held. Ends the active segment, so that the next append begins a new one. */
void leat_log_partition_roll(struct leat_log_partition *part);
/* Lock held. Makes the file of a new segment at part->end. */
int leat_log_partition_begin(struct leat_log_partition *part, struct leat_error *err) LEAT_NODISCARD;
/* Lock held. Index of the segment that holds @offset, -1 when below the first. */
int leat_log_partition_seg_at(const struct leat_log_partition *part, int64_t offset);
/* Lock held. Bytes appended between two snapshots. */
int64_t leat_log_partition_snapshot_every(const struct leat_log_partition *part);
/* Lock held. Finds a place to begin to read for @offset in @seg. */
int leat_log_segment_locate(struct leat_log_segment *seg, int64_t offset, struct leat_log_entry *ret_entry,
                            struct leat_error *err) LEAT_NODISCARD;
/* Lock held. Learns producers and epochs anew from snapshot and batches below @end. */
int leat_log_partition_remember(struct leat_log_partition *part, int64_t end, struct leat_error *err) LEAT_NODISCARD;
/* Lock held. What a segment still needs: a sync, or the closing of its index. */
bool leat_log_segment_dirty(const struct leat_log_segment *seg);
/* Lock held. Ends the pin that keeps unsynced files open, when all is synced. */
void leat_log_segment_unpin(struct leat_log_segment *seg);
/* Lock held. Takes segment number @at out of the array, with the array's reference. */
struct leat_log_segment *leat_log_partition_take_seg(struct leat_log_partition *part, uint32_t at);
/* Lock held. Puts a file of the partition aside into cut/. */
int leat_log_partition_set_aside(struct leat_log_partition *part, const char *path,
                                 struct leat_error *err) LEAT_NODISCARD;

/* As before it was opened: what a recovery that failed has read. Nobody else knows it yet, or any more. */
void leat_log_partition_forget(struct leat_log_partition *part);

/* log_recover.c */
int leat_log_partition_recover(struct leat_log_partition *part, struct leat_error *err) LEAT_NODISCARD;

/* log_sync.c */
int leat_log_pool_start(struct leat_log *log, struct leat_error *err) LEAT_NODISCARD;
/* Finishes what is queued, then ends the threads. */
void leat_log_pool_stop(struct leat_log *log);
/* Lock held. Queues the partition when it is not. */
void leat_log_partition_want_sync(struct leat_log_partition *part);
/* Lock held. Moves all waiters (only_done: those whose end is durable) to a list of the caller's. */
struct leat_log_waiter *leat_log_partition_take_waiters(struct leat_log_partition *part, bool only_done);
/* No lock. */
void leat_log_waiters_finish(struct leat_log_waiter *list, const struct leat_error *err);
/* Lock held, given up and taken again. Writes pending index entries, the checkpoint and, when @snapshot has bytes,
 * the producers (it becomes empty). */
void leat_log_partition_save(struct leat_log_partition *part, struct leat_buf *snapshot);

/* log_retain.c */
void leat_log_partition_tidy(struct leat_log_partition *part, int64_t now_us);

/* ---- topics (log_topics.c) -------------------------------------------------------------- */

#define LEAT_LOG_TOPICS_MAGIC 0x504f544cu /* "LTOP" */
#define LEAT_LOG_TOPICS_FILE_MAX (256u << 20)

/* A definition with what only its owner may change, before it is shared. */
struct leat_log_topic_own {
        struct leat_log_topic pub; /* first: the two share an address */
        _Atomic uint32_t refs;
        char *name;
        struct leat_log_config *configs;
};
struct leat_log_topic_own *leat_log_topic_new(const uint8_t *id, const char *name, uint32_t partitions,
                                              int64_t created_us);
/* Sets or removes (@value NULL) a setting. */
void leat_log_topic_put(struct leat_log_topic_own *topic, const char *name, const char *value);
void leat_log_topic_write(struct leat_buf *out, const struct leat_log_topic *topic);
bool leat_log_topic_name_good(const char *name);

/* log_registry.c */
int leat_log_topics_load(struct leat_log *log, struct leat_error *err) LEAT_NODISCARD;
void leat_log_topics_free(struct leat_log *log);
/* Removes files of deleted topics. */
void leat_log_topics_sweep(struct leat_log *log);
/* References to all partitions, in an array to free(). */
uint32_t leat_log_partitions(struct leat_log *log, struct leat_log_partition ***ret_parts);
/* The file of topics, parsed. */
struct leat_log_topics_file {
        struct leat_log_topic **topics;
        uint32_t count;
        uint8_t (*doomed)[LEAT_LOG_ID_BYTES];
        uint32_t doomed_count;
};
void leat_log_topics_file_done(struct leat_log_topics_file *file);
int leat_log_topics_parse(struct leat_view bytes, struct leat_log_topics_file *ret_file,
                          struct leat_error *err) LEAT_NODISCARD;
void leat_log_id_text(const uint8_t id[LEAT_LOG_ID_BYTES], char out[2 * LEAT_LOG_ID_BYTES + 1]);

#endif
