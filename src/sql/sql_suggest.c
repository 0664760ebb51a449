/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: "did you mean". Levenshtein over names of at most 64 bytes; near is a third of the length, at least 2 (1 for names of up to three bytes). */
#include <ctype.h>
#include <string.h>

#include "sql_int.h"

#define NAME_MAX_BYTES 64

static uint32_t distance(const char *a, const char *b)
{
        uint32_t row[NAME_MAX_BYTES + 1];
        uint32_t n = (uint32_t)strlen(a), m = (uint32_t)strlen(b);
        if (n > NAME_MAX_BYTES || m > NAME_MAX_BYTES)
                return UINT32_MAX;
        for (uint32_t j = 0; j <= m; j++)
                row[j] = j;
        for (uint32_t i = 1; i <= n; i++) {
                uint32_t diagonal = row[0];
                row[0] = i;
                for (uint32_t j = 1; j <= m; j++) {
                        uint32_t change = diagonal + (tolower((uint8_t)a[i - 1]) != tolower((uint8_t)b[j - 1]));
                        diagonal = row[j];
                        row[j] = LEAT_MIN(change, LEAT_MIN(row[j], row[j - 1]) + 1);
                }
        }
        return row[m];
}

const char *leat_sql_suggest(const char *name, const char *const *names, uint32_t count)
{
        const char *best = NULL;
        uint32_t limit = strlen(name) < 4 ? 1 : (uint32_t)LEAT_MAX(strlen(name) / 3, (size_t)2),
                 best_distance = limit + 1;
        for (uint32_t i = 0; i < count; i++) {
                uint32_t d = distance(name, names[i]);
                if (d < best_distance) {
                        best_distance = d;
                        best = names[i];
                }
        }
        return best;
}
