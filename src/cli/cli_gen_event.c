/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: one event of the generator.
 *
 * Design    The picks choose their rows, each field's node gives a value, the
 *           values are written as JSON. Values point into the spec's arena or
 *           the scratch arena of the event. No allocation for the usual kinds.
 * Times     An event is meant for a time; its event time is that time less its
 *           lateness and plus its source's clock skew. So what a stall delays
 *           still carries the time at which it should have come.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "cli_gen_int.h"

/* ---- values as text ------------------------------------------------------------------ */

static char *put_uint(char *end, uint64_t v)
{
        do {
                *--end = (char)('0' + v % 10);
                v /= 10;
        } while (v != 0);
        return end;
}

static void add_int(struct leat_buf *out, int64_t v)
{
        char text[24], *p = put_uint(text + sizeof text, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
        if (v < 0)
                *--p = '-';
        leat_buf_add(out, p, (size_t)(text + sizeof text - p));
}

/* @decimals digits behind the point, as printf would. */
static void add_num(struct leat_buf *out, double v, int decimals)
{
        static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
        double scaled = decimals >= 0 && decimals <= 9 ? fabs(v) * powers[decimals] : INFINITY;
        if (!(scaled < 1e15)) {
                leat_buf_printf(out, "%.17g", isfinite(v) ? v : 0);
                return;
        }
        uint64_t n = (uint64_t)(scaled + 0.5);
        char text[32], *p = text + sizeof text;
        if (decimals > 0) {
                for (int i = 0; i < decimals; i++, n /= 10)
                        *--p = (char)('0' + n % 10);
                *--p = '.';
        }
        p = put_uint(p, n);
        if (v < 0)
                *--p = '-';
        leat_buf_add(out, p, (size_t)(text + sizeof text - p));
}

void leat_gen_value_text(const struct leat_gen_value *value, struct leat_buf *out)
{
        switch (value->kind) {
        case LEAT_GEN_NULL:
                break;
        case LEAT_GEN_BOOL:
                leat_buf_add_str(out, value->i ? "true" : "false");
                break;
        case LEAT_GEN_INT:
                add_int(out, value->i);
                break;
        case LEAT_GEN_NUM:
                add_num(out, value->d, value->decimals);
                break;
        default:
                leat_buf_add_view(out, value->text);
        }
}

void leat_gen_value_json(const struct leat_gen_value *value, struct leat_buf *out)
{
        if (value->kind == LEAT_GEN_NULL) {
                leat_buf_add(out, "null", 4);
        } else if (value->kind != LEAT_GEN_TEXT) {
                leat_gen_value_text(value, out);
        } else if (value->plain) {
                uint8_t *p = leat_buf_reserve(out, value->text.len + 2);
                p[0] = '"';
                memcpy(p + 1, value->text.data, value->text.len);
                p[value->text.len + 1] = '"';
                out->len += value->text.len + 2;
        } else {
                leat_buf_json_str(out, value->text);
        }
}

struct leat_gen_value leat_gen_value_keep(struct leat_arena *arena, struct leat_gen_value value)
{
        if (value.kind == LEAT_GEN_TEXT || value.kind == LEAT_GEN_JSON)
                value.text.data =
                        (const uint8_t *)leat_arena_strndup(arena, (const char *)value.text.data, value.text.len);
        return value;
}

static double number_of(const struct leat_gen_value *value)
{
        return value->kind == LEAT_GEN_NUM                                   ? value->d
               : value->kind == LEAT_GEN_INT || value->kind == LEAT_GEN_BOOL ? (double)value->i
                                                                             : 0;
}

/* A value of the text that was put together in @text, which is freed. */
static struct leat_gen_value built_value(struct leat_gen *gen, uint8_t kind, bool plain, struct leat_buf *text)
{
        uint8_t *copy = leat_arena_alloc(gen->scratch, text->len);
        if (text->len != 0)
                memcpy(copy, text->data, text->len);
        struct leat_gen_value value = {.kind = kind, .plain = plain, .text = leat_view_of(copy, text->len)};
        leat_buf_done(text);
        return value;
}

/* ---- nodes --------------------------------------------------------------------------- */

static struct leat_gen_value number_value(const struct leat_gen_node *node, double v)
{
        v = v < node->min ? node->min : v > node->max ? node->max : v;
        if (node->whole)
                return (struct leat_gen_value){.kind = LEAT_GEN_INT, .i = (int64_t)llround(v)};
        return (struct leat_gen_value){.kind = LEAT_GEN_NUM, .d = v, .decimals = node->decimals};
}

static struct leat_gen_value sequence_value(struct leat_gen *gen, struct leat_gen_node *node)
{
        int64_t n = node->next;
        node->next = (int64_t)((uint64_t)n + (uint64_t)node->step);
        if (node->width == 0 && node->prefix.len == 0)
                return (struct leat_gen_value){.kind = LEAT_GEN_INT, .i = n};
        char digits[24], *p = put_uint(digits + sizeof digits, (uint64_t)n);
        size_t len = (size_t)(digits + sizeof digits - p),
               pad = len < (size_t)node->width ? (size_t)node->width - len : 0;
        uint8_t *text = leat_arena_alloc(gen->scratch, node->prefix.len + pad + len);
        memcpy(text, node->prefix.data, node->prefix.len);
        memset(text + node->prefix.len, '0', pad);
        memcpy(text + node->prefix.len + pad, p, len);
        return (struct leat_gen_value){
                .kind = LEAT_GEN_TEXT, .plain = true, .text = leat_view_of(text, node->prefix.len + pad + len)};
}

static struct leat_gen_value uuid_value(struct leat_gen *gen)
{
        static const char hex[] = "0123456789abcdef";
        uint64_t words[2] = {leat_gen_u64(&gen->rng), leat_gen_u64(&gen->rng)};
        uint8_t bytes[16], *text = leat_arena_alloc(gen->scratch, 36), *p = text;
        memcpy(bytes, words, 16);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        for (int i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *p++ = '-';
                *p++ = (uint8_t)hex[bytes[i] >> 4];
                *p++ = (uint8_t)hex[bytes[i] & 15];
        }
        return (struct leat_gen_value){.kind = LEAT_GEN_TEXT, .plain = true, .text = leat_view_of(text, 36)};
}

static struct leat_gen_value string_value(struct leat_gen *gen, const struct leat_gen_node *node)
{
        uint8_t *text = leat_arena_alloc(gen->scratch, (size_t)node->next);
        for (int64_t i = 0; i < node->next; i++)
                text[i] = (uint8_t) "abcdefghijklmnopqrstuvwxyz0123456789"[leat_gen_below(&gen->rng, 36)];
        return (struct leat_gen_value){
                .kind = LEAT_GEN_TEXT, .plain = true, .text = leat_view_of(text, (size_t)node->next)};
}

/* ISO 8601 with milliseconds; the texts of seconds are kept, since events come by the thousand a second. */
static struct leat_gen_value iso_value(struct leat_gen *gen, int64_t us)
{
        int64_t second = us / 1000000, part = us % 1000000;
        if (part < 0) {
                part += 1000000;
                second--;
        }
        struct leat_gen_second *known = &gen->seconds[second & 63];
        if (known->len == 0 || known->second != second) {
                known->second = second;
                known->len = leat_time_format(second * 1000000, known->text) - 1; /* without the Z */
        }
        size_t len = (size_t)known->len;
        uint8_t *text = leat_arena_alloc(gen->scratch, len + 5);
        uint32_t ms = (uint32_t)(part / 1000);
        memcpy(text, known->text, len);
        text[len] = '.';
        text[len + 1] = (uint8_t)('0' + ms / 100);
        text[len + 2] = (uint8_t)('0' + ms / 10 % 10);
        text[len + 3] = (uint8_t)('0' + ms % 10);
        text[len + 4] = 'Z';
        return (struct leat_gen_value){.kind = LEAT_GEN_TEXT, .plain = true, .text = leat_view_of(text, len + 5)};
}

static struct leat_gen_value time_value(struct leat_gen *gen, const struct leat_gen_node *node)
{
        int64_t us = gen->now_us + node->shift_us;
        if (node->late_share > 0 && leat_gen_unit(&gen->rng) < node->late_share) {
                double late = leat_gen_exponential(&gen->rng) * node->late_mean_us;
                us -= (int64_t)LEAT_MIN(late, node->late_max_us);
                gen->late = true;
        }
        if (node->skews != NULL)
                us += node->skews[gen->rows[node->skew_pick]];
        else if (node->skew_us > 0)
                us += (int64_t)(leat_gen_normal(&gen->rng) * node->skew_us);
        if (node->epoch_ms)
                return (struct leat_gen_value){.kind = LEAT_GEN_INT, .i = us / 1000};
        return iso_value(gen, us);
}

static struct leat_gen_value text_value(struct leat_gen *gen, struct leat_gen_node *node)
{
        struct leat_buf text = LEAT_BUF_INIT;
        for (uint32_t i = 0; i < node->part_count; i++) {
                struct leat_gen_value part = leat_gen_node_value(gen, &node->parts[i]);
                leat_gen_value_text(&part, &text);
        }
        return built_value(gen, LEAT_GEN_TEXT, false, &text);
}

static struct leat_gen_value fold_value(struct leat_gen *gen, struct leat_gen_node *node)
{
        double v = node->kind == LEAT_NODE_SUM ? 0 : 1;
        for (uint32_t i = 0; i < node->part_count; i++) {
                struct leat_gen_value part = leat_gen_node_value(gen, &node->parts[i]);
                v = node->kind == LEAT_NODE_SUM ? v + number_of(&part) : v * number_of(&part);
        }
        return number_value(node, v);
}

static struct leat_gen_value nested_value(struct leat_gen *gen, struct leat_gen_node *node)
{
        struct leat_buf text = LEAT_BUF_INIT;
        bool object = node->kind == LEAT_NODE_OBJECT;
        uint32_t count = object ? node->part_count
                                : (uint32_t)(node->next + (int64_t)leat_gen_below(&gen->rng, (uint64_t)node->step));
        if (!object)
                leat_buf_u8(&text, '[');
        else if (count == 0)
                leat_buf_u8(&text, '{');
        for (uint32_t i = 0; i < count; i++) {
                struct leat_gen_value part = leat_gen_node_value(gen, &node->parts[object ? i : 0]);
                if (object)
                        leat_buf_add_view(&text, node->names[i]);
                else if (i != 0)
                        leat_buf_u8(&text, ',');
                leat_gen_value_json(&part, &text);
        }
        leat_buf_u8(&text, object ? '}' : ']');
        return built_value(gen, LEAT_GEN_JSON, true, &text);
}

static struct leat_gen_value recent_value(struct leat_gen *gen, const struct leat_gen_node *node)
{
        const struct leat_gen_ring *ring = &gen->rings[node->ring];
        if (ring->count == 0)
                return (struct leat_gen_value){.kind = LEAT_GEN_NULL};
        return ring->values[leat_gen_below(&gen->rng, ring->count)];
}

static struct leat_gen_value of_value(const struct leat_gen *gen, const struct leat_gen_node *node)
{
        if (node->pick == LEAT_GEN_NONE)
                return gen->values[node->field];
        const struct leat_gen_set *set = &gen->sets[node->set];
        return set->values[(size_t)gen->rows[node->pick] * set->record.field_count + node->field];
}

static struct leat_gen_value plain_node_value(struct leat_gen *gen, struct leat_gen_node *node)
{
        struct leat_gen_rng *rng = &gen->rng;
        switch (node->kind) {
        case LEAT_NODE_CONSTANT:
                return node->value;
        case LEAT_NODE_SEQUENCE:
                return sequence_value(gen, node);
        case LEAT_NODE_UNIFORM_INT:
                return (struct leat_gen_value){.kind = LEAT_GEN_INT,
                                               .i = node->next + (int64_t)leat_gen_below(rng, (uint64_t)node->step)};
        case LEAT_NODE_UNIFORM:
                return number_value(node, node->a + leat_gen_unit(rng) * node->b);
        case LEAT_NODE_NORMAL:
                return number_value(node, node->a + leat_gen_normal(rng) * node->b);
        case LEAT_NODE_EXPONENTIAL:
                return number_value(node, leat_gen_exponential(rng) * node->a);
        case LEAT_NODE_ZIPF:
                return (struct leat_gen_value){.kind = LEAT_GEN_INT,
                                               .i = node->next + leat_gen_alias_pick(&node->alias, rng)};
        case LEAT_NODE_CHOICE:
                return node->choices[node->alias.count != 0 ? leat_gen_alias_pick(&node->alias, rng)
                                                            : leat_gen_below(rng, node->choice_count)];
        case LEAT_NODE_BOOL:
                return (struct leat_gen_value){.kind = LEAT_GEN_BOOL, .i = leat_gen_unit(rng) < node->a};
        case LEAT_NODE_UUID:
                return uuid_value(gen);
        case LEAT_NODE_STRING:
                return string_value(gen, node);
        case LEAT_NODE_OF:
                return of_value(gen, node);
        case LEAT_NODE_TEXT:
                return text_value(gen, node);
        case LEAT_NODE_TIME:
                return time_value(gen, node);
        case LEAT_NODE_SUM:
        case LEAT_NODE_PRODUCT:
                return fold_value(gen, node);
        case LEAT_NODE_OBJECT:
        case LEAT_NODE_ARRAY:
                return nested_value(gen, node);
        case LEAT_NODE_MIX:
                return leat_gen_node_value(gen, &node->parts[leat_gen_alias_pick(&node->alias, rng)]);
        default:
                return recent_value(gen, node);
        }
}

struct leat_gen_value leat_gen_node_value(struct leat_gen *gen, struct leat_gen_node *node)
{
        if (node->null_share > 0 && leat_gen_unit(&gen->rng) < node->null_share)
                return (struct leat_gen_value){.kind = LEAT_GEN_NULL};
        struct leat_gen_value value = plain_node_value(gen, node);
        if (node->as_text && value.kind != LEAT_GEN_TEXT && value.kind != LEAT_GEN_NULL) {
                struct leat_buf text = LEAT_BUF_INIT;
                leat_gen_value_text(&value, &text);
                return built_value(gen, LEAT_GEN_TEXT, value.kind != LEAT_GEN_JSON, &text);
        }
        return value;
}

/* ---- records --------------------------------------------------------------------------- */

static uint32_t pick_row(struct leat_gen *gen, const struct leat_gen_pick *pick)
{
        const struct leat_gen_set *set = &gen->sets[pick->set];
        if (pick->match_pick != LEAT_GEN_NONE) {
                uint32_t other = gen->rows[pick->match_pick];
                uint32_t first = pick->group_start[other], count = pick->group_start[other + 1] - first;
                return count == 0 ? 0 : pick->group_rows[first + leat_gen_below(&gen->rng, count)];
        }
        if (pick->by_zipf)
                return leat_gen_alias_pick(&pick->alias, &gen->rng);
        if (pick->hot_share <= 0)
                return (uint32_t)leat_gen_below(&gen->rng, set->row_count);
        uint32_t hot = (uint32_t)(pick->hot_part * set->row_count + 0.5);
        hot = hot < 1 ? 1 : hot > set->row_count ? set->row_count : hot;
        bool is_hot = leat_gen_unit(&gen->rng) < pick->hot_share || hot == set->row_count;
        uint64_t row = is_hot ? leat_gen_below(&gen->rng, hot) : hot + leat_gen_below(&gen->rng, set->row_count - hot);
        if (pick->hot_shift_us != 0)
                row += (uint64_t)((gen->now_us - gen->start_us) / pick->hot_shift_us) * hot;
        return (uint32_t)(row % set->row_count);
}

void leat_gen_record_make(struct leat_gen *gen, const struct leat_gen_record *record)
{
        for (uint32_t i = 0; i < record->pick_count; i++)
                gen->rows[i] = pick_row(gen, &record->picks[i]);
        for (uint32_t i = 0; i < record->field_count; i++)
                gen->values[i] = leat_gen_node_value(gen, &record->fields[i]);
}

/* Appends the object; field @flaw_field gets the flaw (NONE: no field does). */
static void write_object(struct leat_buf *out, const struct leat_gen_record *record,
                         const struct leat_gen_value *values, uint32_t flaw_field, enum leat_gen_flaw flaw)
{
        uint8_t separator = '{';
        for (uint32_t i = 0; i < record->field_count; i++) {
                if (record->hidden[i] || (i == flaw_field && flaw == LEAT_FLAW_MISSING))
                        continue;
                leat_buf_u8(out, separator);
                separator = ',';
                leat_buf_add_view(out, record->labels[i]);
                if (i == flaw_field && flaw == LEAT_FLAW_OUT_OF_RANGE)
                        leat_buf_add_str(out, "1e30");
                else if (i == flaw_field)
                        leat_buf_add_str(out, "\"?\"");
                else
                        leat_gen_value_json(&values[i], out);
        }
        if (separator == '{')
                leat_buf_u8(out, '{');
        leat_buf_u8(out, '}');
}

static void write_key(struct leat_buf *out, const struct leat_gen_topic *topic, const struct leat_gen_record *record,
                      const struct leat_gen_value *values)
{
        leat_buf_clear(out);
        if (!topic->key_object) {
                leat_gen_value_text(&values[topic->key_fields[0]], out);
                return;
        }
        for (uint32_t i = 0; i < topic->key_count; i++) {
                leat_buf_u8(out, i == 0 ? '{' : ',');
                leat_buf_add_view(out, record->labels[topic->key_fields[i]]);
                leat_gen_value_json(&values[topic->key_fields[i]], out);
        }
        leat_buf_u8(out, '}');
}

static void write_flawed(struct leat_gen *gen, struct leat_gen_topic *topic)
{
        enum leat_gen_flaw flaw = topic->flaws[leat_gen_below(&gen->rng, topic->flaw_count)];
        uint32_t field = LEAT_GEN_NONE;
        if (flaw == LEAT_FLAW_WRONG_TYPE || flaw == LEAT_FLAW_OUT_OF_RANGE || flaw == LEAT_FLAW_MISSING)
                field = topic->flaw_fields[leat_gen_below(&gen->rng, topic->flaw_field_count)];
        topic->flawed++;
        if (flaw == LEAT_FLAW_EMPTY)
                return;
        if (flaw == LEAT_FLAW_NOT_JSON) {
                leat_buf_printf(&gen->value, "E%05u checksum mismatch", (unsigned)leat_gen_below(&gen->rng, 100000));
                return;
        }
        write_object(&gen->value, &topic->record, gen->values, field, flaw);
        if (flaw == LEAT_FLAW_TRUNCATE)
                gen->value.len = 1 + leat_gen_below(&gen->rng, gen->value.len - 1);
}

static void remember(struct leat_gen *gen, uint32_t topic)
{
        for (uint32_t i = 0; i < gen->ring_count; i++) {
                struct leat_gen_ring *ring = &gen->rings[i];
                if (ring->topic_index != topic)
                        continue;
                struct leat_gen_value value = gen->values[ring->field_index];
                struct leat_buf *text = &ring->texts[ring->next];
                leat_buf_clear(text);
                if (value.kind == LEAT_GEN_TEXT || value.kind == LEAT_GEN_JSON) {
                        leat_buf_add_view(text, value.text);
                        value.text = leat_buf_view(text);
                }
                ring->values[ring->next] = value;
                ring->next = (ring->next + 1) % ring->size;
                ring->count = LEAT_MIN(ring->count + 1, ring->size);
        }
}

static void event_of(const struct leat_gen *gen, uint32_t topic, bool keyed, bool flawed,
                     struct leat_gen_event *ret_event)
{
        *ret_event = (struct leat_gen_event){
                .topic = topic,
                .keyed = keyed,
                .flawed = flawed,
                .key = leat_buf_view(&gen->key),
                .value = leat_view_of(gen->value.len != 0 ? (const void *)gen->value.data : "", gen->value.len),
                .time_us = gen->now_us,
        };
}

static bool repeat_last(struct leat_gen *gen, struct leat_gen_topic *topic)
{
        if (topic->duplicate_share <= 0 || !topic->has_last || leat_gen_unit(&gen->rng) >= topic->duplicate_share)
                return false;
        leat_buf_clear(&gen->key);
        leat_buf_clear(&gen->value);
        leat_buf_add_view(&gen->key, leat_buf_view(&topic->last_key));
        leat_buf_add_view(&gen->value, leat_buf_view(&topic->last_value));
        topic->duplicates++;
        return true;
}

void leat_gen_next(struct leat_gen *gen, int64_t time_us, struct leat_gen_event *ret_event)
{
        uint32_t index = gen->share_topics[gen->share_count == 1 ? 0 : leat_gen_alias_pick(&gen->shares, &gen->rng)];
        struct leat_gen_topic *topic = &gen->topics[index];
        gen->now_us = time_us;
        gen->late = false;
        topic->events++;
        if (repeat_last(gen, topic)) {
                event_of(gen, index, topic->last_keyed, topic->last_flawed, ret_event);
                return;
        }
        leat_arena_reset(gen->scratch);
        leat_gen_record_make(gen, &topic->record);
        bool keyed = topic->key_count != 0;
        if (keyed)
                write_key(&gen->key, topic, &topic->record, gen->values);
        leat_buf_clear(&gen->value);
        bool flawed = topic->flaw_share > 0 && leat_gen_unit(&gen->rng) < topic->flaw_share;
        if (flawed) {
                write_flawed(gen, topic);
        } else {
                write_object(&gen->value, &topic->record, gen->values, LEAT_GEN_NONE, LEAT_FLAW_NONE);
                topic->late += gen->late;
                if (gen->ring_count != 0)
                        remember(gen, index);
        }
        if (topic->duplicate_share > 0) {
                leat_buf_clear(&topic->last_key);
                leat_buf_clear(&topic->last_value);
                leat_buf_add_view(&topic->last_key, leat_buf_view(&gen->key));
                leat_buf_add_view(&topic->last_value, leat_buf_view(&gen->value));
                topic->has_last = true;
                topic->last_keyed = keyed;
                topic->last_flawed = flawed;
        }
        event_of(gen, index, keyed, flawed, ret_event);
}

bool leat_gen_content(struct leat_gen *gen, uint32_t topic, uint32_t row, struct leat_gen_event *ret_event)
{
        struct leat_gen_topic *t = &gen->topics[topic];
        if (t->contents == LEAT_GEN_NONE || row >= gen->sets[t->contents].row_count)
                return false;
        const struct leat_gen_set *set = &gen->sets[t->contents];
        const struct leat_gen_value *values = set->values + (size_t)row * set->record.field_count;
        if (t->key_count != 0)
                write_key(&gen->key, t, &set->record, values);
        leat_buf_clear(&gen->value);
        write_object(&gen->value, &set->record, values, LEAT_GEN_NONE, LEAT_FLAW_NONE);
        gen->now_us = gen->start_us;
        t->events++;
        event_of(gen, topic, t->key_count != 0, false, ret_event);
        return true;
}
