/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: the parameter table.
 *
 * Defaults, ranges and help come from params.def, one line each; the values
 * are one array, written before threads start and only read afterwards.
 */
#include "leat/param.h"

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

#include "leat/mem.h"
#include "leat/time.h"

static const struct leat_param_info infos[LEAT_PARAM_COUNT] = {
#define PARAM(id, name, kind, value, min, max, help) \
        [LEAT_P_##id] = {name, LEAT_PARAM_##kind, (value), (min), (max), help},
#include "leat/params.def"
#undef PARAM
};

static int64_t values[LEAT_PARAM_COUNT] = {
#define PARAM(id, name, kind, value, min, max, help) [LEAT_P_##id] = (value),
#include "leat/params.def"
#undef PARAM
};

const struct leat_param_info *leat_param_info(enum leat_param id)
{
        LEAT_ASSERT(id < LEAT_PARAM_COUNT);
        return &infos[id];
}

int64_t leat_param(enum leat_param id)
{
        LEAT_DCHECK(id < LEAT_PARAM_COUNT);
        return values[id];
}

/* ---- texts ------------------------------------------------------------------ */

/* The largest unit that divides @value, so that the text means the same number. */
static void scaled_text(int64_t value, const char *const *units, const int64_t *sizes, int count, struct leat_buf *out)
{
        for (int i = 0; i < count; i++)
                if (value != 0 && value % sizes[i] == 0) {
                        leat_buf_printf(out, "%" PRId64 " %s", value / sizes[i], units[i]);
                        return;
                }
        leat_buf_printf(out, "%" PRId64 " %s", value, units[count - 1]);
}

void leat_param_text(enum leat_param_kind kind, int64_t value, struct leat_buf *out)
{
        static const char *const byte_units[] = {"TiB", "GiB", "MiB", "KiB", "bytes"};
        static const int64_t byte_sizes[] = {INT64_C(1) << 40, 1 << 30, 1 << 20, 1 << 10, 1};
        static const char *const time_units[] = {"days", "hours", "min", "s", "ms", "us"};
        static const int64_t time_sizes[] = {INT64_C(86400000000), INT64_C(3600000000), 60000000, 1000000, 1000, 1};
        switch (kind) {
        case LEAT_PARAM_BYTES:
                scaled_text(value, byte_units, byte_sizes, LEAT_ARRAY_LEN(byte_units), out);
                break;
        case LEAT_PARAM_DURATION:
                scaled_text(value, time_units, time_sizes, LEAT_ARRAY_LEN(time_units), out);
                break;
        case LEAT_PARAM_BOOL:
                leat_buf_add_str(out, value ? "true" : "false");
                break;
        case LEAT_PARAM_INT:
                leat_buf_printf(out, "%" PRId64, value);
                break;
        }
}

/* Power of 1024 that the unit @word stands for, -1 when it is none. */
static int size_unit_power(const char *word)
{
        static const char *const names[][4] = {
                {"", "b", "byte", "bytes"}, {"k", "kb", "kib", "kib"}, {"m", "mb", "mib", "mib"},
                {"g", "gb", "gib", "gib"},  {"t", "tb", "tib", "tib"},
        };
        for (int power = 0; power < (int)LEAT_ARRAY_LEN(names); power++)
                for (int i = 0; i < 4; i++)
                        if (strcasecmp(word, names[power][i]) == 0)
                                return power;
        return -1;
}

bool leat_size_parse(struct leat_view text, int64_t *ret_bytes)
{
        size_t i = 0, n = 0;
        int64_t whole = 0;
        int64_t tenth_power = 1, fraction = 0;
        for (; i < text.len && isdigit(text.data[i]); i++, n++)
                if (__builtin_mul_overflow(whole, INT64_C(10), &whole) ||
                    __builtin_add_overflow(whole, (int64_t)(text.data[i] - '0'), &whole))
                        return false;
        if (n == 0)
                return false;
        if (i < text.len && text.data[i] == '.') {
                size_t digits = 0;
                for (i++; i < text.len && isdigit(text.data[i]); i++)
                        if (digits++ < 6) {
                                tenth_power *= 10;
                                fraction = fraction * 10 + (text.data[i] - '0');
                        }
                if (digits == 0)
                        return false;
        }
        while (i < text.len && text.data[i] == ' ')
                i++;
        char word[8];
        if (text.len - i >= sizeof(word))
                return false;
        memcpy(word, text.data + i, text.len - i);
        word[text.len - i] = '\0';
        int power = size_unit_power(word);
        if (power < 0)
                return false;
        int64_t unit = INT64_C(1) << (10 * power), bytes;
        if (__builtin_mul_overflow(whole, unit, &bytes) ||
            __builtin_add_overflow(bytes, (int64_t)((__int128)fraction * unit / tenth_power), &bytes))
                return false;
        *ret_bytes = bytes;
        return true;
}

static bool int_parse(struct leat_view text, int64_t *ret)
{
        bool minus = text.len > 0 && text.data[0] == '-';
        int64_t value = 0;
        if (text.len <= minus)
                return false;
        for (size_t i = minus; i < text.len; i++) {
                if (!isdigit(text.data[i]) || __builtin_mul_overflow(value, INT64_C(10), &value) ||
                    __builtin_sub_overflow(value, (int64_t)(text.data[i] - '0'), &value))
                        return false;
        }
        if (!minus && value == INT64_MIN)
                return false;
        *ret = minus ? value : -value;
        return true;
}

static bool bool_parse(const char *text, int64_t *ret)
{
        static const char *const words[2][4] = {{"false", "off", "0", "no"}, {"true", "on", "1", "yes"}};
        for (int value = 0; value < 2; value++)
                for (int i = 0; i < 4; i++)
                        if (strcasecmp(text, words[value][i]) == 0) {
                                *ret = value;
                                return true;
                        }
        return false;
}

/* ---- setting ---------------------------------------------------------------- */

/* Levenshtein distance; names are short. */
static unsigned edit_distance(const char *a, const char *b)
{
        unsigned row[64];
        size_t na = strlen(a), nb = strlen(b);
        if (na >= LEAT_ARRAY_LEN(row) || nb >= LEAT_ARRAY_LEN(row))
                return UINT32_MAX;
        for (size_t j = 0; j <= nb; j++)
                row[j] = (unsigned)j;
        for (size_t i = 1; i <= na; i++) {
                unsigned diagonal = row[0];
                row[0] = (unsigned)i;
                for (size_t j = 1; j <= nb; j++) {
                        unsigned above = row[j];
                        unsigned best = diagonal + (a[i - 1] != b[j - 1]);
                        best = LEAT_MIN(best, LEAT_MIN(above, row[j - 1]) + 1);
                        row[j] = best;
                        diagonal = above;
                }
        }
        return row[nb];
}

static int param_unknown(const char *name, struct leat_error *err)
{
        const char *nearest = NULL;
        unsigned best = UINT32_MAX;
        for (int i = 0; i < LEAT_PARAM_COUNT; i++) {
                unsigned distance = edit_distance(name, infos[i].name);
                if (distance < best) {
                        best = distance;
                        nearest = infos[i].name;
                }
        }
        int rc = leat_error_set(err, LEAT_ENOTFOUND, "there is no parameter \"%s\"", name);
        if (nearest != NULL && best <= strlen(name) / 2 + 1)
                leat_error_hint(err, "did you mean \"%s\"? `leat help parameters` lists all of them", nearest);
        else
                leat_error_hint(err, "`leat help parameters` lists all of them");
        return rc;
}

static bool param_parse(enum leat_param_kind kind, const char *text, int64_t *ret)
{
        switch (kind) {
        case LEAT_PARAM_INT:
                return int_parse(leat_view_str(text), ret);
        case LEAT_PARAM_BYTES:
                return leat_size_parse(leat_view_str(text), ret);
        case LEAT_PARAM_DURATION:
                return leat_duration_parse(leat_view_str(text), ret);
        case LEAT_PARAM_BOOL:
                return bool_parse(text, ret);
        }
        return false;
}

static int param_out_of_range(const struct leat_param_info *info, const char *value, struct leat_error *err)
{
        struct leat_buf range = LEAT_BUF_INIT;
        leat_param_text(info->kind, info->min, &range);
        leat_buf_add_str(&range, " to ");
        leat_param_text(info->kind, info->max, &range);
        int rc = leat_error_set(err, LEAT_ERANGE, "%s = %s is out of range", info->name, value);
        leat_error_hint(err, "allowed is %s", leat_buf_cstr(&range));
        leat_buf_done(&range);
        return rc;
}

int leat_param_set(const char *name, const char *value, struct leat_error *err)
{
        static const char *const examples[] = {
                [LEAT_PARAM_INT] = "a whole number",
                [LEAT_PARAM_BYTES] = "a size such as 64 MiB",
                [LEAT_PARAM_DURATION] = "a duration such as 500 ms or 7 days",
                [LEAT_PARAM_BOOL] = "true or false",
        };
        for (int i = 0; i < LEAT_PARAM_COUNT; i++) {
                const struct leat_param_info *info = &infos[i];
                int64_t number;
                if (strcmp(info->name, name) != 0)
                        continue;
                if (!param_parse(info->kind, value, &number)) {
                        int rc = leat_error_set(err, LEAT_EINVAL, "%s = \"%s\" cannot be read", name, value);
                        leat_error_hint(err, "write %s", examples[info->kind]);
                        return rc;
                }
                if (number < info->min || number > info->max)
                        return param_out_of_range(info, value, err);
                values[i] = number;
                return 0;
        }
        return param_unknown(name, err);
}

void leat_param_changed(struct leat_buf *out)
{
        for (int i = 0; i < LEAT_PARAM_COUNT; i++) {
                if (values[i] == infos[i].value)
                        continue;
                leat_buf_printf(out, "%s=", infos[i].name);
                leat_param_text(infos[i].kind, values[i], out);
                leat_buf_u8(out, '\n');
        }
}
