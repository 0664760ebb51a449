/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: types, columns and values between Leat and DuckDB.
 *
 * Design    Our columns have the layout of DuckDB's vectors, so a vector is
 *           viewed without a copy, and filled with one memcpy for each column.
 *           A string is copied as its 16-byte record only: long text stays where
 *           the relation has it until the scan is closed (engine.h), and every
 *           operator of DuckDB that keeps rows copies the text itself.
 */
#include "duck_int.h"

static const struct {
        uint8_t id;
        duckdb_type duck;
} duck_types[] = {
        {LEAT_T_BOOLEAN, DUCKDB_TYPE_BOOLEAN},     {LEAT_T_TINYINT, DUCKDB_TYPE_TINYINT},
        {LEAT_T_SMALLINT, DUCKDB_TYPE_SMALLINT},   {LEAT_T_INTEGER, DUCKDB_TYPE_INTEGER},
        {LEAT_T_BIGINT, DUCKDB_TYPE_BIGINT},       {LEAT_T_HUGEINT, DUCKDB_TYPE_HUGEINT},
        {LEAT_T_UTINYINT, DUCKDB_TYPE_UTINYINT},   {LEAT_T_USMALLINT, DUCKDB_TYPE_USMALLINT},
        {LEAT_T_UINTEGER, DUCKDB_TYPE_UINTEGER},   {LEAT_T_UBIGINT, DUCKDB_TYPE_UBIGINT},
        {LEAT_T_UHUGEINT, DUCKDB_TYPE_UHUGEINT},   {LEAT_T_FLOAT, DUCKDB_TYPE_FLOAT},
        {LEAT_T_DOUBLE, DUCKDB_TYPE_DOUBLE},       {LEAT_T_DECIMAL, DUCKDB_TYPE_DECIMAL},
        {LEAT_T_VARCHAR, DUCKDB_TYPE_VARCHAR},     {LEAT_T_BLOB, DUCKDB_TYPE_BLOB},
        {LEAT_T_DATE, DUCKDB_TYPE_DATE},           {LEAT_T_TIME, DUCKDB_TYPE_TIME},
        {LEAT_T_TIMESTAMP, DUCKDB_TYPE_TIMESTAMP}, {LEAT_T_TIMESTAMPTZ, DUCKDB_TYPE_TIMESTAMP_TZ},
        {LEAT_T_INTERVAL, DUCKDB_TYPE_INTERVAL},   {LEAT_T_UUID, DUCKDB_TYPE_UUID},
        {LEAT_T_LIST, DUCKDB_TYPE_LIST},           {LEAT_T_STRUCT, DUCKDB_TYPE_STRUCT},
        {LEAT_T_SQLNULL, DUCKDB_TYPE_SQLNULL},
};

duckdb_logical_type leat_duck_type_to(const struct leat_type *type)
{
        if (type->id == LEAT_T_DECIMAL)
                return duckdb_create_decimal_type(type->width, type->scale);
        if (type->id == LEAT_T_LIST) {
                duckdb_logical_type child = leat_duck_type_to(&type->children[0]);
                duckdb_logical_type list = duckdb_create_list_type(child);
                duckdb_destroy_logical_type(&child);
                return list;
        }
        if (type->id == LEAT_T_STRUCT) {
                duckdb_logical_type fields[255];
                for (uint32_t i = 0; i < type->child_count; i++)
                        fields[i] = leat_duck_type_to(&type->children[i]);
                duckdb_logical_type record = duckdb_create_struct_type(
                        fields, (const char **)(uintptr_t)type->child_names, type->child_count);
                for (uint32_t i = 0; i < type->child_count; i++)
                        duckdb_destroy_logical_type(&fields[i]);
                return record;
        }
        for (size_t i = 0; i < LEAT_ARRAY_LEN(duck_types); i++)
                if (duck_types[i].id == type->id)
                        return duckdb_create_logical_type(duck_types[i].duck);
        return duckdb_create_logical_type(DUCKDB_TYPE_SQLNULL);
}

static const char *foreign_name(duckdb_type id)
{
        switch (id) {
        case DUCKDB_TYPE_TIMESTAMP_S:
                return "TIMESTAMP_S";
        case DUCKDB_TYPE_TIMESTAMP_MS:
                return "TIMESTAMP_MS";
        case DUCKDB_TYPE_TIMESTAMP_NS:
                return "TIMESTAMP_NS";
        case DUCKDB_TYPE_TIME_TZ:
                return "TIME WITH TIME ZONE";
        case DUCKDB_TYPE_ENUM:
                return "ENUM";
        case DUCKDB_TYPE_ARRAY:
                return "ARRAY of fixed length";
        case DUCKDB_TYPE_UNION:
                return "UNION";
        case DUCKDB_TYPE_BIT:
                return "BIT";
        default:
                return "unknown";
        }
}

static int record_from(struct leat_arena *arena, duckdb_logical_type from, struct leat_type *ret_type,
                       struct leat_error *err)
{
        idx_t count = duckdb_struct_type_child_count(from);
        if (count > 255)
                return leat_error_set(err, LEAT_EUNSUPPORTED, "a STRUCT of %u fields; 255 are the most",
                                      (unsigned)count);
        struct leat_type *fields = leat_arena_alloc(arena, count * sizeof *fields);
        const char **names = leat_arena_alloc(arena, count * sizeof *names);
        for (idx_t i = 0; i < count; i++) {
                char *name = duckdb_struct_type_child_name(from, i);
                names[i] = leat_arena_strdup(arena, name != NULL ? name : "");
                duckdb_free(name);
                duckdb_logical_type field = duckdb_struct_type_child_type(from, i);
                int rc = leat_duck_type_from(arena, field, &fields[i], err);
                duckdb_destroy_logical_type(&field);
                LEAT_TRY(rc);
        }
        *ret_type = (struct leat_type){
                .id = LEAT_T_STRUCT, .child_count = (uint8_t)count, .children = fields, .child_names = names};
        return 0;
}

/* A MAP is a list of {key, value} in memory too. */
static int map_from(struct leat_arena *arena, duckdb_logical_type from, struct leat_type *ret_type,
                    struct leat_error *err)
{
        static const char *const names[] = {"key", "value"};
        struct leat_type *fields = leat_arena_alloc(arena, 2 * sizeof *fields);
        struct leat_type *record = leat_arena_alloc(arena, sizeof *record);
        duckdb_logical_type key = duckdb_map_type_key_type(from), value = duckdb_map_type_value_type(from);
        int rc = leat_duck_type_from(arena, key, &fields[0], err);
        if (rc == 0)
                rc = leat_duck_type_from(arena, value, &fields[1], err);
        duckdb_destroy_logical_type(&key);
        duckdb_destroy_logical_type(&value);
        LEAT_TRY(rc);
        *record = (struct leat_type){.id = LEAT_T_STRUCT, .child_count = 2, .children = fields, .child_names = names};
        *ret_type = (struct leat_type){.id = LEAT_T_LIST, .child_count = 1, .children = record};
        return 0;
}

int leat_duck_type_from(struct leat_arena *arena, duckdb_logical_type from, struct leat_type *ret_type,
                        struct leat_error *err)
{
        duckdb_type id = duckdb_get_type_id(from);
        if (id == DUCKDB_TYPE_INVALID) {
                *ret_type = leat_type_of(LEAT_T_INVALID);
                return 0;
        }
        if (id == DUCKDB_TYPE_STRUCT)
                return record_from(arena, from, ret_type, err);
        if (id == DUCKDB_TYPE_MAP)
                return map_from(arena, from, ret_type, err);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(duck_types); i++) {
                if (duck_types[i].duck != id)
                        continue;
                *ret_type = leat_type_of(duck_types[i].id);
                if (id == DUCKDB_TYPE_DECIMAL) {
                        ret_type->width = duckdb_decimal_width(from);
                        ret_type->scale = duckdb_decimal_scale(from);
                } else if (id == DUCKDB_TYPE_LIST) {
                        struct leat_type *child = leat_arena_alloc(arena, sizeof *child);
                        duckdb_logical_type element = duckdb_list_type_child_type(from);
                        int rc = leat_duck_type_from(arena, element, child, err);
                        duckdb_destroy_logical_type(&element);
                        LEAT_TRY(rc);
                        ret_type->child_count = 1;
                        ret_type->children = child;
                }
                return 0;
        }
        leat_error_set(err, LEAT_EUNSUPPORTED, "values of type %s (%d) are not supported", foreign_name(id), (int)id);
        leat_error_hint(err, "Cast it to another type, for example x::VARCHAR or x::TIMESTAMP.");
        return LEAT_EUNSUPPORTED;
}

/* ---- columns ------------------------------------------------------------------ */

void leat_duck_column_prepare(struct leat_arena *arena, const struct leat_type *type, struct leat_column *col)
{
        *col = (struct leat_column){.type = *type};
        if (type->child_count == 0)
                return;
        col->children = leat_arena_alloc(arena, type->child_count * sizeof *col->children);
        for (uint32_t i = 0; i < type->child_count; i++)
                leat_duck_column_prepare(arena, &type->children[i], &col->children[i]);
}

void leat_duck_column_view(duckdb_vector vector, struct leat_column *col)
{
        col->validity = duckdb_vector_get_validity(vector);
        if (col->type.id == LEAT_T_STRUCT) {
                for (uint32_t i = 0; i < col->type.child_count; i++)
                        leat_duck_column_view(duckdb_struct_vector_get_child(vector, i), &col->children[i]);
                return;
        }
        col->data = duckdb_vector_get_data(vector);
        if (col->type.id == LEAT_T_LIST) {
                col->child_rows = duckdb_list_vector_get_size(vector);
                leat_duck_column_view(duckdb_list_vector_get_child(vector), &col->children[0]);
        }
}

/* Any start: 64 rows a word, put together from two words when @from is not at the start of one. */
static void fill_validity(duckdb_vector vector, const uint64_t *bits, uint64_t from, uint64_t count)
{
        duckdb_vector_ensure_validity_writable(vector);
        uint64_t *to = duckdb_vector_get_validity(vector);
        uint64_t shift = from & 63, word = from / 64, last = (from + count - 1) / 64;
        for (uint64_t i = 0; i * 64 < count; i++, word++) {
                to[i] = bits[word] >> shift;
                if (shift != 0 && word < last)
                        to[i] |= bits[word + 1] << (64 - shift);
        }
}

static void fill_list(duckdb_vector vector, const struct leat_column *col, uint64_t from, uint64_t count)
{
        const struct leat_list_entry *entries = (const struct leat_list_entry *)col->data + from;
        uint64_t low = UINT64_MAX, high = 0;
        for (uint64_t i = 0; i < count; i++) {
                if (!leat_column_valid(col, (uint32_t)(from + i)) || entries[i].length == 0)
                        continue;
                low = LEAT_MIN(low, entries[i].offset);
                high = LEAT_MAX(high, entries[i].offset + entries[i].length);
        }
        uint64_t rows = high > low ? high - low : 0;
        struct leat_list_entry *to = duckdb_vector_get_data(vector);
        for (uint64_t i = 0; i < count; i++) {
                bool some = leat_column_valid(col, (uint32_t)(from + i)) && entries[i].length != 0;
                to[i].offset = some ? entries[i].offset - low : 0;
                to[i].length = some ? entries[i].length : 0;
        }
        duckdb_list_vector_reserve(vector, rows);
        duckdb_list_vector_set_size(vector, rows);
        if (rows != 0)
                leat_duck_vector_fill(duckdb_list_vector_get_child(vector), &col->children[0], low, rows);
}

void leat_duck_vector_fill(duckdb_vector vector, const struct leat_column *col, uint64_t from, uint64_t count)
{
        if (count == 0)
                return;
        if (col->type.id == LEAT_T_SQLNULL) {
                duckdb_vector_ensure_validity_writable(vector);
                memset(duckdb_vector_get_validity(vector), 0, (count + 63) / 64 * 8);
                return;
        }
        if (col->validity != NULL)
                fill_validity(vector, col->validity, from, count);
        if (col->type.id == LEAT_T_LIST) {
                fill_list(vector, col, from, count);
                return;
        }
        for (uint32_t i = 0; i < col->type.child_count; i++)
                leat_duck_vector_fill(duckdb_struct_vector_get_child(vector, i), &col->children[i], from, count);
        uint32_t bytes = leat_type_bytes(&col->type);
        if (bytes != 0)
                memcpy(duckdb_vector_get_data(vector), (const char *)col->data + from * bytes, count * bytes);
}

/* ---- values -------------------------------------------------------------------- */

#define AT(ctype) (((const ctype *)col->data)[row])

static duckdb_hugeint hugeint_of(__int128 v)
{
        return (duckdb_hugeint){.lower = (uint64_t)v, .upper = (int64_t)(v >> 64)};
}

static duckdb_value decimal_value(const struct leat_column *col, uint64_t row)
{
        __int128 v;
        switch (leat_type_bytes(&col->type)) {
        case 2:
                v = AT(int16_t);
                break;
        case 4:
                v = AT(int32_t);
                break;
        case 8:
                v = AT(int64_t);
                break;
        default:
                v = AT(__int128);
        }
        return duckdb_create_decimal(
                (duckdb_decimal){.width = col->type.width, .scale = col->type.scale, .value = hugeint_of(v)});
}

static duckdb_value nested_value(const struct leat_column *col, uint64_t row)
{
        bool list = col->type.id == LEAT_T_LIST;
        const struct leat_list_entry *entry = list ? (const struct leat_list_entry *)col->data + row : NULL;
        uint64_t count = list ? entry->length : col->type.child_count;
        duckdb_value *parts = leat_malloc((count + 1) * sizeof *parts);
        for (uint64_t i = 0; i < count; i++)
                parts[i] = list ? leat_duck_value(&col->children[0], entry->offset + i)
                                : leat_duck_value(&col->children[i], row);
        duckdb_logical_type type = leat_duck_type_to(list ? &col->type.children[0] : &col->type);
        duckdb_value value =
                list ? duckdb_create_list_value(type, parts, count) : duckdb_create_struct_value(type, parts);
        duckdb_destroy_logical_type(&type);
        for (uint64_t i = 0; i < count; i++)
                duckdb_destroy_value(&parts[i]);
        free(parts);
        return value;
}

static duckdb_value integer_value(const struct leat_column *col, uint64_t row)
{
        switch (col->type.id) {
        case LEAT_T_BOOLEAN:
                return duckdb_create_bool(AT(uint8_t) != 0);
        case LEAT_T_TINYINT:
                return duckdb_create_int8(AT(int8_t));
        case LEAT_T_SMALLINT:
                return duckdb_create_int16(AT(int16_t));
        case LEAT_T_INTEGER:
                return duckdb_create_int32(AT(int32_t));
        case LEAT_T_BIGINT:
                return duckdb_create_int64(AT(int64_t));
        case LEAT_T_UTINYINT:
                return duckdb_create_uint8(AT(uint8_t));
        case LEAT_T_USMALLINT:
                return duckdb_create_uint16(AT(uint16_t));
        case LEAT_T_UINTEGER:
                return duckdb_create_uint32(AT(uint32_t));
        case LEAT_T_UBIGINT:
                return duckdb_create_uint64(AT(uint64_t));
        case LEAT_T_HUGEINT:
                return duckdb_create_hugeint(hugeint_of(AT(__int128)));
        case LEAT_T_UHUGEINT:
                return duckdb_create_uhugeint((duckdb_uhugeint){.lower = (uint64_t)AT(unsigned __int128),
                                                                .upper = (uint64_t)(AT(unsigned __int128) >> 64)});
        default:
                return NULL;
        }
}

static duckdb_value uuid_value(const struct leat_column *col, uint64_t row)
{
        /* duckdb_create_uuid takes the plain 128 bits and flips the top one itself. */
        unsigned __int128 v = AT(unsigned __int128) ^ ((unsigned __int128)1 << 127);
        return duckdb_create_uuid((duckdb_uhugeint){.lower = (uint64_t)v, .upper = (uint64_t)(v >> 64)});
}

duckdb_value leat_duck_value(const struct leat_column *col, uint64_t row)
{
        if (col->type.id == LEAT_T_SQLNULL || !leat_column_valid(col, (uint32_t)row))
                return duckdb_create_null_value();
        struct leat_view text;
        switch (col->type.id) {
        case LEAT_T_FLOAT:
                return duckdb_create_float(AT(float));
        case LEAT_T_DOUBLE:
                return duckdb_create_double(AT(double));
        case LEAT_T_DECIMAL:
                return decimal_value(col, row);
        case LEAT_T_VARCHAR:
                text = leat_string_view(&AT(struct leat_string));
                return duckdb_create_varchar_length((const char *)text.data, text.len);
        case LEAT_T_BLOB:
                text = leat_string_view(&AT(struct leat_string));
                return duckdb_create_blob(text.data, text.len);
        case LEAT_T_DATE:
                return duckdb_create_date((duckdb_date){AT(int32_t)});
        case LEAT_T_TIME:
                return duckdb_create_time((duckdb_time){AT(int64_t)});
        case LEAT_T_TIMESTAMP:
                return duckdb_create_timestamp((duckdb_timestamp){AT(int64_t)});
        case LEAT_T_TIMESTAMPTZ:
                return duckdb_create_timestamp_tz((duckdb_timestamp){AT(int64_t)});
        case LEAT_T_INTERVAL:
                return duckdb_create_interval(AT(duckdb_interval));
        case LEAT_T_UUID:
                return uuid_value(col, row);
        case LEAT_T_LIST:
        case LEAT_T_STRUCT:
                return nested_value(col, row);
        default:
                return integer_value(col, row);
        }
}
