/* SPDX-License-Identifier: Apache-2.0 */
/* leat/pg: oids as in PostgreSQL's pg_type.dat. */
#include "pg_test_int.h"

LEAT_TEST(type_oids)
{
        static const struct {
                uint8_t id;
                uint32_t oid;
                int16_t len;
        } types[] = {
                {LEAT_T_BOOLEAN, 16, 1},     {LEAT_T_BLOB, 17, -1},         {LEAT_T_BIGINT, 20, 8},
                {LEAT_T_SMALLINT, 21, 2},    {LEAT_T_TINYINT, 21, 2},       {LEAT_T_UTINYINT, 21, 2},
                {LEAT_T_INTEGER, 23, 4},     {LEAT_T_USMALLINT, 23, 4},     {LEAT_T_UINTEGER, 20, 8},
                {LEAT_T_UBIGINT, 1700, -1},  {LEAT_T_HUGEINT, 1700, -1},    {LEAT_T_UHUGEINT, 1700, -1},
                {LEAT_T_DECIMAL, 1700, -1},  {LEAT_T_VARCHAR, 25, -1},      {LEAT_T_FLOAT, 700, 4},
                {LEAT_T_DOUBLE, 701, 8},     {LEAT_T_DATE, 1082, 4},        {LEAT_T_TIME, 1083, 8},
                {LEAT_T_TIMESTAMP, 1114, 8}, {LEAT_T_TIMESTAMPTZ, 1184, 8}, {LEAT_T_INTERVAL, 1186, 16},
                {LEAT_T_UUID, 2950, 16},     {LEAT_T_STRUCT, 114, -1},      {LEAT_T_SQLNULL, 25, -1},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(types); i++) {
                struct leat_type type = leat_type_of(types[i].id);
                CHECK_INT(leat_pg_type_oid(&type), types[i].oid);
                CHECK_INT(leat_pg_type_len(&type), types[i].len);
        }
        /* Every type has one. */
        CHECK_INT(LEAT_ARRAY_LEN(types), LEAT_TYPE_COUNT - 2);
}

LEAT_TEST(type_of_oid)
{
        static const uint8_t same[] = {LEAT_T_BOOLEAN, LEAT_T_SMALLINT, LEAT_T_INTEGER,   LEAT_T_BIGINT,
                                       LEAT_T_FLOAT,   LEAT_T_DOUBLE,   LEAT_T_VARCHAR,   LEAT_T_DATE,
                                       LEAT_T_TIME,    LEAT_T_UUID,     LEAT_T_TIMESTAMP, LEAT_T_TIMESTAMPTZ,
                                       LEAT_T_INTERVAL};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(same); i++) {
                struct leat_type type = leat_type_of(same[i]);
                struct leat_type list = {.id = LEAT_T_LIST, .child_count = 1, .children = &type};
                CHECK_INT(leat_pg_type_of_oid(leat_pg_type_oid(&type)).id, same[i]);
                struct leat_type back = leat_pg_type_of_oid(leat_pg_type_oid(&list));
                CHECK_INT(back.id, LEAT_T_LIST);
                CHECK_INT(back.children[0].id, same[i]);
        }
        CHECK_INT(leat_pg_type_of_oid(17).id, LEAT_T_BLOB);
        CHECK_INT(leat_pg_type_of_oid(1043).id, LEAT_T_VARCHAR);
        CHECK_INT(leat_pg_type_of_oid(1015).children[0].id, LEAT_T_VARCHAR);
        /* A numeric's scale is the statement's business; the others are not ours. */
        CHECK_INT(leat_pg_type_of_oid(1700).id, LEAT_T_INVALID);
        CHECK_INT(leat_pg_type_of_oid(600).id, LEAT_T_INVALID);
        CHECK_INT(leat_pg_type_of_oid(0).id, LEAT_T_INVALID);
}

LEAT_TEST(type_sqlstate)
{
        CHECK_STR(leat_pg_sqlstate(LEAT_ERANGE), "22003");
        CHECK_STR(leat_pg_sqlstate(LEAT_ENORELATION), "42P01");
        CHECK_STR(leat_pg_sqlstate(LEAT_ECANCELED), "57014");
        CHECK_STR(leat_pg_sqlstate(LEAT_EPROTO), "08P01");
        CHECK_STR(leat_pg_sqlstate(LEAT_EINTERNAL), "XX000");
}
