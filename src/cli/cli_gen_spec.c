/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: from a spec to sets and topics.
 *
 * Order     Sets first, in their order, each row made at once with random numbers
 *           of its own (seed and the set's name), so that the entities do not
 *           change when the topics do; then the topics.
 */
#include <math.h>
#include <stdio.h>

#include "cli_gen_int.h"

#define SET_ROWS_MAX 10000000

static void place_at(struct leat_gen_place *place, const char *fmt, const char *a, const char *b)
{
        snprintf(place->path, sizeof place->path, fmt, a, b);
}

/* ---- picks ------------------------------------------------------------------------------ */

static int find_set(struct leat_gen_place *place, const char *name, uint32_t *ret_set)
{
        for (uint32_t i = 0; i < place->gen->set_count; i++) {
                if (strcmp(place->gen->sets[i].record.name, name) == 0) {
                        *ret_set = i;
                        return 0;
                }
        }
        return leat_gen_fail(place, "there is no set \"%s\" before this", name);
}

static bool value_same(const struct leat_gen_value *a, const struct leat_gen_value *b)
{
        struct leat_buf x = LEAT_BUF_INIT, y = LEAT_BUF_INIT;
        leat_gen_value_text(a, &x);
        leat_gen_value_text(b, &y);
        bool same = a->kind == b->kind && leat_view_eq(leat_buf_view(&x), leat_buf_view(&y));
        leat_buf_done(&x);
        leat_buf_done(&y);
        return same;
}

/* Groups the rows of the pick's set by the rows of the other pick's set that they agree with. */
static int match_groups(struct leat_gen_place *place, struct leat_gen_pick *pick, uint32_t own_field,
                        uint32_t other_field)
{
        struct leat_gen *gen = place->gen;
        const struct leat_gen_set *own = &gen->sets[pick->set];
        const struct leat_gen_set *other = &gen->sets[place->record->picks[pick->match_pick].set];
        uint64_t used = 0, cap = 64;
        uint32_t *rows = leat_malloc(cap * sizeof *rows);
        pick->group_start = leat_arena_alloc(gen->arena, (other->row_count + 1ull) * sizeof *pick->group_start);
        for (uint32_t i = 0; i < other->row_count; i++) {
                const struct leat_gen_value *want = &other->values[(size_t)i * other->record.field_count + other_field];
                pick->group_start[i] = (uint32_t)used;
                for (uint32_t k = 0; k < own->row_count; k++) {
                        if (!value_same(&own->values[(size_t)k * own->record.field_count + own_field], want))
                                continue;
                        if (used == cap)
                                rows = leat_realloc(rows, (cap *= 2) * sizeof *rows);
                        rows[used++] = k;
                }
                if (used == pick->group_start[i] || used > UINT32_MAX / 2) {
                        free(rows);
                        return leat_gen_fail(place, "\"match\": no row of \"%s\" agrees with row %u of \"%s\"",
                                             own->record.name, i + 1, other->record.name);
                }
        }
        pick->group_start[other->row_count] = (uint32_t)used;
        pick->group_rows = leat_arena_alloc(gen->arena, used * sizeof *rows);
        memcpy(pick->group_rows, rows, used * sizeof *rows);
        free(rows);
        return 0;
}

/* "match": {"site": "station.site"} */
static int parse_match(struct leat_gen_place *place, const json_t *match, struct leat_gen_pick *pick)
{
        const char *own = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)match));
        const char *other = own != NULL ? json_string_value(json_object_get(match, own)) : NULL;
        const char *dot = other != NULL ? strchr(other, '.') : NULL;
        uint32_t own_field, other_field;
        if (json_object_size(match) != 1 || dot == NULL)
                return leat_gen_fail(place, "\"match\" takes {\"field\": \"pick.field\"}");
        LEAT_TRY(leat_gen_find_pick(place, leat_arena_strndup(place->gen->arena, other, (size_t)(dot - other)),
                                    &pick->match_pick));
        const struct leat_gen_record *mine = &place->gen->sets[pick->set].record;
        const struct leat_gen_record *theirs = &place->gen->sets[place->record->picks[pick->match_pick].set].record;
        LEAT_TRY(leat_gen_find_field(place, mine, mine->field_count, own, &own_field));
        LEAT_TRY(leat_gen_find_field(place, theirs, theirs->field_count, dot + 1, &other_field));
        return match_groups(place, pick, own_field, other_field);
}

static int parse_hot(struct leat_gen_place *place, const json_t *hot, struct leat_gen_pick *pick)
{
        LEAT_TRY(leat_gen_only(place, hot, "share,part,shift"));
        LEAT_TRY(leat_gen_get_number(place, hot, "share", 0.5, &pick->hot_share));
        LEAT_TRY(leat_gen_get_number(place, hot, "part", 0.05, &pick->hot_part));
        LEAT_TRY(leat_gen_get_duration(place, hot, "shift", 0, &pick->hot_shift_us));
        if (pick->hot_share < 0 || pick->hot_share > 1 || pick->hot_part <= 0 || pick->hot_part > 1)
                return leat_gen_fail(place,
                                     "\"hot\": \"share\" (of events) and \"part\" (of rows) are between 0 and 1");
        return 0;
}

static int parse_pick(struct leat_gen_place *place, const json_t *spec, struct leat_gen_pick *pick)
{
        const json_t *from = json_is_string(spec) ? spec : json_object_get(spec, "from");
        const json_t *zipf = json_object_get(spec, "zipf"), *hot = json_object_get(spec, "hot");
        const json_t *match = json_object_get(spec, "match");
        pick->match_pick = LEAT_GEN_NONE;
        if (!json_is_string(from))
                return leat_gen_fail(place, "a pick takes the name of a set, or {\"from\": set, ...}");
        LEAT_TRY(find_set(place, json_string_value(from), &pick->set));
        if (!json_is_object(spec))
                return 0;
        LEAT_TRY(leat_gen_only(place, spec, "from,zipf,hot,match"));
        if ((zipf != NULL) + (hot != NULL) + (match != NULL) > 1)
                return leat_gen_fail(place, "a pick takes one of \"zipf\", \"hot\", \"match\"");
        if (zipf != NULL) {
                uint32_t rows = place->gen->sets[pick->set].row_count;
                double *weights = leat_malloc(rows * sizeof *weights);
                if (!json_is_number(zipf)) {
                        free(weights);
                        return leat_gen_fail(place, "\"zipf\" takes the exponent, as 1.1");
                }
                for (uint32_t i = 0; i < rows; i++)
                        weights[i] = pow(i + 1, -json_number_value(zipf));
                leat_gen_alias_init(&pick->alias, place->gen->arena, weights, rows);
                pick->by_zipf = true;
                free(weights);
        }
        if (hot != NULL)
                LEAT_TRY(parse_hot(place, hot, pick));
        return match != NULL ? parse_match(place, match, pick) : 0;
}

static int parse_picks(struct leat_gen_place *place, const json_t *picks, struct leat_gen_record *record)
{
        const char *name;
        json_t *spec;
        char base[200];
        if (picks == NULL)
                return 0;
        if (!json_is_object(picks))
                return leat_gen_fail(place, "\"pick\" takes {\"name\": set or {...}}");
        snprintf(base, sizeof base, "%s", place->path);
        record->picks = leat_arena_zalloc(place->gen->arena, json_object_size(picks) * sizeof *record->picks);
        json_object_foreach((json_t *)(uintptr_t)picks, name, spec)
        {
                struct leat_gen_pick *pick = &record->picks[record->pick_count];
                place_at(place, "%s.pick.%s", base, name);
                pick->name = leat_arena_strdup(place->gen->arena, name);
                LEAT_TRY(parse_pick(place, spec, pick));
                record->pick_count++; /* later picks may match this one, itself not */
        }
        place_at(place, "%s%s", base, "");
        return 0;
}

/* ---- records ------------------------------------------------------------------------------- */

static void record_name_field(struct leat_gen *gen, struct leat_gen_record *record, uint32_t i, const char *name)
{
        struct leat_buf label = LEAT_BUF_INIT;
        leat_buf_json_str(&label, leat_view_str(name));
        leat_buf_u8(&label, ':');
        record->field_names[i] = leat_arena_strdup(gen->arena, name);
        record->labels[i] = leat_view_of(leat_arena_strndup(gen->arena, (char *)label.data, label.len), label.len);
        record->hidden[i] = name[0] == '_';
        leat_buf_done(&label);
}

static void record_room(struct leat_gen *gen, struct leat_gen_record *record, size_t fields)
{
        record->fields = leat_arena_zalloc(gen->arena, (fields + 1) * sizeof *record->fields);
        record->field_names = leat_arena_zalloc(gen->arena, (fields + 1) * sizeof *record->field_names);
        record->labels = leat_arena_zalloc(gen->arena, (fields + 1) * sizeof *record->labels);
        record->hidden = leat_arena_zalloc(gen->arena, (fields + 1) * sizeof *record->hidden);
}

static int parse_record(struct leat_gen_place *place, const json_t *spec, struct leat_gen_record *record)
{
        const json_t *fields = json_object_get(spec, "fields");
        char base[200];
        const char *name;
        json_t *field;
        place->record = record;
        place->fields = 0;
        LEAT_TRY(parse_picks(place, json_object_get(spec, "pick"), record));
        if (json_object_size(fields) == 0)
                return leat_gen_fail(place, "\"fields\" is missing");
        snprintf(base, sizeof base, "%s", place->path);
        record_room(place->gen, record, json_object_size(fields));
        json_object_foreach((json_t *)(uintptr_t)fields, name, field)
        {
                place_at(place, "%s.fields.%s", base, name);
                LEAT_TRY(leat_gen_node_parse(place, field, &record->fields[record->field_count]));
                record_name_field(place->gen, record, record->field_count, name);
                place->fields = ++record->field_count;
        }
        place_at(place, "%s%s", base, "");
        return 0;
}

/* ---- sets ------------------------------------------------------------------------------------- */

/* Scratch for one record of any kind. */
static void work_room(struct leat_gen *gen, const struct leat_gen_record *record)
{
        gen->values = leat_realloc(gen->values, (record->field_count + 1ull) * sizeof *gen->values);
        gen->rows = leat_realloc(gen->rows, (record->pick_count + 1ull) * sizeof *gen->rows);
}

/* Rows as they stand in the spec; the fields are those of the first row. */
static int set_rows(struct leat_gen_place *place, const json_t *rows, struct leat_gen_set *set)
{
        struct leat_gen *gen = place->gen;
        json_t *first = json_array_get(rows, 0), *row, *value;
        const char *name;
        size_t i;
        if (json_object_size(first) == 0)
                return leat_gen_fail(place, "\"rows\" takes a list of objects");
        record_room(gen, &set->record, json_object_size(first));
        json_object_foreach(first, name, value) record_name_field(gen, &set->record, set->record.field_count++, name);
        set->values =
                leat_arena_zalloc(gen->arena, json_array_size(rows) * set->record.field_count * sizeof *set->values);
        json_array_foreach((json_t *)(uintptr_t)rows, i, row)
        {
                for (uint32_t k = 0; k < set->record.field_count; k++) {
                        struct leat_gen_node node = {0};
                        const json_t *cell = json_object_get(row, set->record.field_names[k]);
                        json_t *wrapped = json_object();
                        json_object_set(wrapped, "constant", cell != NULL ? (json_t *)(uintptr_t)cell : json_null());
                        int rc = leat_gen_node_parse(place, wrapped, &node);
                        json_decref(wrapped);
                        LEAT_TRY(rc);
                        set->values[i * set->record.field_count + k] = node.value;
                }
                set->row_count++;
        }
        return 0;
}

static int set_generated(struct leat_gen_place *place, const json_t *spec, struct leat_gen_set *set)
{
        struct leat_gen *gen = place->gen;
        double count;
        LEAT_TRY(leat_gen_get_number(place, spec, "count", 0, &count));
        if (count < 1 || count > SET_ROWS_MAX)
                return leat_gen_fail(place, "\"count\" must be 1 to %d (or give \"rows\")", SET_ROWS_MAX);
        LEAT_TRY(parse_record(place, spec, &set->record));
        set->values = leat_arena_alloc(gen->arena, (size_t)count * set->record.field_count * sizeof *set->values);
        work_room(gen, &set->record);
        leat_gen_seed(&gen->rng, gen->seed, set->record.name);
        for (uint32_t i = 0; i < (uint32_t)count; i++) {
                leat_arena_reset(gen->scratch);
                leat_gen_record_make(gen, &set->record);
                for (uint32_t k = 0; k < set->record.field_count; k++)
                        set->values[(size_t)i * set->record.field_count + k] =
                                leat_gen_value_keep(gen->arena, gen->values[k]);
        }
        set->row_count = (uint32_t)count;
        return 0;
}

static int parse_sets(struct leat_gen_place *place, const json_t *sets)
{
        struct leat_gen *gen = place->gen;
        const char *name;
        json_t *spec;
        gen->sets = leat_arena_zalloc(gen->arena, (json_object_size(sets) + 1) * sizeof *gen->sets);
        json_object_foreach((json_t *)(uintptr_t)sets, name, spec)
        {
                struct leat_gen_set *set = &gen->sets[gen->set_count];
                const json_t *rows = json_object_get(spec, "rows");
                place_at(place, "sets.%s%s", name, "");
                set->record.name = leat_arena_strdup(gen->arena, name);
                LEAT_TRY(leat_gen_only(place, spec, rows != NULL ? "rows" : "count,pick,fields"));
                LEAT_TRY(rows != NULL ? set_rows(place, rows, set) : set_generated(place, spec, set));
                gen->set_count++;
        }
        return 0;
}

/* ---- topics -------------------------------------------------------------------------------------- */

static int parse_key(struct leat_gen_place *place, const json_t *key, const struct leat_gen_record *record,
                     struct leat_gen_topic *topic)
{
        size_t count = json_is_array(key) ? json_array_size(key) : 1;
        if (key == NULL)
                return 0;
        topic->key_object = json_is_array(key);
        topic->key_fields = leat_arena_zalloc(place->gen->arena, count * sizeof *topic->key_fields);
        for (size_t i = 0; i < count; i++) {
                const json_t *name = json_is_array(key) ? json_array_get(key, i) : key;
                if (!json_is_string(name))
                        return leat_gen_fail(place, "\"key\" takes a field, or [fields] for a JSON object");
                LEAT_TRY(leat_gen_find_field(place, record, record->field_count, json_string_value(name),
                                             &topic->key_fields[topic->key_count++]));
        }
        return 0;
}

static const char *const flaw_names[LEAT_FLAW_COUNT] = {
        [LEAT_FLAW_WRONG_TYPE] = "wrong_type", [LEAT_FLAW_OUT_OF_RANGE] = "out_of_range",
        [LEAT_FLAW_MISSING] = "missing",       [LEAT_FLAW_TRUNCATE] = "truncate",
        [LEAT_FLAW_NOT_JSON] = "not_json",     [LEAT_FLAW_EMPTY] = "empty",
};

static int parse_flaw(struct leat_gen_place *place, const json_t *kind, struct leat_gen_topic *topic)
{
        for (int i = 1; i < LEAT_FLAW_COUNT; i++) {
                if (json_is_string(kind) && strcmp(json_string_value(kind), flaw_names[i]) == 0) {
                        if (topic->flaw_count < LEAT_FLAW_COUNT)
                                topic->flaws[topic->flaw_count++] = (uint8_t)i;
                        return 0;
                }
        }
        return leat_gen_fail(place,
                             "\"kinds\" of errors are wrong_type, out_of_range, missing, truncate, not_json, empty");
}

static int parse_flaws(struct leat_gen_place *place, const json_t *errors, struct leat_gen_topic *topic)
{
        const json_t *kinds = json_object_get(errors, "kinds"), *fields = json_object_get(errors, "fields");
        json_t *item;
        size_t i;
        if (errors == NULL)
                return 0;
        LEAT_TRY(leat_gen_only(place, errors, "share,kinds,fields"));
        LEAT_TRY(leat_gen_get_number(place, errors, "share", 0, &topic->flaw_share));
        topic->flaw_fields =
                leat_arena_zalloc(place->gen->arena, (json_array_size(fields) + 1) * sizeof *topic->flaw_fields);
        json_array_foreach((json_t *)(uintptr_t)fields, i, item) LEAT_TRY(leat_gen_find_field(
                place, &topic->record, topic->record.field_count, json_is_string(item) ? json_string_value(item) : "",
                &topic->flaw_fields[topic->flaw_field_count++]));
        json_array_foreach((json_t *)(uintptr_t)kinds, i, item) LEAT_TRY(parse_flaw(place, item, topic));
        if (topic->flaw_count == 0)
                topic->flaws[topic->flaw_count++] = LEAT_FLAW_TRUNCATE;
        for (uint32_t k = 0; k < topic->flaw_count; k++)
                if (topic->flaw_field_count == 0 && topic->flaws[k] <= LEAT_FLAW_MISSING)
                        return leat_gen_fail(place, "errors of kind \"%s\" need \"fields\": the ones to spoil",
                                             flaw_names[topic->flaws[k]]);
        return 0;
}

static int parse_topic(struct leat_gen_place *place, const json_t *spec, struct leat_gen_topic *topic)
{
        const json_t *contents = json_object_get(spec, "contents"), *key = json_object_get(spec, "key");
        double partitions;
        LEAT_TRY(leat_gen_get_number(place, spec, "partitions", 1, &partitions));
        if (partitions < 1 || partitions > 10000)
                return leat_gen_fail(place, "\"partitions\" must be 1 to 10000");
        topic->partitions = (int32_t)partitions;
        topic->contents = LEAT_GEN_NONE;
        if (contents != NULL) {
                LEAT_TRY(leat_gen_only(place, spec, "topic,contents,key,partitions"));
                if (!json_is_string(contents))
                        return leat_gen_fail(place, "\"contents\" takes the name of a set");
                LEAT_TRY(find_set(place, json_string_value(contents), &topic->contents));
                return parse_key(place, key, &place->gen->sets[topic->contents].record, topic);
        }
        LEAT_TRY(leat_gen_only(place, spec, "topic,share,pick,fields,key,partitions,errors,duplicates"));
        LEAT_TRY(leat_gen_get_number(place, spec, "share", 1, &topic->share));
        LEAT_TRY(leat_gen_get_number(place, spec, "duplicates", 0, &topic->duplicate_share));
        if (!(topic->share > 0))
                return leat_gen_fail(place, "\"share\" must be more than 0");
        LEAT_TRY(parse_record(place, spec, &topic->record));
        LEAT_TRY(parse_key(place, key, &topic->record, topic));
        return parse_flaws(place, json_object_get(spec, "errors"), topic);
}

static int parse_topics(struct leat_gen_place *place, const json_t *topics)
{
        struct leat_gen *gen = place->gen;
        json_t *spec;
        size_t i;
        place_at(place, "%s%s", "topics", "");
        if (json_array_size(topics) == 0)
                return leat_gen_fail(place, "the spec needs \"topics\": [{\"topic\": name, \"fields\": {...}}, ...]");
        gen->topics = leat_arena_zalloc(gen->arena, json_array_size(topics) * sizeof *gen->topics);
        json_array_foreach((json_t *)(uintptr_t)topics, i, spec)
        {
                const json_t *name = json_object_get(spec, "topic");
                if (!json_is_string(name))
                        return leat_gen_fail(place, "topic %zu has no \"topic\": name", i + 1);
                place_at(place, "%s%s", json_string_value(name), "");
                gen->topics[i].name = leat_arena_strdup(gen->arena, json_string_value(name));
                gen->topic_count++;
                LEAT_TRY(parse_topic(place, spec, &gen->topics[i]));
        }
        return 0;
}

/* "recent" may name topics that come later. */
static int resolve_rings(struct leat_gen_place *place)
{
        struct leat_gen *gen = place->gen;
        for (uint32_t i = 0; i < gen->ring_count; i++) {
                struct leat_gen_ring *ring = &gen->rings[i];
                ring->topic_index = 0;
                while (ring->topic_index < gen->topic_count &&
                       strcmp(gen->topics[ring->topic_index].name, ring->topic) != 0)
                        ring->topic_index++;
                place_at(place, "recent %s.%s", ring->topic, ring->field);
                if (ring->topic_index == gen->topic_count)
                        return leat_gen_fail(place, "there is no such topic");
                const struct leat_gen_record *record = &gen->topics[ring->topic_index].record;
                LEAT_TRY(leat_gen_find_field(place, record, record->field_count, ring->field, &ring->field_index));
                ring->values = leat_arena_zalloc(gen->arena, ring->size * sizeof *ring->values);
                ring->texts = leat_arena_zalloc(gen->arena, ring->size * sizeof *ring->texts);
        }
        return 0;
}

/* ---- open --------------------------------------------------------------------------------------------- */

int leat_gen_open(struct leat_view text, const char *name, uint64_t seed, int64_t start_us, struct leat_gen **ret_gen,
                  struct leat_error *err)
{
        json_error_t where;
        json_t *spec = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &where);
        if (spec == NULL)
                return leat_error_set(err, LEAT_EINVAL, "%s line %d, column %d: %s", name, where.line, where.column,
                                      where.text);
        struct leat_gen *gen = leat_calloc(1, sizeof *gen);
        gen->arena = leat_arena_new(64 * 1024);
        gen->scratch = leat_arena_new(16 * 1024);
        gen->seed = seed;
        gen->start_us = gen->now_us = start_us;
        struct leat_gen_place place = {.gen = gen, .err = err};
        place_at(&place, "%s%s", "spec", "");
        int rc;
        LEAT_TRY_GOTO(leat_gen_only(&place, spec, "description,sets,topics"));
        LEAT_TRY_GOTO(parse_sets(&place, json_object_get(spec, "sets")));
        LEAT_TRY_GOTO(parse_topics(&place, json_object_get(spec, "topics")));
        LEAT_TRY_GOTO(resolve_rings(&place));
        json_decref(spec);
        *ret_gen = gen;
        return 0;
fail:
        leat_error_prefix(err, "%s", name);
        json_decref(spec);
        leat_gen_close(gen);
        return rc;
}

void leat_gen_close(struct leat_gen *gen)
{
        if (gen == NULL)
                return;
        for (uint32_t i = 0; i < gen->ring_count; i++)
                for (uint32_t k = 0; gen->rings[i].texts != NULL && k < gen->rings[i].size; k++)
                        leat_buf_done(&gen->rings[i].texts[k]);
        for (uint32_t i = 0; i < gen->topic_count; i++) {
                leat_buf_done(&gen->topics[i].last_key);
                leat_buf_done(&gen->topics[i].last_value);
        }
        free(gen->rings);
        free(gen->values);
        free(gen->rows);
        leat_buf_done(&gen->key);
        leat_buf_done(&gen->value);
        leat_arena_free(gen->scratch);
        leat_arena_free(gen->arena);
        free(gen);
}

int leat_gen_select(struct leat_gen *gen, const char *name, struct leat_error *err)
{
        struct leat_buf names = LEAT_BUF_INIT;
        for (uint32_t i = 0; i < gen->topic_count; i++) {
                if (strcmp(gen->topics[i].name, name) == 0) {
                        gen->topics[i].selected = true;
                        leat_buf_done(&names);
                        return 0;
                }
                leat_buf_printf(&names, "%s%s", i == 0 ? "" : ", ", gen->topics[i].name);
        }
        leat_error_set(err, LEAT_ENOTFOUND, "the spec has no topic \"%s\"", name);
        leat_error_hint(err, "It has: %s.", leat_buf_cstr(&names));
        leat_buf_done(&names);
        return LEAT_ENOTFOUND;
}

int leat_gen_start(struct leat_gen *gen, bool need_events, struct leat_error *err)
{
        bool any = false;
        for (uint32_t i = 0; i < gen->topic_count; i++)
                any = any || gen->topics[i].selected;
        double *weights = leat_arena_alloc(gen->arena, (gen->topic_count + 1) * sizeof *weights);
        gen->share_topics = leat_arena_alloc(gen->arena, (gen->topic_count + 1) * sizeof *gen->share_topics);
        for (uint32_t i = 0; i < gen->topic_count; i++) {
                struct leat_gen_topic *topic = &gen->topics[i];
                topic->selected = topic->selected || !any;
                if (!topic->selected || topic->contents != LEAT_GEN_NONE)
                        continue;
                weights[gen->share_count] = topic->share;
                gen->share_topics[gen->share_count++] = i;
        }
        /* The largest record decides on the room. */
        uint32_t fields = 0, picks = 0;
        for (uint32_t i = 0; i < gen->topic_count; i++) {
                fields = LEAT_MAX(fields, gen->topics[i].record.field_count);
                picks = LEAT_MAX(picks, gen->topics[i].record.pick_count);
        }
        work_room(gen, &(struct leat_gen_record){.field_count = fields, .pick_count = picks});
        if (gen->share_count == 0 && need_events)
                return leat_error_set(err, LEAT_EINVAL,
                                      "the topics that were chosen have fixed contents, and no events");
        if (gen->share_count != 0)
                leat_gen_alias_init(&gen->shares, gen->arena, weights, gen->share_count);
        leat_gen_seed(&gen->rng, gen->seed, "events");
        return 0;
}
