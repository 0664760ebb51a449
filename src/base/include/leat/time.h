/* SPDX-License-Identifier: Apache-2.0 */
/* leat/base: points in time as microseconds since 1970-01-01 UTC, and their
 * text. Clocks are in leat/os.h. Thread: any, no state. */
#ifndef LEAT_TIME_H
#define LEAT_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "leat/bytes.h"

#define LEAT_TIME_TEXT_MAX 40

/* Writes "2026-11-24T21:54:55.123456Z" (fraction without trailing zeros, left
 * out when 0) and returns its length. @out has LEAT_TIME_TEXT_MAX bytes. */
int leat_time_format(int64_t time_us, char *out);
/* Reads ISO 8601: date, optionally [T or space] time, fraction, zone (Z,
 * +hh[:mm], none = UTC). Returns false when the text is anything else. */
bool leat_time_parse(struct leat_view text, int64_t *ret_us);
/* Reads "10 ms", "5s", "7 days", "1 hour 30 minutes", "250" (milliseconds) as
 * microseconds; false when the text is anything else or negative. */
bool leat_duration_parse(struct leat_view text, int64_t *ret_us);
/* Days since 1970-01-01 of a proleptic Gregorian date. */
int64_t leat_days_from_civil(int64_t year, unsigned month, unsigned day);

#endif
