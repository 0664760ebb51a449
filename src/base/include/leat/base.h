/* SPDX-License-Identifier: Apache-2.0 */
/* leat/base: everything that every module may use. */
#ifndef LEAT_BASE_H
#define LEAT_BASE_H

#include "leat/bytes.h"
#include "leat/diag.h"
#include "leat/error.h"
#include "leat/hash.h"
#include "leat/mem.h"
#include "leat/param.h"
#include "leat/ring.h"
#include "leat/stats.h"
#include "leat/time.h"

#endif
