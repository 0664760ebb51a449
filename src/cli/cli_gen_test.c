/* SPDX-License-Identifier: Apache-2.0 */
/* leat/cli: the generator: specs, distributions, references, errors, lateness, determinism. */
#include <math.h>
#include <stdio.h>

#include "cli_gen_int.h"
#include "leat/test.h"

#define START_US 1764021295000000ll

static struct leat_gen *open_spec(const char *text, uint64_t seed)
{
        struct leat_error err = {0};
        struct leat_gen *gen = NULL;
        CHECK_OK(leat_gen_open(leat_view_str(text), "spec.json", seed, START_US, &gen, &err), &err);
        CHECK_OK(leat_gen_start(gen, true, &err), &err);
        return gen;
}

/* The next event as a document; the caller drops it. */
static json_t *next_json(struct leat_gen *gen, int64_t i)
{
        struct leat_gen_event event;
        leat_gen_next(gen, START_US + i * 1000, &event);
        json_t *value = json_loadb((const char *)event.value.data, event.value.len, 0, NULL);
        if (value == NULL)
                leat_test_fail(__FILE__, __LINE__, "no JSON: %.*s", (int)event.value.len,
                               (const char *)event.value.data);
        return value;
}

static void check_next(struct leat_gen *gen, int64_t i, const char *want)
{
        struct leat_gen_event event;
        struct leat_buf line = LEAT_BUF_INIT;
        leat_gen_next(gen, START_US + i * 1000, &event);
        if (event.keyed) {
                leat_buf_add_view(&line, event.key);
                leat_buf_u8(&line, ' ');
        }
        leat_buf_add_view(&line, event.value);
        CHECK_STR(leat_buf_cstr(&line), want);
        leat_buf_done(&line);
}

LEAT_TEST(gen_plain_fields)
{
        struct leat_gen *gen = open_spec(
                "{\"topics\":[{\"topic\":\"t\",\"key\":\"id\",\"fields\":{"
                "\"id\":{\"sequence\":{\"prefix\":\"P-\",\"width\":4,\"start\":9}},\"n\":{\"sequence\":{\"start\":-1,"
                "\"step\":-2}},"
                "\"one\":1,\"text\":\"a\\\"b\",\"list\":{\"constant\":[1,{\"x\":null}]},\"half\":0.5,\"no\":null,"
                "\"copy\":{\"of\":\"n\",\"as\":\"text\"},\"label\":{\"text\":\"{id} of {{n} {half}\"},"
                "\"sum\":{\"sum\":[{\"of\":\"n\"},10,0.25],\"decimals\":2},\"area\":{\"product\":[3,{\"of\":\"one\"},4]"
                "},"
                "\"at\":{\"time\":{}},\"ms\":{\"time\":{\"format\":\"ms\",\"ago\":\"1 s\"}},"
                "\"o\":{\"object\":{\"a\":{\"of\":\"one\"},\"b\":{\"array\":{\"count\":2,\"of\":true}}}},\"_hidden\":5}"
                "}]}",
                1);
        check_next(gen, 0,
                   "P-0009 "
                   "{\"id\":\"P-0009\",\"n\":-1,\"one\":1,\"text\":\"a\\\"b\",\"list\":[1,{\"x\":null}],\"half\":0.5,"
                   "\"no\":null,\"copy\":\"-1\",\"label\":\"P-0009 of {n} 0.5\",\"sum\":9.25,\"area\":12,"
                   "\"at\":\"2025-11-24T21:54:55.000Z\",\"ms\":1764021294000,\"o\":{\"a\":1,\"b\":[true,true]}}");
        check_next(gen, 1001,
                   "P-0010 "
                   "{\"id\":\"P-0010\",\"n\":-3,\"one\":1,\"text\":\"a\\\"b\",\"list\":[1,{\"x\":null}],\"half\":0.5,"
                   "\"no\":null,\"copy\":\"-3\",\"label\":\"P-0010 of {n} 0.5\",\"sum\":7.25,\"area\":12,"
                   "\"at\":\"2025-11-24T21:54:56.001Z\",\"ms\":1764021295001,\"o\":{\"a\":1,\"b\":[true,true]}}");
        leat_gen_close(gen);
}

LEAT_TEST(gen_distributions)
{
        struct leat_gen *gen = open_spec(
                "{\"topics\":[{\"topic\":\"t\",\"fields\":{\"u\":{\"uniform\":[1,6]},\"f\":{\"uniform\":[0,1.0],"
                "\"decimals\":6},"
                "\"g\":{\"normal\":{\"mean\":100,\"stddev\":10,\"decimals\":3}},\"c\":{\"normal\":{\"mean\":0,"
                "\"stddev\":5,\"min\":0}},"
                "\"e\":{\"exponential\":{\"mean\":20,\"decimals\":3}},\"z\":{\"zipf\":{\"count\":1000,\"exponent\":1}},"
                "\"w\":{\"weighted\":{\"a\":9,\"b\":1}},\"h\":{\"choice\":[\"x\",\"y\",7]},\"b\":{\"bool\":0.25},"
                "\"m\":{\"constant\":1,\"null\":0.5},\"x\":{\"mix\":[[{\"uniform\":[1,9]},3],[\"rare\",1]]},\"id\":{"
                "\"uuid\":true},\"s\":{\"string\":8}}}]}",
                3);
        int n = 50000, faces[7] = {0}, a = 0, x = 0, t = 0, nulls = 0, top = 0, rare = 0;
        double f = 0, g = 0, g2 = 0, e = 0;
        for (int i = 0; i < n; i++) {
                json_t *v = next_json(gen, i);
                int64_t face = json_integer_value(json_object_get(v, "u"));
                CHECK(face >= 1 && face <= 6);
                faces[face]++;
                f += json_number_value(json_object_get(v, "f"));
                double gauss = json_number_value(json_object_get(v, "g"));
                g += gauss;
                g2 += (gauss - 100) * (gauss - 100);
                CHECK(json_integer_value(json_object_get(v, "c")) >= 0);
                e += json_number_value(json_object_get(v, "e"));
                top += json_integer_value(json_object_get(v, "z")) == 0;
                a += strcmp(json_string_value(json_object_get(v, "w")), "a") == 0;
                x += json_is_integer(json_object_get(v, "h"));
                t += json_is_true(json_object_get(v, "b"));
                nulls += json_is_null(json_object_get(v, "m"));
                rare += json_is_string(json_object_get(v, "x"));
                CHECK_INT(json_string_length(json_object_get(v, "id")), 36);
                CHECK_INT(json_string_length(json_object_get(v, "s")), 8);
                json_decref(v);
        }
        for (int i = 1; i <= 6; i++)
                CHECK(fabs(faces[i] - n / 6.0) < n / 6.0 * 0.05);
        CHECK(fabs(f / n - 0.5) < 0.01);
        CHECK(fabs(g / n - 100) < 0.2);
        CHECK(fabs(sqrt(g2 / n) - 10) < 0.2);
        CHECK(fabs(e / n - 20) < 0.5);
        CHECK(fabs(top / (double)n - 1 / 7.4855) < 0.01); /* harmonic number of 1000 */
        CHECK(fabs(a / (double)n - 0.9) < 0.01);
        CHECK(fabs(x / (double)n - 1 / 3.0) < 0.01);
        CHECK(fabs(t / (double)n - 0.25) < 0.01);
        CHECK(fabs(nulls / (double)n - 0.5) < 0.01);
        CHECK(fabs(rare / (double)n - 0.25) < 0.01);
        leat_gen_close(gen);
}

static const char shop[] =
        "{\"sets\":{\"sites\":{\"rows\":[{\"site\":\"A\",\"zone\":1},{\"site\":\"B\",\"zone\":2}]},"
        "\"stations\":{\"count\":40,\"pick\":{\"site\":\"sites\"},\"fields\":{\"station\":{\"sequence\":{\"prefix\":"
        "\"S\",\"width\":2}},"
        "\"site\":{\"of\":\"site.site\"}}},"
        "\"people\":{\"count\":100,\"pick\":{\"site\":\"sites\"},\"fields\":{\"person\":{\"sequence\":{}},\"site\":{"
        "\"of\":\"site.site\"}}}},"
        "\"topics\":[{\"topic\":\"stations\",\"contents\":\"stations\",\"key\":\"station\"},"
        "{\"topic\":\"people\",\"contents\":\"people\",\"key\":[\"person\"]},"
        "{\"topic\":\"scans\",\"share\":3,\"key\":\"station\",\"pick\":{\"station\":{\"from\":\"stations\",\"hot\":{"
        "\"share\":0.5,\"part\":0.05}},"
        "\"person\":{\"from\":\"people\",\"match\":{\"site\":\"station.site\"}}},"
        "\"fields\":{\"station\":{\"of\":\"station.station\"},\"a\":{\"of\":\"station.site\"},\"b\":{\"of\":\"person."
        "site\"},"
        "\"at\":{\"time\":{\"format\":\"ms\",\"late\":{\"share\":0.1,\"mean\":\"10 s\",\"max\":\"30 s\"}}},"
        "\"skewed\":{\"time\":{\"format\":\"ms\",\"skew\":{\"by\":\"station\",\"stddev\":\"5 s\"}}}}},"
        "{\"topic\":\"orders\",\"fields\":{\"order\":{\"sequence\":{}},\"scan\":{\"recent\":{\"topic\":\"scans\","
        "\"field\":\"station\",\"window\":5}}}}]}";

LEAT_TEST(gen_sets_picks_and_times)
{
        struct leat_gen *gen = open_spec(shop, 7);
        struct leat_gen_event event;
        int rows = 0, scans = 0, hot = 0, late = 0, n = 20000;
        while (leat_gen_content(gen, 0, (uint32_t)rows, &event))
                rows++;
        CHECK_INT(rows, 40);
        CHECK(leat_gen_content(gen, 1, 4, &event));
        CHECK(leat_view_eq_str(event.key, "{\"person\":5}"));
        CHECK(!leat_gen_content(gen, 2, 0, &event));
        int64_t skew[41];
        for (int i = 0; i < 41; i++)
                skew[i] = INT64_MIN;
        for (int i = 0; i < n; i++) {
                int64_t now_ms = (START_US + i * 1000) / 1000;
                json_t *v = next_json(gen, i);
                const char *station = json_string_value(json_object_get(v, "station"));
                if (station == NULL) {
                        CHECK(json_object_get(v, "scan") != NULL);
                        json_decref(v);
                        continue;
                }
                scans++;
                hot += strcmp(station, "S01") == 0 || strcmp(station, "S02") == 0;
                CHECK_STR(json_string_value(json_object_get(v, "a")), json_string_value(json_object_get(v, "b")));
                int64_t behind = now_ms - json_integer_value(json_object_get(v, "at"));
                CHECK(behind >= 0 && behind <= 30000);
                late += behind > 0;
                /* A clock is always wrong by the same. */
                int s = atoi(station + 1);
                int64_t off = json_integer_value(json_object_get(v, "skewed")) - now_ms;
                CHECK(skew[s] == INT64_MIN || llabs(skew[s] - off) <= 1);
                skew[s] = off;
                json_decref(v);
        }
        CHECK(fabs(scans / (double)n - 0.75) < 0.02);
        CHECK(fabs(hot / (double)scans - 0.5) < 0.03);
        CHECK(fabs(late / (double)scans - 0.1) < 0.01);
        leat_gen_close(gen);
}

/* The same seed gives the same bytes; the sets stay when only the events' seed... is another topic's affair. */
LEAT_TEST(gen_deterministic)
{
        struct leat_gen *a = open_spec(shop, 7), *b = open_spec(shop, 7), *c = open_spec(shop, 8);
        int differ = 0;
        for (int i = 0; i < 1000; i++) {
                struct leat_gen_event x, y, z;
                leat_gen_next(a, START_US + i, &x);
                leat_gen_next(b, START_US + i, &y);
                leat_gen_next(c, START_US + i, &z);
                CHECK(x.topic == y.topic && leat_view_eq(x.key, y.key) && leat_view_eq(x.value, y.value));
                differ += !leat_view_eq(x.value, z.value);
        }
        CHECK(differ > 500);
        leat_gen_close(a);
        leat_gen_close(b);
        leat_gen_close(c);
}

LEAT_TEST(gen_errors_and_duplicates)
{
        struct leat_gen *gen = open_spec(
                "{\"topics\":[{\"topic\":\"t\",\"duplicates\":0.05,\"errors\":{\"share\":0.2,\"fields\":[\"n\"],"
                "\"kinds\":[\"wrong_type\",\"out_of_range\",\"missing\",\"truncate\",\"not_json\",\"empty\"]},"
                "\"fields\":{\"id\":{\"sequence\":{}},\"n\":{\"uniform\":[1,9]}}}]}",
                1);
        int n = 20000, bad = 0, duplicates = 0;
        struct leat_buf last = LEAT_BUF_INIT;
        for (int i = 0; i < n; i++) {
                struct leat_gen_event event;
                leat_gen_next(gen, START_US + i, &event);
                json_t *v = json_loadb((const char *)event.value.data, event.value.len, 0, NULL);
                const json_t *field = json_object_get(v, "n");
                bool good = json_is_integer(field);
                CHECK(good == !event.flawed);
                bad += !good;
                duplicates += event.value.len > 8 && leat_view_eq(leat_buf_view(&last), event.value);
                leat_buf_clear(&last);
                leat_buf_add_view(&last, event.value);
                json_decref(v);
        }
        CHECK(fabs(bad / (double)n - 0.2) < 0.02);
        CHECK(fabs(duplicates / (double)n - 0.05) < 0.01);
        CHECK_INT(gen->topics[0].events, n);
        leat_buf_done(&last);
        leat_gen_close(gen);
}

LEAT_TEST(gen_specs_refused)
{
        static const char *const cases[][2] = {
                {"{", "line 1"},
                {"{\"topcs\":[]}", "\"topcs\" is unknown here"},
                {"{}", "needs \"topics\""},
                {"{\"topics\":[{\"fields\":{\"a\":1}}]}", "has no \"topic\""},
                {"{\"topics\":[{\"topic\":\"t\"}]}", "t: \"fields\" is missing"},
                {"{\"topics\":[{\"topic\":\"t\",\"fields\":{\"a\":{\"unifrom\":[1,2]}}}]}", "t.fields.a: no generator"},
                {"{\"topics\":[{\"topic\":\"t\",\"fields\":{\"a\":{\"uniform\":[2,1]}}}]}", "t.fields.a: \"uniform\""},
                {"{\"topics\":[{\"topic\":\"t\",\"fields\":{\"a\":{\"uniform\":[1,2],\"nul\":1}}}]}",
                 "\"nul\" is unknown here"},
                {"{\"topics\":[{\"topic\":\"t\",\"fields\":{\"a\":{\"of\":\"b\"},\"b\":1}}]}",
                 "no field \"b\" before this one"},
                {"{\"topics\":[{\"topic\":\"t\",\"fields\":{\"a\":{\"of\":\"p.x\"}}}]}", "no pick \"p\""},
                {"{\"topics\":[{\"topic\":\"t\",\"pick\":{\"p\":\"nope\"},\"fields\":{\"a\":1}}]}",
                 "t.pick.p: there is no set \"nope\""},
                {"{\"topics\":[{\"topic\":\"t\",\"key\":\"b\",\"fields\":{\"a\":1}}]}", "no field \"b\""},
                {"{\"topics\":[{\"topic\":\"t\",\"fields\":{\"a\":{\"text\":\"{a\"}}}]}", "{ without }"},
                {"{\"topics\":[{\"topic\":\"t\",\"errors\":{\"share\":1,\"kinds\":[\"odd\"]},\"fields\":{\"a\":1}}]}",
                 "wrong_type, out_of_range"},
                {"{\"topics\":[{\"topic\":\"t\",\"errors\":{\"share\":1,\"kinds\":[\"missing\"]},\"fields\":{\"a\":1}}]"
                 "}",
                 "need \"fields\""},
                {"{\"topics\":[{\"topic\":\"t\",\"fields\":{\"a\":{\"recent\":{\"topic\":\"u\",\"field\":\"a\"}}}}]}",
                 "no such topic"},
                {"{\"sets\":{\"s\":{\"fields\":{\"a\":1}}},\"topics\":[]}", "sets.s: \"count\" must be"},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++) {
                struct leat_error err = {0};
                struct leat_gen *gen = NULL;
                int rc = leat_gen_open(leat_view_str(cases[i][0]), "spec.json", 1, START_US, &gen, &err);
                if (rc != LEAT_EINVAL || strstr(err.message, cases[i][1]) == NULL ||
                    strstr(err.message, "spec.json") == NULL)
                        leat_test_fail(__FILE__, __LINE__, "%s: %s", cases[i][0], err.message);
        }
        struct leat_gen *gen = open_spec(shop, 1);
        struct leat_error err = {0};
        CHECK_INT(leat_gen_select(gen, "scan", &err), LEAT_ENOTFOUND);
        CHECK(strstr(err.hint, "scans") != NULL);
        leat_gen_close(gen);
}
