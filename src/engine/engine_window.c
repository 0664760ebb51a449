/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: leat_window_start and leat_hop_starts.
 *
 * Why       DuckDB's time_bucket aligns to 2000-01-03 and depends on the session's
 *           zone for days. These align to 1970-01-01 UTC by plain integer
 *           arithmetic, floored for times before it, so that batch and
 *           streaming agree to the microsecond.
 * Speed     Event times come nearly in order: the last window is tried first,
 *           and the division is rare.
 * Limits    Sizes are positive and without months; infinite times are their own
 *           window; a start before -infinity is out of range.
 */
#include <stdio.h>

#include "duck_int.h"

#define DAY_US 86400000000ll
#define HOP_WINDOWS_MAX 10000

static bool interval_us(const struct leat_interval *v, int64_t *ret_us)
{
        int64_t us;
        if (v->months != 0 || __builtin_mul_overflow((int64_t)v->days, DAY_US, &us))
                return false;
        return !__builtin_add_overflow(us, v->micros, ret_us);
}

static bool is_infinite(int64_t ts)
{
        return ts == LEAT_TIMESTAMP_INFINITY || ts == -LEAT_TIMESTAMP_INFINITY;
}

/* floor((ts - shift) / size) * size + shift; false when it does not fit. */
static bool window_start(int64_t ts, int64_t size, int64_t shift, int64_t *ret_start)
{
        int64_t t, rest;
        if (__builtin_sub_overflow(ts, shift, &t))
                return false;
        rest = t % size;
        if (rest < 0)
                rest += size;
        return !__builtin_sub_overflow(ts, rest, ret_start) && *ret_start > -LEAT_TIMESTAMP_INFINITY;
}

struct args {
        idx_t rows;
        uint32_t count;
        const int64_t *ts;
        const struct leat_interval *intervals[3];
        const uint64_t *validity[4];
};

static struct args args_read(duckdb_data_chunk input)
{
        struct args args = {.rows = duckdb_data_chunk_get_size(input),
                            .count = (uint32_t)duckdb_data_chunk_get_column_count(input)};
        for (uint32_t i = 0; i < args.count; i++) {
                duckdb_vector vector = duckdb_data_chunk_get_vector(input, i);
                args.validity[i] = duckdb_vector_get_validity(vector);
                if (i == 0)
                        args.ts = duckdb_vector_get_data(vector);
                else
                        args.intervals[i - 1] = duckdb_vector_get_data(vector);
        }
        return args;
}

static bool any_null(const struct args *args, idx_t row)
{
        for (uint32_t i = 0; i < args->count; i++)
                if (args->validity[i] != NULL && !((args->validity[i][row >> 6] >> (row & 63)) & 1))
                        return true;
        return false;
}

static void set_null(duckdb_vector output, idx_t row)
{
        duckdb_vector_ensure_validity_writable(output);
        duckdb_validity_set_row_invalid(duckdb_vector_get_validity(output), row);
}

/* Reads the interval @at of @row; an error is set and false returned when it is no fixed, positive length. */
static bool read_size(duckdb_function_info info, const struct args *args, uint32_t at, idx_t row, const char *what,
                      int64_t *ret_us)
{
        if (interval_us(&args->intervals[at][row], ret_us) && *ret_us > 0)
                return true;
        char text[200];
        snprintf(text, sizeof text,
                 args->intervals[at][row].months != 0
                         ? "the %s of a window cannot have months or years, which are not all of one length; use days"
                         : "the %s of a window must be longer than 0",
                 what);
        duckdb_scalar_function_set_error(info, text);
        return false;
}

static bool read_shift(duckdb_function_info info, const struct args *args, uint32_t at, idx_t row, int64_t *ret_us)
{
        *ret_us = 0;
        if (args->count <= at + 1 || interval_us(&args->intervals[at][row], ret_us))
                return true;
        duckdb_scalar_function_set_error(info, "the offset of a window cannot have months or years; use days");
        return false;
}

static void out_of_range(duckdb_function_info info)
{
        duckdb_scalar_function_set_error(info, "the window of this time starts before the earliest timestamp");
}

static void window_start_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
        struct args args = args_read(input);
        int64_t *out = duckdb_vector_get_data(output);
        struct leat_interval last = {0}, last_shift = {0};
        int64_t size = 0, shift = 0, start = 0;
        for (idx_t i = 0; i < args.rows; i++) {
                if (any_null(&args, i)) {
                        set_null(output, i);
                        continue;
                }
                const struct leat_interval *s = &args.intervals[0][i],
                                           *o = args.count > 2 ? &args.intervals[1][i] : &last_shift;
                if (size == 0 || memcmp(s, &last, sizeof last) != 0 || memcmp(o, &last_shift, sizeof last) != 0) {
                        if (!read_size(info, &args, 0, i, "size", &size) || !read_shift(info, &args, 1, i, &shift))
                                return;
                        last = *s;
                        last_shift = *o;
                        if (!window_start(0, size, shift, &start))
                                start = 0;
                }
                if (is_infinite(args.ts[i])) {
                        out[i] = args.ts[i];
                        continue;
                }
                if ((uint64_t)args.ts[i] - (uint64_t)start >= (uint64_t)size &&
                    !window_start(args.ts[i], size, shift, &start)) {
                        out_of_range(info);
                        return;
                }
                out[i] = start;
        }
}

static bool hop_row(duckdb_function_info info, const struct args *args, idx_t row, duckdb_vector output, idx_t *used)
{
        struct leat_list_entry *entry = (struct leat_list_entry *)duckdb_vector_get_data(output) + row;
        int64_t slide, size, shift, start;
        if (!read_size(info, args, 0, row, "slide", &slide) || !read_size(info, args, 1, row, "size", &size) ||
            !read_shift(info, args, 2, row, &shift))
                return false;
        int64_t ts = args->ts[row];
        bool infinite = is_infinite(ts);
        if (!infinite && !window_start(ts, slide, shift, &start)) {
                out_of_range(info);
                return false;
        }
        /* Starts are start, start - slide, ... as long as they are later than ts - size. */
        int64_t count = infinite ? 1 : size > ts - start ? (size - (ts - start) + slide - 1) / slide : 0;
        if (count > HOP_WINDOWS_MAX) {
                duckdb_scalar_function_set_error(info, "a hop window with more than 10000 windows for each row");
                return false;
        }
        int64_t first;
        if (!infinite && count != 0 &&
            (__builtin_sub_overflow(start, (count - 1) * slide, &first) || first <= -LEAT_TIMESTAMP_INFINITY)) {
                out_of_range(info);
                return false;
        }
        *entry = (struct leat_list_entry){.offset = *used, .length = (uint64_t)count};
        duckdb_list_vector_reserve(output, *used + (idx_t)count);
        int64_t *to = (int64_t *)duckdb_vector_get_data(duckdb_list_vector_get_child(output)) + *used;
        for (int64_t i = 0; i < count; i++)
                to[i] = infinite ? ts : first + i * slide;
        *used += (idx_t)count;
        return true;
}

static void hop_starts_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
        struct args args = args_read(input);
        idx_t used = 0;
        for (idx_t i = 0; i < args.rows; i++) {
                if (any_null(&args, i)) {
                        ((struct leat_list_entry *)duckdb_vector_get_data(output))[i] =
                                (struct leat_list_entry){.offset = used};
                        set_null(output, i);
                } else if (!hop_row(info, &args, i, output, &used)) {
                        return;
                }
        }
        duckdb_list_vector_set_size(output, used);
}

/* ---- registration ------------------------------------------------------------------ */

static bool add_overload(duckdb_scalar_function_set set, duckdb_type time_type, uint32_t intervals, bool list,
                         duckdb_scalar_function_t run)
{
        duckdb_scalar_function function = duckdb_create_scalar_function();
        duckdb_logical_type ts = duckdb_create_logical_type(time_type);
        duckdb_logical_type interval = duckdb_create_logical_type(DUCKDB_TYPE_INTERVAL);
        duckdb_logical_type result = list ? duckdb_create_list_type(ts) : duckdb_create_logical_type(time_type);
        duckdb_scalar_function_set_name(function, list ? "leat_hop_starts" : "leat_window_start");
        duckdb_scalar_function_add_parameter(function, ts);
        for (uint32_t i = 0; i < intervals; i++)
                duckdb_scalar_function_add_parameter(function, interval);
        duckdb_scalar_function_set_return_type(function, result);
        duckdb_scalar_function_set_function(function, run);
        bool ok = duckdb_add_scalar_function_to_set(set, function) == DuckDBSuccess;
        duckdb_destroy_logical_type(&result);
        duckdb_destroy_logical_type(&interval);
        duckdb_destroy_logical_type(&ts);
        duckdb_destroy_scalar_function(&function);
        return ok;
}

static int register_one(duckdb_connection con, const char *name, uint32_t intervals, bool list,
                        duckdb_scalar_function_t run)
{
        duckdb_scalar_function_set set = duckdb_create_scalar_function_set(name);
        bool ok = true;
        for (uint32_t extra = 0; extra < 2; extra++) {
                ok = ok && add_overload(set, DUCKDB_TYPE_TIMESTAMP, intervals + extra, list, run);
                ok = ok && add_overload(set, DUCKDB_TYPE_TIMESTAMP_TZ, intervals + extra, list, run);
        }
        ok = ok && duckdb_register_scalar_function_set(con, set) == DuckDBSuccess;
        duckdb_destroy_scalar_function_set(&set);
        return ok ? 0 : LEAT_EINTERNAL;
}

int leat_duck_register_windows(duckdb_connection con)
{
        LEAT_TRY(register_one(con, "leat_window_start", 1, false, window_start_run));
        return register_one(con, "leat_hop_starts", 2, true, hop_starts_run);
}
