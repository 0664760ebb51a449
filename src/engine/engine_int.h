/* SPDX-License-Identifier: Apache-2.0 */
/* leat/engine: what its files share. duckdb.h is included by those that need it. */
#ifndef LEAT_ENGINE_INT_H
#define LEAT_ENGINE_INT_H

#include "leat/base.h"
#include "leat/column.h"

#define LEAT_TYPE_DEPTH_MAX 16

/* The SQL name of a type number, "INVALID" for one that does not exist. */
const char *leat_engine_type_name(uint8_t id);

#endif
