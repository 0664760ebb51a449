/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include "leat/base.h"

/* Calculated with Python's datetime. */
static const struct {
        int64_t us;
        const char *text;
} known[] = {
        {INT64_C(-62135596800000000), "0001-01-01T00:00:00Z"},
        {INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z"},
        {INT64_C(-1), "1969-12-31T23:59:59.999999Z"},
        {INT64_C(0), "1970-01-01T00:00:00Z"},
        {INT64_C(951825600000000), "2000-02-29T12:00:00Z"},
        {INT64_C(-2203891200000000), "1900-03-01T00:00:00Z"},
        {INT64_C(1709251199500000), "2024-02-29T23:59:59.5Z"},
        {INT64_C(1795557295123456), "2026-11-24T21:54:55.123456Z"},
        {INT64_C(-12219289076999960), "1582-10-15T01:02:03.00004Z"},
        {INT64_C(105311736184861168), "5307-03-13T20:03:04.861168Z"},
        {INT64_C(214938122638532084), "8781-02-12T18:03:58.532084Z"},
        {INT64_C(48881885164252353), "3519-01-03T13:26:04.252353Z"},
        {INT64_C(-15188249243870185), "1488-09-14T01:52:36.129815Z"},
        {INT64_C(53327786616613984), "3659-11-21T18:03:36.613984Z"},
        {INT64_C(142985180154139643), "6501-01-08T01:35:54.139643Z"},
        {INT64_C(87618128856323466), "4746-07-05T17:07:36.323466Z"},
        {INT64_C(227583920256669949), "9181-11-06T03:37:36.669949Z"},
};

LEAT_TEST(time_known)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(known); i++) {
                char text[LEAT_TIME_TEXT_MAX];
                int64_t us;
                CHECK_INT(leat_time_format(known[i].us, text), (int64_t)strlen(known[i].text));
                CHECK_STR(text, known[i].text);
                CHECK(leat_time_parse(leat_view_str(text), &us));
                CHECK_INT(us, known[i].us);
        }
}

LEAT_TEST(time_round_trip_everywhere)
{
        uint64_t random = leat_test_seed();
        static const int64_t edges[] = {INT64_MIN, INT64_MIN + 1, INT64_MAX, -62135596800000001, 253402300800000000};
        for (int i = 0; i < 20000; i++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                int64_t us = i < 5 ? edges[i] : (int64_t)random >> (random % 24), back;
                char text[LEAT_TIME_TEXT_MAX];
                CHECK(leat_time_format(us, text) < LEAT_TIME_TEXT_MAX);
                if (!leat_time_parse(leat_view_str(text), &back) || back != us)
                        leat_test_fail(__FILE__, __LINE__, "%" PRId64 " -> %s", us, text);
        }
}

LEAT_TEST(time_forms)
{
        static const struct {
                const char *text;
                int64_t us;
        } forms[] = {
                {"2026-11-24T21:54:55+02:00", INT64_C(1795550095000000)},
                {"2026-11-24T21:54:55+0200", INT64_C(1795550095000000)},
                {"2026-11-24 21:54:55+02", INT64_C(1795550095000000)},
                {"2026-11-24 21:54:55.5-03:30", INT64_C(1795569895500000)},
                {"2026-11-24", INT64_C(1795478400000000)},
                {"2026-11-24T00:00", INT64_C(1795478400000000)},
                {"2026-11-24t00:00z", INT64_C(1795478400000000)},
                {"1970-01-01T00:00:00.123456789Z", 123456},
                {"1970-01-01T00:00:00,5", 500000},
        };
        static const char *const bad[] = {"",
                                          "2026",
                                          "2026-13-01",
                                          "2026-00-01",
                                          "2026-02-29",
                                          "1900-02-29",
                                          "2026-1-1",
                                          "2026-11-24T",
                                          "2026-11-24T24:00:00",
                                          "2026-11-24T23:60:00",
                                          "2026-11-24T23:59:60",
                                          "2026-11-24T23:59:59.",
                                          "2026-11-24T23:59:59X",
                                          "2026-11-24T23:59:59Z ",
                                          " 2026-11-24",
                                          "2026-11-24Z",
                                          "20261124",
                                          "now",
                                          "2026-11-24T23:59:59+",
                                          "2026-11-24T23:59:59+2:00",
                                          "2026-11-24T23:59:59+19",
                                          "2026-11-24T23:59:59+02:",
                                          "+999999-01-01",
                                          "-999999-01-01",
                                          "1795557295",
                                          "2026-11-24  21:54:55",
                                          "2026-11-31"};
        int64_t us = 77;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(forms); i++) {
                if (!leat_time_parse(leat_view_str(forms[i].text), &us))
                        leat_test_fail(__FILE__, __LINE__, "%s", forms[i].text);
                CHECK_INT(us, forms[i].us);
        }
        us = 77;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(bad); i++)
                if (leat_time_parse(leat_view_str(bad[i]), &us))
                        leat_test_fail(__FILE__, __LINE__, "\"%s\" was read", bad[i]);
        CHECK_INT(us, 77); /* untouched */
        CHECK(!leat_time_parse(leat_view_of(NULL, 0), &us));
}

LEAT_TEST(time_durations)
{
        static const struct {
                const char *text;
                int64_t us;
        } good[] = {
                {"10 ms", 10000},
                {"5s", 5000000},
                {"7 days", INT64_C(604800000000)},
                {"1 hour 30 minutes", INT64_C(5400000000)},
                {"250", 250000},
                {"0", 0},
                {"1.5 s", 1500000},
                {"0.5ms", 500},
                {"2 Weeks", INT64_C(1209600000000)},
                {"1d2h3m4s5ms6us", INT64_C(93784005006)},
                {"  3 min ", 180000000},
        };
        static const char *const bad[] = {"",
                                          "-1 s",
                                          "s",
                                          "1 x",
                                          "1 s 5",
                                          "1 month",
                                          "1e3",
                                          "10 ms,",
                                          "1. s",
                                          "9999999999999999 days",
                                          "99999999999999999999 s",
                                          "five seconds"};
        int64_t us;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(good); i++) {
                if (!leat_duration_parse(leat_view_str(good[i].text), &us) || us != good[i].us)
                        leat_test_fail(__FILE__, __LINE__, "%s -> %" PRId64, good[i].text, us);
        }
        for (size_t i = 0; i < LEAT_ARRAY_LEN(bad); i++)
                if (leat_duration_parse(leat_view_str(bad[i]), &us))
                        leat_test_fail(__FILE__, __LINE__, "\"%s\" was read", bad[i]);
}

LEAT_TEST(time_days)
{
        CHECK_INT(leat_days_from_civil(1970, 1, 1), 0);
        CHECK_INT(leat_days_from_civil(2000, 3, 1), 11017);
        CHECK_INT(leat_days_from_civil(1, 1, 1), -719162);
        CHECK_INT(leat_days_from_civil(-400, 3, 1), -865565);
}
