/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: from the generators of a spec to nodes.
 *
 * Design    A generator is a constant, or an object with one word that says what
 *           it is ("uniform": [1, 6]) and words that modify it ("null": 0.1).
 *           Unknown words are refused, so a typing error never passes silently.
 *           References are resolved here; only fields before this one can be
 *           named, so there are no cycles.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "cli_gen_int.h"

#define ZIPF_MAX 5000000

static struct leat_arena *arena_of(const struct leat_gen_place *place)
{
        return place->gen->arena;
}

int leat_gen_fail(const struct leat_gen_place *place, const char *fmt, ...)
{
        char text[400];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        return leat_error_set(place->err, LEAT_EINVAL, "%s: %s", place->path, text);
}

int leat_gen_get_number(const struct leat_gen_place *place, const json_t *object, const char *name, double fallback,
                        double *ret)
{
        const json_t *value = json_object_get(object, name);
        if (value != NULL && !json_is_number(value))
                return leat_gen_fail(place, "\"%s\" must be a number", name);
        *ret = value != NULL ? json_number_value(value) : fallback;
        return 0;
}

int leat_gen_get_duration(const struct leat_gen_place *place, const json_t *object, const char *name,
                          int64_t fallback_us, int64_t *ret_us)
{
        const json_t *value = json_object_get(object, name);
        *ret_us = fallback_us;
        if (value == NULL)
                return 0;
        if (json_is_number(value))
                *ret_us = (int64_t)(json_number_value(value) * 1000);
        else if (!json_is_string(value) || !leat_duration_parse(leat_view_str(json_string_value(value)), ret_us))
                return leat_gen_fail(place, "\"%s\" must be a duration, as \"5 seconds\"", name);
        return 0;
}

static bool listed(const char *names, const char *name)
{
        size_t len = strlen(name);
        for (const char *p = names; *p != '\0';) {
                size_t n = strcspn(p, ",");
                if (n == len && memcmp(p, name, len) == 0)
                        return true;
                p += n + (p[n] == ',');
        }
        return false;
}

int leat_gen_only(const struct leat_gen_place *place, const json_t *object, const char *names)
{
        const char *name;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)object, name, value) if (!listed(names, name)) return leat_gen_fail(
                place, "\"%s\" is unknown here; there are: %s", name, names);
        return 0;
}

int leat_gen_find_pick(const struct leat_gen_place *place, const char *name, uint32_t *ret_pick)
{
        for (uint32_t i = 0; i < place->record->pick_count; i++) {
                if (strcmp(place->record->picks[i].name, name) == 0) {
                        *ret_pick = i;
                        return 0;
                }
        }
        return leat_gen_fail(place, "there is no pick \"%s\"", name);
}

int leat_gen_find_field(const struct leat_gen_place *place, const struct leat_gen_record *record, uint32_t count,
                        const char *name, uint32_t *ret_field)
{
        for (uint32_t i = 0; i < count; i++) {
                if (strcmp(record->field_names[i], name) == 0) {
                        *ret_field = i;
                        return 0;
                }
        }
        return leat_gen_fail(place, "there is no field \"%s\"%s", name,
                             record == place->record ? " before this one" : "");
}

/* ---- constants and references -------------------------------------------------------- */

static bool is_plain(const char *text, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if ((unsigned char)text[i] < ' ' || text[i] == '"' || text[i] == '\\')
                        return false;
        return true;
}

static struct leat_gen_value constant(const struct leat_gen_place *place, const json_t *spec)
{
        struct leat_gen_value v = {.kind = LEAT_GEN_NULL};
        if (json_is_string(spec)) {
                size_t len = json_string_length(spec);
                v.kind = LEAT_GEN_TEXT;
                v.text = leat_view_of(leat_arena_strndup(arena_of(place), json_string_value(spec), len), len);
                v.plain = is_plain(json_string_value(spec), len);
        } else if (json_is_integer(spec)) {
                v.kind = LEAT_GEN_INT;
                v.i = json_integer_value(spec);
        } else if (json_is_real(spec)) {
                v.kind = LEAT_GEN_NUM;
                v.d = json_real_value(spec);
                v.decimals = -1;
        } else if (json_is_boolean(spec)) {
                v.kind = LEAT_GEN_BOOL;
                v.i = json_is_true(spec);
        } else if (!json_is_null(spec)) {
                char *text = json_dumps(spec, JSON_COMPACT);
                v.kind = LEAT_GEN_JSON;
                v.text = leat_view_str(leat_arena_strdup(arena_of(place), text));
                free(text);
        }
        return v;
}

/* "pick.field" or "field". */
static int parse_of(struct leat_gen_place *place, const char *name, struct leat_gen_node *node)
{
        const char *dot = strchr(name, '.');
        node->kind = LEAT_NODE_OF;
        node->pick = LEAT_GEN_NONE;
        if (dot == NULL)
                return leat_gen_find_field(place, place->record, place->fields, name, &node->field);
        char *pick = leat_arena_strndup(arena_of(place), name, (size_t)(dot - name));
        LEAT_TRY(leat_gen_find_pick(place, pick, &node->pick));
        node->set = place->record->picks[node->pick].set;
        const struct leat_gen_record *record = &place->gen->sets[node->set].record;
        return leat_gen_find_field(place, record, record->field_count, dot + 1, &node->field);
}

/* "Box {length_cm} of {station.name}"; {{ is a brace. */
static int parse_text(struct leat_gen_place *place, const char *text, struct leat_gen_node *node)
{
        size_t max = 1;
        for (const char *p = text; *p != '\0'; p++)
                max += 2 * (*p == '{');
        node->kind = LEAT_NODE_TEXT;
        node->parts = leat_arena_zalloc(arena_of(place), max * sizeof *node->parts);
        while (*text != '\0') {
                struct leat_gen_node *part = &node->parts[node->part_count++];
                if (text[0] == '{' && text[1] != '{') {
                        size_t len = strcspn(text + 1, "}");
                        if (text[1 + len] == '\0')
                                return leat_gen_fail(place, "\"text\" has a { without }");
                        LEAT_TRY(parse_of(place, leat_arena_strndup(arena_of(place), text + 1, len), part));
                        text += len + 2;
                        continue;
                }
                size_t len = strcspn(text, "{");
                len += len == 0 ? 1 : 0;
                part->value.kind = LEAT_GEN_TEXT;
                part->value.text = leat_view_of(leat_arena_strndup(arena_of(place), text, len), len);
                text += len == 1 && text[0] == '{' ? 2 : len;
        }
        return 0;
}

/* ---- numbers ----------------------------------------------------------------------------- */

/* Words of all distributions: decimals, min, max. Whole numbers when decimals is 0. */
static int parse_limits(struct leat_gen_place *place, const json_t *object, struct leat_gen_node *node)
{
        double decimals;
        LEAT_TRY(leat_gen_get_number(place, object, "decimals", 0, &decimals));
        LEAT_TRY(leat_gen_get_number(place, object, "min", -9e18, &node->min));
        LEAT_TRY(leat_gen_get_number(place, object, "max", 9e18, &node->max));
        if (decimals < 0 || decimals > 9 || decimals != floor(decimals))
                return leat_gen_fail(place, "\"decimals\" must be 0 to 9");
        if (node->min > node->max)
                return leat_gen_fail(place, "\"min\" is above \"max\"");
        node->decimals = (int8_t)decimals;
        node->whole = decimals == 0;
        return 0;
}

static int parse_uniform(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                         struct leat_gen_node *node)
{
        const json_t *low = json_array_get(value, 0), *high = json_array_get(value, 1);
        if (json_array_size(value) != 2 || !json_is_number(low) || !json_is_number(high))
                return leat_gen_fail(place, "\"uniform\" takes [min, max]");
        LEAT_TRY(parse_limits(place, spec, node));
        if (json_number_value(low) > json_number_value(high))
                return leat_gen_fail(place, "\"uniform\": the first number is above the second");
        if (json_is_integer(low) && json_is_integer(high) && node->whole) {
                node->kind = LEAT_NODE_UNIFORM_INT;
                node->next = json_integer_value(low);
                node->step = (int64_t)((uint64_t)json_integer_value(high) - (uint64_t)node->next + 1);
                if (node->step <= 0)
                        return leat_gen_fail(place, "\"uniform\": the range is too wide");
                return 0;
        }
        if (json_object_get(spec, "decimals") == NULL) {
                node->whole = false;
                node->decimals = 3;
        }
        node->kind = LEAT_NODE_UNIFORM;
        node->a = json_number_value(low);
        node->b = json_number_value(high) - node->a;
        return 0;
}

static int parse_normal(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                        struct leat_gen_node *node)
{
        (void)spec;
        node->kind = LEAT_NODE_NORMAL;
        LEAT_TRY(leat_gen_only(place, value, "mean,stddev,min,max,decimals"));
        LEAT_TRY(leat_gen_get_number(place, value, "mean", 0, &node->a));
        LEAT_TRY(leat_gen_get_number(place, value, "stddev", 1, &node->b));
        return parse_limits(place, value, node);
}

static int parse_exponential(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                             struct leat_gen_node *node)
{
        (void)spec;
        node->kind = LEAT_NODE_EXPONENTIAL;
        LEAT_TRY(leat_gen_only(place, value, "mean,min,max,decimals"));
        LEAT_TRY(leat_gen_get_number(place, value, "mean", 1, &node->a));
        return parse_limits(place, value, node);
}

static int zipf_alias(struct leat_gen_place *place, double count, double exponent, struct leat_gen_alias *alias)
{
        if (count < 1 || count > ZIPF_MAX || count != floor(count))
                return leat_gen_fail(place, "\"zipf\" takes 1 to %d values", ZIPF_MAX);
        uint32_t n = (uint32_t)count;
        double *weights = leat_malloc(n * sizeof *weights);
        for (uint32_t i = 0; i < n; i++)
                weights[i] = pow(i + 1, -exponent);
        leat_gen_alias_init(alias, arena_of(place), weights, n);
        free(weights);
        return 0;
}

static int parse_zipf(struct leat_gen_place *place, const json_t *spec, const json_t *value, struct leat_gen_node *node)
{
        double count, exponent, first;
        (void)spec;
        node->kind = LEAT_NODE_ZIPF;
        LEAT_TRY(leat_gen_only(place, value, "count,exponent,start"));
        LEAT_TRY(leat_gen_get_number(place, value, "count", 0, &count));
        LEAT_TRY(leat_gen_get_number(place, value, "exponent", 1.1, &exponent));
        LEAT_TRY(leat_gen_get_number(place, value, "start", 0, &first));
        node->next = (int64_t)first;
        return zipf_alias(place, count, exponent, &node->alias);
}

static int parse_sequence(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                          struct leat_gen_node *node)
{
        double start, step, width;
        const json_t *prefix = json_object_get(value, "prefix");
        (void)spec;
        node->kind = LEAT_NODE_SEQUENCE;
        LEAT_TRY(leat_gen_only(place, value, "start,step,prefix,width"));
        LEAT_TRY(leat_gen_get_number(place, value, "start", 1, &start));
        LEAT_TRY(leat_gen_get_number(place, value, "step", 1, &step));
        LEAT_TRY(leat_gen_get_number(place, value, "width", 0, &width));
        if (prefix != NULL &&
            (!json_is_string(prefix) || !is_plain(json_string_value(prefix), json_string_length(prefix))))
                return leat_gen_fail(place, "\"prefix\" must be plain text");
        if (width < 0 || width > 18 || ((width != 0 || prefix != NULL) && (start < 0 || step < 0)))
                return leat_gen_fail(place, "\"width\" must be 0 to 18, and a text counts upwards from 0 or more");
        node->next = (int64_t)start;
        node->step = (int64_t)step;
        node->width = (int)width;
        if (prefix != NULL)
                node->prefix = leat_view_str(leat_arena_strdup(arena_of(place), json_string_value(prefix)));
        return 0;
}

/* ---- choices -------------------------------------------------------------------------------- */

static int parse_choice(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                        struct leat_gen_node *node)
{
        size_t i;
        json_t *item;
        (void)spec;
        node->kind = LEAT_NODE_CHOICE;
        if (json_array_size(value) == 0)
                return leat_gen_fail(place, "\"choice\" takes a list of values");
        node->choices = leat_arena_alloc(arena_of(place), json_array_size(value) * sizeof *node->choices);
        json_array_foreach((json_t *)(uintptr_t)value, i, item) node->choices[node->choice_count++] =
                constant(place, item);
        return 0;
}

/* {"text": weight} or [[value, weight], ...]. */
static int parse_weighted(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                          struct leat_gen_node *node)
{
        size_t count = json_is_object(value) ? json_object_size(value) : json_array_size(value), i;
        double *weights = leat_arena_alloc(arena_of(place), (count + 1) * sizeof *weights), sum = 0;
        const char *name;
        json_t *item;
        (void)spec;
        node->kind = LEAT_NODE_CHOICE;
        node->choices = leat_arena_alloc(arena_of(place), (count + 1) * sizeof *node->choices);
        json_object_foreach((json_t *)(uintptr_t)value, name, item)
        {
                json_t *text = json_string(name);
                weights[node->choice_count] = json_number_value(item);
                node->choices[node->choice_count++] = constant(place, text);
                json_decref(text);
        }
        json_array_foreach((json_t *)(uintptr_t)value, i, item)
        {
                weights[node->choice_count] = json_number_value(json_array_get(item, 1));
                node->choices[node->choice_count++] = constant(place, json_array_get(item, 0));
        }
        for (uint32_t k = 0; k < node->choice_count; k++) {
                if (!(weights[k] >= 0))
                        return leat_gen_fail(place, "\"weighted\": a weight is negative");
                sum += weights[k];
        }
        if (!(sum > 0))
                return leat_gen_fail(place, "\"weighted\" takes {\"value\": weight, ...} or [[value, weight], ...]");
        leat_gen_alias_init(&node->alias, arena_of(place), weights, node->choice_count);
        return 0;
}

/* ---- times -------------------------------------------------------------------------------------- */

static int parse_skew(struct leat_gen_place *place, const json_t *skew, struct leat_gen_node *node)
{
        int64_t stddev;
        const json_t *by = json_object_get(skew, "by");
        LEAT_TRY(leat_gen_only(place, skew, "by,stddev"));
        LEAT_TRY(leat_gen_get_duration(place, skew, "stddev", 0, &stddev));
        node->skew_us = (double)stddev;
        if (by == NULL)
                return 0;
        if (!json_is_string(by))
                return leat_gen_fail(place, "\"by\" must name a pick");
        LEAT_TRY(leat_gen_find_pick(place, json_string_value(by), &node->skew_pick));
        const struct leat_gen_set *set = &place->gen->sets[place->record->picks[node->skew_pick].set];
        struct leat_gen_rng rng;
        leat_gen_seed(&rng, place->gen->seed, place->path);
        node->skews = leat_arena_alloc(arena_of(place), (set->row_count + 1ull) * sizeof *node->skews);
        for (uint32_t i = 0; i < set->row_count; i++)
                node->skews[i] = (int64_t)(leat_gen_normal(&rng) * node->skew_us);
        return 0;
}

static int parse_time(struct leat_gen_place *place, const json_t *spec, const json_t *value, struct leat_gen_node *node)
{
        const json_t *format = json_object_get(value, "format"), *late = json_object_get(value, "late");
        int64_t mean, max;
        (void)spec;
        node->kind = LEAT_NODE_TIME;
        LEAT_TRY(leat_gen_only(place, value, "format,late,skew,shift,ago"));
        if (format != NULL && strcmp(json_is_string(format) ? json_string_value(format) : "", "ms") == 0)
                node->epoch_ms = true;
        else if (format != NULL && strcmp(json_is_string(format) ? json_string_value(format) : "", "iso") != 0)
                return leat_gen_fail(place, "\"format\" is \"iso\" or \"ms\"");
        if (late != NULL) {
                LEAT_TRY(leat_gen_only(place, late, "share,mean,max"));
                LEAT_TRY(leat_gen_get_number(place, late, "share", 1, &node->late_share));
                LEAT_TRY(leat_gen_get_duration(place, late, "mean", 1000000, &mean));
                LEAT_TRY(leat_gen_get_duration(place, late, "max", INT64_MAX, &max));
                node->late_mean_us = (double)mean;
                node->late_max_us = (double)max;
        }
        LEAT_TRY(leat_gen_get_duration(place, value, "shift", 0, &node->shift_us));
        LEAT_TRY(leat_gen_get_duration(place, value, "ago", 0, &mean));
        node->shift_us -= mean;
        const json_t *skew = json_object_get(value, "skew");
        return skew != NULL ? parse_skew(place, skew, node) : 0;
}

/* ---- nested and the rest ---------------------------------------------------------------------------- */

static int parse_part(struct leat_gen_place *place, const char *name, const json_t *spec, struct leat_gen_node *node)
{
        size_t len = strlen(place->path);
        snprintf(place->path + len, sizeof place->path - len, ".%s", name);
        int rc = leat_gen_node_parse(place, spec, node);
        if (rc == 0)
                place->path[len] = '\0';
        return rc;
}

static int parse_object(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                        struct leat_gen_node *node)
{
        const char *name;
        json_t *item;
        (void)spec;
        node->kind = LEAT_NODE_OBJECT;
        node->parts = leat_arena_zalloc(arena_of(place), (json_object_size(value) + 1) * sizeof *node->parts);
        node->names = leat_arena_zalloc(arena_of(place), (json_object_size(value) + 1) * sizeof *node->names);
        json_object_foreach((json_t *)(uintptr_t)value, name, item)
        {
                struct leat_buf label = LEAT_BUF_INIT;
                leat_buf_u8(&label, node->part_count == 0 ? '{' : ',');
                leat_buf_json_str(&label, leat_view_str(name));
                leat_buf_u8(&label, ':');
                node->names[node->part_count] =
                        leat_view_of(leat_arena_strndup(arena_of(place), (char *)label.data, label.len), label.len);
                leat_buf_done(&label);
                LEAT_TRY(parse_part(place, name, item, &node->parts[node->part_count++]));
        }
        return 0;
}

static int parse_array(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                       struct leat_gen_node *node)
{
        const json_t *count = json_object_get(value, "count"), *of = json_object_get(value, "of");
        json_int_t low =
                json_is_integer(count) ? json_integer_value(count) : json_integer_value(json_array_get(count, 0));
        json_int_t high = json_is_integer(count) ? low : json_integer_value(json_array_get(count, 1));
        (void)spec;
        node->kind = LEAT_NODE_ARRAY;
        LEAT_TRY(leat_gen_only(place, value, "count,of"));
        if (of == NULL || count == NULL || low < 0 || high < low || high > 100000)
                return leat_gen_fail(place, "\"array\" takes {\"count\": n or [min, max], \"of\": generator}");
        node->next = low;
        node->step = high - low + 1;
        node->parts = leat_arena_zalloc(arena_of(place), sizeof *node->parts);
        node->part_count = 1;
        return parse_part(place, "of", of, node->parts);
}

static int parse_fold(struct leat_gen_place *place, const json_t *spec, const json_t *value, struct leat_gen_node *node)
{
        size_t i;
        json_t *item;
        node->kind = json_object_get(spec, "sum") != NULL ? LEAT_NODE_SUM : LEAT_NODE_PRODUCT;
        if (json_array_size(value) == 0)
                return leat_gen_fail(place, "\"sum\" and \"product\" take a list of numbers and generators");
        LEAT_TRY(parse_limits(place, spec, node));
        node->parts = leat_arena_zalloc(arena_of(place), json_array_size(value) * sizeof *node->parts);
        json_array_foreach((json_t *)(uintptr_t)value, i, item)
                LEAT_TRY(leat_gen_node_parse(place, item, &node->parts[node->part_count++]));
        return 0;
}

/* [[generator, weight], ...] */
static int parse_mix(struct leat_gen_place *place, const json_t *spec, const json_t *value, struct leat_gen_node *node)
{
        size_t count = json_array_size(value), i;
        double *weights = leat_arena_alloc(arena_of(place), (count + 1) * sizeof *weights), sum = 0;
        json_t *item;
        (void)spec;
        node->kind = LEAT_NODE_MIX;
        node->parts = leat_arena_zalloc(arena_of(place), (count + 1) * sizeof *node->parts);
        json_array_foreach((json_t *)(uintptr_t)value, i, item)
        {
                const json_t *weight = json_array_get(item, 1);
                if (json_array_size(item) != 2 || !json_is_number(weight) || json_number_value(weight) < 0)
                        return leat_gen_fail(place, "\"mix\" takes [[generator, weight], ...]");
                weights[i] = json_number_value(weight);
                sum += weights[i];
                LEAT_TRY(leat_gen_node_parse(place, json_array_get(item, 0), &node->parts[node->part_count++]));
        }
        if (!(sum > 0))
                return leat_gen_fail(place, "\"mix\" takes [[generator, weight], ...]");
        leat_gen_alias_init(&node->alias, arena_of(place), weights, node->part_count);
        return 0;
}

static int parse_recent(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                        struct leat_gen_node *node)
{
        const json_t *topic = json_object_get(value, "topic"), *field = json_object_get(value, "field");
        struct leat_gen *gen = place->gen;
        double window;
        (void)spec;
        node->kind = LEAT_NODE_RECENT;
        LEAT_TRY(leat_gen_only(place, value, "topic,field,window"));
        LEAT_TRY(leat_gen_get_number(place, value, "window", 1000, &window));
        if (!json_is_string(topic) || !json_is_string(field) || window < 1 || window > 10000000)
                return leat_gen_fail(place, "\"recent\" takes {\"topic\": name, \"field\": name, \"window\": events}");
        gen->rings = leat_realloc(gen->rings, (gen->ring_count + 1) * sizeof *gen->rings);
        node->ring = gen->ring_count++;
        gen->rings[node->ring] = (struct leat_gen_ring){
                .topic = leat_arena_strdup(arena_of(place), json_string_value(topic)),
                .field = leat_arena_strdup(arena_of(place), json_string_value(field)),
                .size = (uint32_t)window,
        };
        return 0;
}

static int parse_of_word(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                         struct leat_gen_node *node)
{
        (void)spec;
        return json_is_string(value) ? parse_of(place, json_string_value(value), node)
                                     : leat_gen_fail(place, "\"of\" takes \"pick.field\" or \"field\"");
}

static int parse_text_word(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                           struct leat_gen_node *node)
{
        (void)spec;
        return json_is_string(value) ? parse_text(place, json_string_value(value), node)
                                     : leat_gen_fail(place, "\"text\" takes a text with {field} in it");
}

static int parse_bool(struct leat_gen_place *place, const json_t *spec, const json_t *value, struct leat_gen_node *node)
{
        (void)spec;
        node->kind = LEAT_NODE_BOOL;
        node->a = json_number_value(value);
        return json_is_number(value) && node->a >= 0 && node->a <= 1
                       ? 0
                       : leat_gen_fail(place, "\"bool\" takes the share of true, 0 to 1");
}

static int parse_uuid(struct leat_gen_place *place, const json_t *spec, const json_t *value, struct leat_gen_node *node)
{
        (void)spec;
        node->kind = LEAT_NODE_UUID;
        return json_is_true(value) ? 0 : leat_gen_fail(place, "\"uuid\" takes true");
}

static int parse_string(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                        struct leat_gen_node *node)
{
        (void)spec;
        node->kind = LEAT_NODE_STRING;
        node->next = json_integer_value(value);
        return node->next >= 1 && node->next <= 1000000 ? 0 : leat_gen_fail(place, "\"string\" takes a length");
}

static int parse_constant_word(struct leat_gen_place *place, const json_t *spec, const json_t *value,
                               struct leat_gen_node *node)
{
        (void)spec;
        node->kind = LEAT_NODE_CONSTANT;
        node->value = constant(place, value);
        return 0;
}

static const struct {
        const char *word;
        int (*parse)(struct leat_gen_place *, const json_t *, const json_t *, struct leat_gen_node *);
        const char *words; /* that may stand beside it */
} generators[] = {
        {"constant", parse_constant_word, "constant,null"},
        {"sequence", parse_sequence, "sequence,null,as"},
        {"uniform", parse_uniform, "uniform,decimals,null,as"},
        {"normal", parse_normal, "normal,null,as"},
        {"exponential", parse_exponential, "exponential,null,as"},
        {"zipf", parse_zipf, "zipf,null,as"},
        {"choice", parse_choice, "choice,null,as"},
        {"weighted", parse_weighted, "weighted,null,as"},
        {"bool", parse_bool, "bool,null,as"},
        {"uuid", parse_uuid, "uuid,null"},
        {"string", parse_string, "string,null"},
        {"of", parse_of_word, "of,null,as"},
        {"text", parse_text_word, "text,null"},
        {"time", parse_time, "time,null,as"},
        {"sum", parse_fold, "sum,decimals,min,max,null,as"},
        {"product", parse_fold, "product,decimals,min,max,null,as"},
        {"object", parse_object, "object,null,as"},
        {"array", parse_array, "array,null,as"},
        {"mix", parse_mix, "mix,null,as"},
        {"recent", parse_recent, "recent,null,as"},
};

int leat_gen_node_parse(struct leat_gen_place *place, const json_t *spec, struct leat_gen_node *ret_node)
{
        struct leat_gen_node node = {
                .pick = LEAT_GEN_NONE, .skew_pick = LEAT_GEN_NONE, .min = -DBL_MAX, .max = DBL_MAX};
        if (!json_is_object(spec)) {
                node.value = constant(place, spec);
                *ret_node = node;
                return 0;
        }
        for (size_t i = 0; i < LEAT_ARRAY_LEN(generators); i++) {
                const json_t *value = json_object_get(spec, generators[i].word), *as = json_object_get(spec, "as");
                if (value == NULL)
                        continue;
                LEAT_TRY(leat_gen_only(place, spec, generators[i].words));
                LEAT_TRY(generators[i].parse(place, spec, value, &node));
                LEAT_TRY(leat_gen_get_number(place, spec, "null", 0, &node.null_share));
                if (as != NULL && (!json_is_string(as) || strcmp(json_string_value(as), "text") != 0))
                        return leat_gen_fail(place, "\"as\" takes \"text\"");
                node.as_text = as != NULL;
                *ret_node = node;
                return 0;
        }
        struct leat_buf words = LEAT_BUF_INIT;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(generators); i++)
                leat_buf_printf(&words, "%s%s", i == 0 ? "" : ", ", generators[i].word);
        int rc = leat_gen_fail(place, "no generator; there are: %s", leat_buf_cstr(&words));
        leat_buf_done(&words);
        return rc;
}
