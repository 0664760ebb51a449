/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <stdlib.h>

#include "leat/base.h"

LEAT_TEST(buf_numbers)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_buf_be16(&buf, 0x0102);
        leat_buf_be32(&buf, 0x03040506);
        leat_buf_le32(&buf, 0x03040506);
        static const uint8_t want[] = {1, 2, 3, 4, 5, 6, 6, 5, 4, 3};
        CHECK(leat_view_eq(leat_buf_view(&buf), leat_view_of(want, sizeof(want))));
        leat_buf_done(&buf);
}
