/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/pg: types and error codes as PostgreSQL names them.
 *
 * 128-bit and unsigned 64-bit integers become numeric, small unsigned ones the
 * next larger signed type, structs jsonb's text form (json). Oids are
 * PostgreSQL's own (pg_type.dat).
 */
#include "pg_int.h"

struct pg_type_row {
        uint8_t id;
        uint32_t oid;
        uint32_t array_oid;
        int16_t len;
};

static const struct pg_type_row pg_types[] = {
        {LEAT_T_BOOLEAN, 16, 1000, 1},     {LEAT_T_TINYINT, 21, 1005, 2},       {LEAT_T_SMALLINT, 21, 1005, 2},
        {LEAT_T_INTEGER, 23, 1007, 4},     {LEAT_T_BIGINT, 20, 1016, 8},        {LEAT_T_HUGEINT, 1700, 1231, -1},
        {LEAT_T_UHUGEINT, 1700, 1231, -1}, {LEAT_T_UTINYINT, 21, 1005, 2},      {LEAT_T_USMALLINT, 23, 1007, 4},
        {LEAT_T_UINTEGER, 20, 1016, 8},    {LEAT_T_UBIGINT, 1700, 1231, -1},    {LEAT_T_FLOAT, 700, 1021, 4},
        {LEAT_T_DOUBLE, 701, 1022, 8},     {LEAT_T_DECIMAL, 1700, 1231, -1},    {LEAT_T_VARCHAR, 25, 1009, -1},
        {LEAT_T_BLOB, 17, 1001, -1},       {LEAT_T_DATE, 1082, 1182, 4},        {LEAT_T_TIME, 1083, 1183, 8},
        {LEAT_T_TIMESTAMP, 1114, 1115, 8}, {LEAT_T_TIMESTAMPTZ, 1184, 1185, 8}, {LEAT_T_INTERVAL, 1186, 1187, 16},
        {LEAT_T_UUID, 2950, 2951, 16},     {LEAT_T_STRUCT, 114, 199, -1},       {LEAT_T_SQLNULL, 25, 1009, -1},
};

static const struct pg_type_row *pg_type_row(uint8_t id)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(pg_types); i++)
                if (pg_types[i].id == id)
                        return &pg_types[i];
        return NULL;
}

uint32_t leat_pg_type_oid(const struct leat_type *type)
{
        const struct pg_type_row *row;
        if (type->id == LEAT_T_LIST) {
                row = pg_type_row(type->children[0].id);
                return row == NULL ? 1009 : row->array_oid;
        }
        row = pg_type_row(type->id);
        return row == NULL ? 25 : row->oid;
}

int16_t leat_pg_type_len(const struct leat_type *type)
{
        const struct pg_type_row *row = pg_type_row(type->id);
        return row == NULL ? -1 : row->len;
}

/* A list of elements of this type; INVALID when arrays of them cannot be sent. */
static struct leat_type list_of(uint8_t id)
{
        static const struct leat_type elements[] = {
                {.id = LEAT_T_BOOLEAN},   {.id = LEAT_T_SMALLINT},    {.id = LEAT_T_INTEGER},  {.id = LEAT_T_BIGINT},
                {.id = LEAT_T_FLOAT},     {.id = LEAT_T_DOUBLE},      {.id = LEAT_T_VARCHAR},  {.id = LEAT_T_DATE},
                {.id = LEAT_T_TIMESTAMP}, {.id = LEAT_T_TIMESTAMPTZ}, {.id = LEAT_T_INTERVAL}, {.id = LEAT_T_UUID},
                {.id = LEAT_T_TIME}};
        struct leat_type list = leat_type_of(LEAT_T_LIST);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(elements); i++) {
                if (elements[i].id != id)
                        continue;
                list.child_count = 1;
                list.children = &elements[i];
                return list;
        }
        return leat_type_of(LEAT_T_INVALID);
}

struct leat_type leat_pg_type_of_oid(uint32_t oid)
{
        static const struct {
                uint32_t oid;
                uint8_t id;
        } others[] = {{26, LEAT_T_INTEGER},   {18, LEAT_T_VARCHAR}, {19, LEAT_T_VARCHAR}, {1042, LEAT_T_VARCHAR},
                      {1043, LEAT_T_VARCHAR}, {1015, LEAT_T_LIST},  {1014, LEAT_T_LIST}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(others); i++)
                if (others[i].oid == oid)
                        return others[i].id == LEAT_T_LIST ? list_of(LEAT_T_VARCHAR) : leat_type_of(others[i].id);
        /* The plain one of several types with the same oid. A numeric has no type of
         * its own (its scale is not known): the statement says what it is cast to. */
        static const uint8_t plain[] = {LEAT_T_BOOLEAN,  LEAT_T_SMALLINT, LEAT_T_INTEGER,   LEAT_T_BIGINT,
                                        LEAT_T_FLOAT,    LEAT_T_DOUBLE,   LEAT_T_VARCHAR,   LEAT_T_BLOB,
                                        LEAT_T_DATE,     LEAT_T_TIME,     LEAT_T_TIMESTAMP, LEAT_T_TIMESTAMPTZ,
                                        LEAT_T_INTERVAL, LEAT_T_UUID};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(plain); i++) {
                const struct pg_type_row *row = pg_type_row(plain[i]);
                if (row->oid == oid)
                        return leat_type_of(plain[i]);
                if (row->array_oid == oid)
                        return list_of(plain[i]);
        }
        return leat_type_of(LEAT_T_INVALID);
}

/* One row a code; what is not listed is an internal error. */
static const struct {
        int code;
        const char *sqlstate;
} pg_states[] = {
        {LEAT_ENOMEM, "53200"},      {LEAT_EIO, "58030"},         {LEAT_EFULL, "53100"},
        {LEAT_EINVAL, "22023"},      {LEAT_ECORRUPT, "XX001"},    {LEAT_ENOTFOUND, "42704"},
        {LEAT_EEXISTS, "42710"},     {LEAT_ETIMEOUT, "57014"},    {LEAT_ECLOSED, "08006"},
        {LEAT_EBUSY, "55006"},       {LEAT_ETOOBIG, "54000"},     {LEAT_EUNSUPPORTED, "0A000"},
        {LEAT_EFENCED, "40001"},     {LEAT_ECANCELED, "57014"},   {LEAT_EPROTO, "08P01"},
        {LEAT_ERANGE, "22003"},      {LEAT_ESEQUENCE, "55000"},   {LEAT_EDUPLICATE, "23505"},
        {LEAT_ESYNTAX, "42601"},     {LEAT_ENORELATION, "42P01"}, {LEAT_ENOCOLUMN, "42703"},
        {LEAT_ENOFUNCTION, "42883"}, {LEAT_ETYPE, "42804"},       {LEAT_EAMBIGUOUS, "42702"},
        {LEAT_EDEPENDENT, "2BP01"},  {LEAT_EDENIED, "42501"},     {LEAT_ECONFLICT, "40001"},
};

const char *leat_pg_sqlstate(int code)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(pg_states); i++)
                if (pg_states[i].code == code)
                        return pg_states[i].sqlstate;
        return "XX000";
}
