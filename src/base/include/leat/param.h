/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: the parameter table. Every limit and knob is one line of
 * params.def, from which the defaults, the checks, `leat help parameters` and
 * docs/parameters.md are made. `leat serve --set name=value` changes one.
 *
 * Values are set before threads start and only read afterwards.
 */
#ifndef LEAT_PARAM_H
#define LEAT_PARAM_H

#include <stdint.h>

#include "leat/bytes.h"
#include "leat/error.h"

enum leat_param_kind {
        LEAT_PARAM_INT,      /* plain number */
        LEAT_PARAM_BYTES,    /* "64 MiB", "1g", "1048576" */
        LEAT_PARAM_DURATION, /* "500 ms", "7 days"; kept in microseconds */
        LEAT_PARAM_BOOL,     /* true, false, on, off, 1, 0 */
};

enum leat_param {
#define PARAM(id, name, kind, value, min, max, help) LEAT_P_##id,
#include "leat/params.def"
#undef PARAM
        LEAT_PARAM_COUNT
};

struct leat_param_info {
        const char *name;
        enum leat_param_kind kind;
        int64_t value, min, max; /* value = default */
        const char *help;
};

/* Never NULL for id < LEAT_PARAM_COUNT. */
const struct leat_param_info *leat_param_info(enum leat_param id);
int64_t leat_param(enum leat_param id);
/* Sets @name from @value; LEAT_ENOTFOUND, LEAT_EINVAL or LEAT_ERANGE with the
 * allowed range and the nearest name as a hint. Thread: before others start. */
int leat_param_set(const char *name, const char *value, struct leat_error *err) LEAT_NODISCARD;
/* "name=value" of every parameter that is not at its default, one a line. */
void leat_param_changed(struct leat_buf *out);
/* Writes the value as a person reads it ("64 MiB", "7 days"). */
void leat_param_text(enum leat_param_kind kind, int64_t value, struct leat_buf *out);
/* Reads "64 MiB" and the like; false when it is no size. */
bool leat_size_parse(struct leat_view text, int64_t *ret_bytes);

#endif
