/* SPDX-License-Identifier: Apache-2.0 */
/* leat/format: the token index, C side of format_json.cc. */
#ifndef LEAT_FORMAT_INDEX_H
#define LEAT_FORMAT_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct leat_format_index;

/* Aborts without memory. */
struct leat_format_index *leat_format_index_new(void);
void leat_format_index_free(struct leat_format_index *index);
/* Finds the positions of all brackets, colons, commas and starts of scalars in @data. NULL, or what is wrong ("is not
 * UTF-8"). The tokens live until the next call. Reads no byte behind @len. */
const char *leat_format_index_run(struct leat_format_index *index, const uint8_t *data, size_t len,
                                  const uint32_t **ret_tokens, uint32_t *ret_count);
bool leat_format_index_utf8(const uint8_t *data, size_t len);

#endif
