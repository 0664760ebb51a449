/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/pg: encoding and decoding of messages. Pure functions over bytes.
 * Source: PostgreSQL documentation, "Message Formats".
 */
#include <stdio.h>

#include "pg_int.h"

size_t leat_pg_msg_begin(struct leat_buf *out, char type)
{
        leat_buf_u8(out, (uint8_t)type);
        leat_buf_be32(out, 0);
        return out->len - 4;
}

void leat_pg_msg_end(struct leat_buf *out, size_t at)
{
        leat_put_be32(out->data + at, (uint32_t)(out->len - at));
}

void leat_pg_msg_cstr(struct leat_buf *out, const char *text)
{
        leat_buf_add(out, text, strlen(text) + 1);
}

static void msg_field(struct leat_buf *out, char code, const char *text)
{
        leat_buf_u8(out, (uint8_t)code);
        leat_pg_msg_cstr(out, text);
}

void leat_pg_msg_error(struct leat_buf *out, const char *severity, const char *sqlstate, const char *message,
                       const char *hint, int position)
{
        bool error = strcmp(severity, "ERROR") == 0 || strcmp(severity, "FATAL") == 0;
        size_t at = leat_pg_msg_begin(out, error ? 'E' : 'N');
        char number[16];
        msg_field(out, 'S', severity);
        msg_field(out, 'V', severity);
        msg_field(out, 'C', sqlstate);
        msg_field(out, 'M', message);
        if (hint != NULL && hint[0] != '\0')
                msg_field(out, 'H', hint);
        if (position > 0) {
                snprintf(number, sizeof number, "%d", position);
                msg_field(out, 'P', number);
        }
        leat_buf_u8(out, 0);
        leat_pg_msg_end(out, at);
}

void leat_pg_msg_row_desc(struct leat_buf *out, const struct leat_pg_desc *desc, const uint16_t *formats,
                          uint32_t format_count)
{
        size_t at = leat_pg_msg_begin(out, 'T');
        leat_buf_be16(out, (uint16_t)desc->column_count);
        for (uint32_t i = 0; i < desc->column_count; i++) {
                const struct leat_type *type = &desc->columns[i];
                int32_t modifier = -1;
                if (type->id == LEAT_T_DECIMAL)
                        modifier = ((type->width << 16) | type->scale) + 4;
                leat_pg_msg_cstr(out, desc->names[i]);
                leat_buf_be32(out, 0); /* table */
                leat_buf_be16(out, 0); /* attribute */
                leat_buf_be32(out, leat_pg_type_oid(type));
                leat_buf_be16(out, (uint16_t)leat_pg_type_len(type));
                leat_buf_be32(out, (uint32_t)modifier);
                leat_buf_be16(out, format_count == 0 ? 0 : formats[format_count == 1 ? 0 : i]);
        }
        leat_pg_msg_end(out, at);
}

void leat_pg_msg_status(struct leat_buf *out, const char *name, const char *value)
{
        size_t at = leat_pg_msg_begin(out, 'S');
        leat_pg_msg_cstr(out, name);
        leat_pg_msg_cstr(out, value);
        leat_pg_msg_end(out, at);
}

const char *leat_pg_read_cstr(struct leat_cursor *cur)
{
        const char *text = (const char *)cur->at;
        size_t left = leat_cursor_left(cur);
        const void *nul = left == 0 ? NULL : memchr(cur->at, 0, left);
        if (nul == NULL) {
                cur->failed = true;
                return "";
        }
        cur->at = (const uint8_t *)nul + 1;
        return text;
}

/* ---- StartupMessage ------------------------------------------------------------ */
static int add_setting(struct leat_pg_startup *st, const char *name, const char *value, struct leat_error *err)
{
        if (st->setting_count == LEAT_PG_START_SETTINGS_MAX)
                return leat_error_set(err, LEAT_ETOOBIG, "more than %d settings in the startup packet",
                                      LEAT_PG_START_SETTINGS_MAX);
        st->settings[st->setting_count++] = (struct leat_pg_start_setting){name, value};
        return 0;
}

/* The next word of `options`: blanks separate, a backslash takes the next character as it is. NULL at the end. */
static char *next_word(struct leat_arena *arena, const char **io_at)
{
        const char *at = *io_at + strspn(*io_at, " \t\n\v\f\r");
        if (*at == '\0')
                return NULL;
        char *word = leat_arena_alloc(arena, strlen(at) + 1), *to = word;
        for (; *at != '\0' && strchr(" \t\n\v\f\r", *at) == NULL; at++) {
                if (*at == '\\' && at[1] != '\0')
                        at++;
                *to++ = *at;
        }
        *to = '\0';
        *io_at = at;
        return word;
}

/* "-c name=value", "-cname=value" and "--name=value" as the server's command line would have them; others are refused. */
static int read_options(struct leat_arena *arena, const char *options, struct leat_pg_startup *st,
                        struct leat_error *err)
{
        char *word;
        while ((word = next_word(arena, &options)) != NULL) {
                bool lengthy = word[0] == '-' && word[1] == '-' && word[2] != '\0';
                bool letter = word[0] == '-' && word[1] == 'c';
                if (!lengthy && !letter) {
                        leat_error_set(err, LEAT_ESYNTAX, "invalid command-line argument for server process: %.100s",
                                       word);
                        leat_error_hint(err, "Options set settings: -c name=value or --name=value.");
                        return LEAT_ESYNTAX;
                }
                char *name = word + 2;
                if (letter && *name == '\0')
                        name = next_word(arena, &options);
                char *equals = name == NULL ? NULL : strchr(name, '=');
                if (equals == NULL)
                        return leat_error_set(err, LEAT_ESYNTAX, "%s%.100s requires a value", lengthy ? "--" : "-c ",
                                              name == NULL ? "" : name);
                *equals = '\0';
                for (char *c = name; *c != '\0'; c++)
                        *c = *c == '-' ? '_' : *c;
                LEAT_TRY(add_setting(st, name, equals + 1, err));
        }
        return 0;
}

/* Names and values up to the empty name; what is no connection parameter is a setting, as in PostgreSQL. */
static int read_parameters(struct leat_cursor *cur, struct leat_pg_startup *st, const char **ret_options,
                           struct leat_error *err)
{
        for (;;) {
                const char *name = leat_pg_read_cstr(cur);
                if (cur->failed || name[0] == '\0')
                        break;
                const char *value = leat_pg_read_cstr(cur);
                if (strcmp(name, "user") == 0) {
                        st->user = value;
                } else if (strcmp(name, "database") == 0) {
                        st->database = value;
                } else if (strcmp(name, "options") == 0) {
                        *ret_options = value;
                } else if (strncmp(name, "_pq_.", 5) == 0) {
                        leat_pg_msg_cstr(&st->unknown, name);
                        st->unknown_count++;
                } else {
                        LEAT_TRY(add_setting(st, name, value, err));
                }
        }
        if (cur->failed || leat_cursor_left(cur) != 0)
                return leat_error_set(err, LEAT_EPROTO,
                                      "invalid startup packet layout: expected terminator as last byte");
        return 0;
}

int leat_pg_startup_decode(struct leat_arena *arena, struct leat_view body, struct leat_pg_startup *ret,
                           struct leat_error *err)
{
        struct leat_cursor cur = leat_cursor_of(body);
        const char *options = NULL;
        memset(ret, 0, sizeof *ret);
        ret->version = leat_cursor_be32(&cur);
        ret->user = ret->database = "";
        if (ret->version >> 16 != 3)
                return leat_error_set(err, LEAT_EUNSUPPORTED,
                                      "unsupported frontend protocol %u.%u: server supports 3.0 to 3.0",
                                      ret->version >> 16, ret->version & 0xffff);
        struct leat_pg_startup packet = *ret, first = *ret;
        packet.settings = leat_arena_alloc(arena, LEAT_PG_START_SETTINGS_MAX * sizeof *packet.settings);
        int rc = read_parameters(&cur, &packet, &options, err);
        if (rc == 0 && packet.user[0] == '\0')
                rc = leat_error_set(err, LEAT_EPROTO, "no PostgreSQL user name specified in startup packet");
        first.settings = leat_arena_alloc(arena, LEAT_PG_START_SETTINGS_MAX * sizeof *first.settings);
        if (rc == 0 && options != NULL)
                rc = read_options(arena, options, &first, err);
        for (uint32_t i = 0; rc == 0 && i < packet.setting_count; i++)
                rc = add_setting(&first, packet.settings[i].name, packet.settings[i].value, err);
        if (rc != 0) {
                leat_buf_done(&packet.unknown);
                return rc;
        }
        packet.settings = first.settings;
        packet.setting_count = first.setting_count;
        *ret = packet;
        return 0;
}

static uint16_t *read_formats(struct leat_arena *arena, struct leat_cursor *cur, uint32_t *ret_count)
{
        uint32_t count = leat_cursor_be16(cur);
        *ret_count = 0;
        if (cur->failed || leat_cursor_left(cur) < (size_t)count * 2) {
                cur->failed = true;
                return NULL;
        }
        uint16_t *formats = leat_arena_alloc(arena, count * sizeof *formats);
        for (uint32_t i = 0; i < count; i++) {
                formats[i] = leat_cursor_be16(cur);
                if (formats[i] > 1)
                        cur->failed = true;
        }
        *ret_count = count;
        return formats;
}

int leat_pg_bind_decode(struct leat_arena *arena, struct leat_view body, struct leat_pg_bind *ret,
                        struct leat_error *err)
{
        struct leat_cursor cur = leat_cursor_of(body);
        memset(ret, 0, sizeof *ret);
        ret->portal = leat_pg_read_cstr(&cur);
        ret->stmt = leat_pg_read_cstr(&cur);
        ret->formats = read_formats(arena, &cur, &ret->format_count);
        ret->param_count = leat_cursor_be16(&cur);
        /* Each value has at least its length: a count that the bytes cannot hold is refused before memory is taken. */
        if (cur.failed || leat_cursor_left(&cur) < (size_t)ret->param_count * 4)
                return leat_error_set(err, LEAT_EPROTO, "invalid Bind message: %u parameters do not fit into it",
                                      ret->param_count);
        ret->params = leat_arena_zalloc(arena, ret->param_count * sizeof *ret->params);
        for (uint32_t i = 0; i < ret->param_count; i++) {
                int32_t len = (int32_t)leat_cursor_be32(&cur);
                if (len == -1)
                        continue;
                if (len < 0) {
                        cur.failed = true;
                        break;
                }
                ret->params[i] = leat_cursor_bytes(&cur, (size_t)len);
                if (ret->params[i].data == NULL)
                        ret->params[i].data = (const uint8_t *)"";
        }
        ret->result_formats = read_formats(arena, &cur, &ret->result_format_count);
        if (cur.failed || leat_cursor_left(&cur) != 0)
                return leat_error_set(err, LEAT_EPROTO, "invalid Bind message");
        if (ret->format_count > 1 && ret->format_count != ret->param_count)
                return leat_error_set(err, LEAT_EPROTO, "bind message has %u parameter formats but %u parameters",
                                      ret->format_count, ret->param_count);
        return 0;
}
