/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: the event generator behind `leat generate`.
 *
 * A spec (JSON) is compiled once to sets of entities, held in memory, and a
 * record generator for each topic; leat_gen_next then makes one event after the
 * other. The same spec, seed and times give the same bytes.
 * docs/generate.md describes the spec.
 */
#ifndef LEAT_CLI_GEN_INT_H
#define LEAT_CLI_GEN_INT_H

#include <jansson.h>

#include "leat/base.h"

/* ---- cli_gen_random.c --------------------------------------------------------- */
struct leat_gen_rng {
        uint64_t state;
        double spare; /* second value of a normal pair */
        bool has_spare;
};
void leat_gen_seed(struct leat_gen_rng *rng, uint64_t seed, const char *name);
static inline uint64_t leat_gen_u64(struct leat_gen_rng *rng)
{
        rng->state += 0xA0761D6478BD642Full;
        return leat_hash_mix(rng->state, 0xE7037ED1A0B428DBull);
}
/* [0, 1) */
static inline double leat_gen_unit(struct leat_gen_rng *rng)
{
        return (double)(leat_gen_u64(rng) >> 11) * 0x1p-53;
}
/* [0, n); n at least 1. */
static inline uint64_t leat_gen_below(struct leat_gen_rng *rng, uint64_t n)
{
        return (uint64_t)(((unsigned __int128)leat_gen_u64(rng) * n) >> 64);
}
double leat_gen_normal(struct leat_gen_rng *rng);
double leat_gen_exponential(struct leat_gen_rng *rng);

/* Chooses 0 .. count-1 by weight in constant time. */
struct leat_gen_alias {
        uint32_t count;
        uint32_t *threshold, *other;
};
void leat_gen_alias_init(struct leat_gen_alias *alias, struct leat_arena *arena, const double *weights, uint32_t count);
static inline uint32_t leat_gen_alias_pick(const struct leat_gen_alias *alias, struct leat_gen_rng *rng)
{
        uint64_t r = leat_gen_u64(rng);
        uint32_t i = (uint32_t)((r >> 32) * alias->count >> 32);
        return (uint32_t)r < alias->threshold[i] ? i : alias->other[i];
}

/* ---- values ---------------------------------------------------------------------- */
enum leat_gen_kind { LEAT_GEN_NULL, LEAT_GEN_BOOL, LEAT_GEN_INT, LEAT_GEN_NUM, LEAT_GEN_TEXT, LEAT_GEN_JSON };
struct leat_gen_value {
        uint8_t kind;
        int8_t decimals;       /* NUM: digits behind the point */
        bool plain;            /* TEXT: nothing to escape */
        int64_t i;             /* INT, BOOL */
        double d;              /* NUM */
        struct leat_view text; /* TEXT: as it is; JSON: as it is written */
};
/* Appends it as JSON, or as text without quotes. */
void leat_gen_value_json(const struct leat_gen_value *value, struct leat_buf *out);
void leat_gen_value_text(const struct leat_gen_value *value, struct leat_buf *out);

/* ---- compiled spec ------------------------------------------------------------------ */
enum leat_gen_node_kind {
        LEAT_NODE_CONSTANT,
        LEAT_NODE_SEQUENCE,
        LEAT_NODE_UNIFORM_INT,
        LEAT_NODE_UNIFORM,
        LEAT_NODE_NORMAL,
        LEAT_NODE_EXPONENTIAL,
        LEAT_NODE_ZIPF,
        LEAT_NODE_CHOICE,
        LEAT_NODE_BOOL,
        LEAT_NODE_UUID,
        LEAT_NODE_STRING,
        LEAT_NODE_OF,
        LEAT_NODE_TEXT,
        LEAT_NODE_TIME,
        LEAT_NODE_SUM,
        LEAT_NODE_PRODUCT,
        LEAT_NODE_OBJECT,
        LEAT_NODE_ARRAY,
        LEAT_NODE_MIX,
        LEAT_NODE_RECENT,
};
#define LEAT_GEN_NONE UINT32_MAX

struct leat_gen_node {
        uint8_t kind;
        bool as_text;
        bool whole;      /* numbers are rounded to integers */
        int8_t decimals; /* of numbers */
        double null_share;
        struct leat_gen_value value; /* CONSTANT */
        int64_t next, step;          /* SEQUENCE; UNIFORM_INT: first and count; STRING: length */
        int width;                   /* SEQUENCE: digits */
        struct leat_view prefix;
        double a, b, min, max;       /* mean and spread; UNIFORM: first and width; BOOL: share */
        struct leat_gen_alias alias; /* ZIPF, MIX; CHOICE: count 0 = even */
        struct leat_gen_value *choices;
        uint32_t choice_count;
        uint32_t set;
        uint32_t pick, field;        /* OF: a field of a pick, or (pick NONE) an earlier field of the record */
        struct leat_gen_node *parts; /* TEXT, SUM, PRODUCT, OBJECT, MIX; ARRAY: one */
        uint32_t part_count;
        struct leat_view *names; /* OBJECT: `"name":` with comma or brace in front */
        /* TIME */
        bool epoch_ms;
        double late_share, late_mean_us, late_max_us, skew_us;
        int64_t shift_us;
        uint32_t skew_pick;
        int64_t *skews; /* by row of that pick's set: a clock is always wrong by the same */
        /* RECENT */
        uint32_t ring;
};

/* One entity chosen for a record. */
struct leat_gen_pick {
        const char *name;
        uint32_t set;
        bool by_zipf;
        struct leat_gen_alias alias;
        double hot_share, hot_part; /* share of events for that part of the rows */
        int64_t hot_shift_us;       /* the hot part moves on after this time; 0 = never */
        uint32_t match_pick;        /* pick only rows that agree with that pick's row; NONE */
        uint32_t *group_start;      /* by row of match_pick's set, and one more */
        uint32_t *group_rows;
};

struct leat_gen_record {
        const char *name;
        struct leat_gen_pick *picks;
        uint32_t pick_count;
        const char **field_names;
        struct leat_view *labels; /* `"name":` */
        bool *hidden;             /* names that start with _ are not written */
        struct leat_gen_node *fields;
        uint32_t field_count;
};

struct leat_gen_set {
        struct leat_gen_record record;
        struct leat_gen_value *values; /* row * field_count + field */
        uint32_t row_count;
};

enum leat_gen_flaw {
        LEAT_FLAW_NONE,
        LEAT_FLAW_WRONG_TYPE,
        LEAT_FLAW_OUT_OF_RANGE,
        LEAT_FLAW_MISSING,
        LEAT_FLAW_TRUNCATE,
        LEAT_FLAW_NOT_JSON,
        LEAT_FLAW_EMPTY,
        LEAT_FLAW_COUNT,
};

/* The last values of a field, for "recent". */
struct leat_gen_ring {
        const char *topic, *field; /* as the spec names them */
        uint32_t topic_index, field_index;
        uint32_t size, count, next;
        struct leat_gen_value *values;
        struct leat_buf *texts;
};

struct leat_gen_topic {
        const char *name;
        int32_t partitions;
        bool selected;
        uint32_t contents; /* set whose rows are the topic's records; NONE: events */
        double share;
        struct leat_gen_record record;
        uint32_t *key_fields;
        uint32_t key_count;
        bool key_object; /* a JSON object even for one field */
        double flaw_share, duplicate_share;
        uint8_t flaws[LEAT_FLAW_COUNT];
        uint32_t flaw_count;
        uint32_t *flaw_fields;
        uint32_t flaw_field_count;
        uint64_t events, flawed, duplicates, late; /* made so far */
        struct leat_buf last_key, last_value;      /* for duplicates */
        bool last_keyed, last_flawed, has_last;
};

struct leat_gen {
        struct leat_arena *arena;
        uint64_t seed;
        struct leat_gen_set *sets;
        uint32_t set_count;
        struct leat_gen_topic *topics;
        uint32_t topic_count;
        struct leat_gen_ring *rings;
        uint32_t ring_count;
        struct leat_gen_alias shares; /* of topics with events */
        uint32_t *share_topics;
        uint32_t share_count;
        /* at work */
        struct leat_gen_rng rng;
        struct leat_arena *scratch; /* of one event */
        struct leat_gen_value *values;
        uint32_t *rows; /* chosen by the picks */
        int64_t now_us, start_us;
        bool late; /* the event at hand */
        struct leat_buf key, value;
        struct leat_gen_second { /* texts of seconds, by their last six bits */
                int64_t second;
                int len; /* 0: none yet */
                char text[LEAT_TIME_TEXT_MAX];
        } seconds[64];
};

/* Compiles @text (the file @name, for messages) and makes its sets; times begin at @start_us. LEAT_EINVAL names the
 * place in the spec. */
int leat_gen_open(struct leat_view text, const char *name, uint64_t seed, int64_t start_us, struct leat_gen **ret_gen,
                  struct leat_error *err) LEAT_NODISCARD;
void leat_gen_close(struct leat_gen *gen);
/* Keeps only the topic @name (and others that were selected). LEAT_ENOTFOUND lists those there are. */
int leat_gen_select(struct leat_gen *gen, const char *name, struct leat_error *err) LEAT_NODISCARD;
/* Call once after the selection: shares among the topics that are left. LEAT_EINVAL when none makes events and
 * @need_events. */
int leat_gen_start(struct leat_gen *gen, bool need_events, struct leat_error *err) LEAT_NODISCARD;

struct leat_gen_event {
        uint32_t topic;
        bool keyed;
        bool flawed;          /* made wrong on purpose */
        struct leat_view key; /* valid until the next event */
        struct leat_view value;
        int64_t time_us; /* intended time */
};
/* The next event, meant for @time_us. */
void leat_gen_next(struct leat_gen *gen, int64_t time_us, struct leat_gen_event *ret_event);
/* Row @row of the topic's fixed contents; false behind the last. */
bool leat_gen_content(struct leat_gen *gen, uint32_t topic, uint32_t row, struct leat_gen_event *ret_event);

/* ---- between the files ------------------------------------------------------------------ */
/* Fills picks and values of @record; used for sets too. */
void leat_gen_record_make(struct leat_gen *gen, const struct leat_gen_record *record);
struct leat_gen_value leat_gen_node_value(struct leat_gen *gen, struct leat_gen_node *node);
struct leat_gen_value leat_gen_value_keep(struct leat_arena *arena, struct leat_gen_value value);
/* Compiling: where in the spec we are, for messages. */
struct leat_gen_place {
        struct leat_gen *gen;
        const struct leat_gen_record *record; /* whose fields before this one may be named */
        uint32_t fields;                      /* how many */
        char path[200];
        struct leat_error *err;
};
int leat_gen_fail(const struct leat_gen_place *place, const char *fmt, ...) LEAT_PRINTF(2, 3);
/* Compiles one generator. */
int leat_gen_node_parse(struct leat_gen_place *place, const json_t *spec,
                        struct leat_gen_node *ret_node) LEAT_NODISCARD;
/* Reads an optional number, text or duration ("5 s", or milliseconds) of an object. */
int leat_gen_get_number(const struct leat_gen_place *place, const json_t *object, const char *name, double fallback,
                        double *ret) LEAT_NODISCARD;
int leat_gen_get_duration(const struct leat_gen_place *place, const json_t *object, const char *name,
                          int64_t fallback_us, int64_t *ret_us) LEAT_NODISCARD;
/* Refuses members that are not in @names (comma-separated). */
int leat_gen_only(const struct leat_gen_place *place, const json_t *object, const char *names) LEAT_NODISCARD;
int leat_gen_find_pick(const struct leat_gen_place *place, const char *name, uint32_t *ret_pick) LEAT_NODISCARD;
int leat_gen_find_field(const struct leat_gen_place *place, const struct leat_gen_record *record, uint32_t count,
                        const char *name, uint32_t *ret_field) LEAT_NODISCARD;

/* ---- outputs: cli_gen_out.c, cli_gen_kafka.c ---------------------------------------------- */
struct leat_gen_out;
struct leat_gen_out_ops {
        int (*put)(struct leat_gen_out *out, const struct leat_gen_event *event, struct leat_error *err);
        /* Hands on what is collected; with @wait until all of it is there. */
        int (*flush)(struct leat_gen_out *out, bool wait, struct leat_error *err);
        void (*close)(struct leat_gen_out *out);
};
struct leat_gen_out {
        const struct leat_gen_out_ops *ops;
        uint64_t done, lost;          /* records that are there for good; that were refused */
        struct leat_error lost_error; /* of the last one lost */
};
/* "-" is standard output. @envelope: every line is {"topic", "key", "value"} instead of the value. */
int leat_gen_out_file(const struct leat_gen *gen, const char *path, bool envelope, struct leat_gen_out **ret_out,
                      struct leat_error *err) LEAT_NODISCARD;
#define LEAT_GEN_BATCH_RECORDS_MAX 10000
/* Makes topics that there are not. @batch_records: most of a batch, at most LEAT_GEN_BATCH_RECORDS_MAX. */
int leat_gen_out_kafka(const struct leat_gen *gen, const char *address, uint32_t batch_records,
                       struct leat_gen_out **ret_out, struct leat_error *err) LEAT_NODISCARD;

/* ---- events of a file: cli_gen_lines.c ------------------------------------------------------- */
struct leat_gen_lines;
/* A spec that has just this topic, for the outputs; @partitions when it has to be made. */
int leat_gen_lines_spec(const char *topic, int32_t partitions, struct leat_gen **ret_gen,
                        struct leat_error *err) LEAT_NODISCARD;
/* "-" is standard input. Keeps @path. */
int leat_gen_lines_open(const char *path, struct leat_gen_lines **ret_lines, struct leat_error *err) LEAT_NODISCARD;
/* The next line as an event of topic 0, without its time; its memory lives until the next call. */
int leat_gen_lines_next(struct leat_gen_lines *lines, struct leat_gen_event *ret_event, bool *ret_end,
                        struct leat_error *err) LEAT_NODISCARD;
void leat_gen_lines_close(struct leat_gen_lines *lines);

#endif
