/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include "leat/base.h"

LEAT_TEST(crc32c_vectors)
{
        CHECK_INT(leat_crc32c(0, "123456789", 9), 0xE3069283);
}
