/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/pg: what a session does with each message. Runs on a worker thread; one
 * thread at a time has a session.
 *
 *   simple     Q -> (RowDescription DataRow* | CopyOut…)* CommandComplete … ReadyForQuery
 *   extended   Parse Bind Describe Execute Close Flush Sync; after an error all
 *              messages up to the next Sync are dropped, a Query among them too
 */
#include <stdio.h>

#include "pg_int.h"

enum { PG_FLUSH_BYTES = 64 * 1024, PG_NAMES_MAX = 10000, PG_PORTALS_MAX = 1000 };

static void send_empty(struct leat_pg_session *s, char type)
{
        leat_pg_msg_end(&s->out, leat_pg_msg_begin(&s->out, type));
}

static void send_ready(struct leat_pg_session *s)
{
        size_t at = leat_pg_msg_begin(&s->out, 'Z');
        leat_buf_u8(&s->out, (uint8_t)s->pg->options.backend->txn(s->backend));
        leat_pg_msg_end(&s->out, at);
}

/* Drivers act on these: they prepare again, or know that a ROLLBACK is wanted. */
static const char *error_state(struct leat_pg_session *s, const struct leat_error *err)
{
        if (err->code == LEAT_ESEQUENCE && s->pg->options.backend->txn(s->backend) == LEAT_PG_FAILED)
                return "25P02";
        if (err->code == LEAT_ENOTFOUND && strncmp(err->message, "prepared statement ", 19) == 0)
                return "26000";
        if (err->code == LEAT_EEXISTS && strncmp(err->message, "prepared statement ", 19) == 0)
                return "42P05";
        if (err->code == LEAT_ENOTFOUND &&
            (strncmp(err->message, "portal ", 7) == 0 || strncmp(err->message, "cursor ", 7) == 0))
                return "34000";
        if (err->code == LEAT_EDENIED && strncmp(err->message, "cannot execute ", 15) == 0)
                return "25006";
        return leat_pg_sqlstate(err->code);
}

static void send_error(struct leat_pg_session *s, const struct leat_error *err, int shift)
{
        int position = err->position > 0 ? err->position + shift : 0;
        leat_pg_msg_error(&s->out, "ERROR", error_state(s, err), err->message, err->hint, position);
        s->pg->options.backend->failed(s->backend);
        leat_stat_add(s->pg->errors, 1);
}

/* Bytes that the value takes at least; what is long is refused before it is copied. */
static uint64_t value_bytes(const struct leat_column *col, uint32_t row)
{
        uint64_t sum = 0;
        if (!leat_column_valid(col, row))
                return 0;
        if (col->type.id == LEAT_T_VARCHAR || col->type.id == LEAT_T_BLOB)
                return leat_string_view((const struct leat_string *)col->data + row).len;
        if (col->type.id == LEAT_T_LIST) {
                const uint64_t *entry = (const uint64_t *)col->data + (size_t)row * 2;
                for (uint64_t i = 0; i < entry[1]; i++)
                        sum += value_bytes(&col->children[0], (uint32_t)(entry[0] + i));
        } else if (col->type.id == LEAT_T_STRUCT) {
                for (uint32_t c = 0; c < col->type.child_count; c++)
                        sum += value_bytes(&col->children[c], row);
        }
        return sum;
}

static int too_big_row(uint64_t bytes, struct leat_error *err)
{
        leat_error_set(err, LEAT_ETOOBIG, "a row of %llu bytes is larger than pg.row.bytes allows (%lld)",
                       (unsigned long long)bytes, (long long)leat_param(LEAT_P_PG_ROW_BYTES));
        leat_error_hint(err, "Select less of the value, as with substring(), or start Leat with a larger limit: "
                             "leat serve --set pg.row.bytes=256MiB.");
        return LEAT_ETOOBIG;
}

/* Adds the portal's next row to what is sent; leaves it out when it is too large. */
static int put_row(struct leat_pg_session *s, const struct leat_pg_portal *p, struct leat_error *err)
{
        uint64_t bytes = 0, max = (uint64_t)leat_param(LEAT_P_PG_ROW_BYTES);
        size_t start = s->out.len;
        const struct leat_zone *zone = s->pg->options.backend->zone(s->backend);
        for (uint32_t c = 0; c < p->rows->column_count; c++)
                bytes += value_bytes(&p->rows->columns[c], p->row);
        if (bytes > max)
                return too_big_row(bytes, err);
        size_t at = leat_pg_msg_begin(&s->out, p->desc->copy_out ? 'd' : 'D');
        if (p->desc->copy_out) {
                leat_pg_copy_row(p->desc, p->rows, p->row, zone, &s->out);
        } else {
                leat_buf_be16(&s->out, (uint16_t)p->rows->column_count);
                for (uint32_t c = 0; c < p->rows->column_count; c++) {
                        uint32_t f = p->format_count == 0 ? 0 : p->formats[p->format_count == 1 ? 0 : c];
                        leat_pg_value_put(&p->rows->columns[c], p->row, f == 1, zone, &s->out);
                }
        }
        bytes = s->out.len - start;
        if (bytes > max) {
                s->out.len = start;
                return too_big_row(bytes, err);
        }
        leat_pg_msg_end(&s->out, at);
        return 0;
}

/* Sends rows of the cursor, at most @max (0 = all). 1: more to come, 0: at the end, negative: error code. */
static int send_rows(struct leat_pg_session *s, struct leat_pg_portal *p, int64_t max, struct leat_error *err)
{
        const struct leat_pg_backend *be = s->pg->options.backend;
        int64_t sent = 0;
        for (;;) {
                while (p->rows != NULL && p->row < p->rows->rows) {
                        if (max > 0 && sent == max)
                                return 1;
                        int rc = put_row(s, p, err);
                        if (rc != 0)
                                return -rc;
                        p->row++;
                        p->sent++;
                        sent++;
                        if (s->out.len >= PG_FLUSH_BYTES && !leat_pg_flush(s))
                                return -leat_error_set(err, LEAT_ECLOSED, "the client has gone");
                }
                /* The next rows may take their time (a subscription waits): what is there goes out first. */
                if (s->out.len != 0 && !leat_pg_flush(s))
                        return -leat_error_set(err, LEAT_ECLOSED, "the client has gone");
                int rc = be->next(p->cursor, &p->rows, err);
                if (rc != 0)
                        return -rc;
                p->row = 0;
                if (p->rows == NULL)
                        return 0;
        }
}

static void send_complete(struct leat_pg_session *s, struct leat_pg_portal *p)
{
        bool counts = false;
        int64_t rows = -1;
        const char *tag = s->pg->options.backend->tag(p->cursor, &counts, &rows);
        size_t at;
        if (p->desc->copy_out)
                send_empty(s, 'c');
        at = leat_pg_msg_begin(&s->out, 'C');
        if (counts) {
                char text[96];
                snprintf(text, sizeof text, "%s %lld", tag, (long long)(rows >= 0 ? rows : p->sent));
                leat_pg_msg_cstr(&s->out, text);
        } else {
                leat_pg_msg_cstr(&s->out, tag);
        }
        leat_pg_msg_end(&s->out, at);
}

static void send_copy_begin(struct leat_pg_session *s, const struct leat_pg_desc *desc)
{
        size_t at = leat_pg_msg_begin(&s->out, 'H');
        leat_buf_u8(&s->out, 0);
        leat_buf_be16(&s->out, (uint16_t)desc->column_count);
        for (uint32_t i = 0; i < desc->column_count; i++)
                leat_buf_be16(&s->out, 0);
        leat_pg_msg_end(&s->out, at);
        if (desc->copy_header) {
                at = leat_pg_msg_begin(&s->out, 'd');
                leat_pg_copy_header(desc, &s->out);
                leat_pg_msg_end(&s->out, at);
        }
}

/* ---- simple query ------------------------------------------------------------ */
static int run_simple(struct leat_pg_session *s, const char *sql, struct leat_error *err)
{
        const struct leat_pg_backend *be = s->pg->options.backend;
        struct leat_pg_portal p = {0};
        void *stmt = NULL;
        int rc = be->prepare(s->backend, sql, NULL, 0, &stmt, err);
        if (rc != 0)
                return rc;
        p.desc = be->describe(stmt);
        if (p.desc->param_count != 0) {
                rc = leat_error_set(err, LEAT_EINVAL, "there is no parameter $1");
                leat_error_hint(err, "Parameters need the extended protocol, or PREPARE and EXECUTE.");
        } else {
                rc = be->open(stmt, NULL, &p.cursor, err);
        }
        if (rc == 0) {
                if (p.desc->copy_out)
                        send_copy_begin(s, p.desc);
                else if (p.desc->column_count != 0)
                        leat_pg_msg_row_desc(&s->out, p.desc, NULL, 0);
                rc = -send_rows(s, &p, 0, err);
        }
        if (rc == 0)
                send_complete(s, &p);
        if (p.cursor != NULL)
                be->close(p.cursor);
        be->stmt_free(stmt);
        return rc;
}

/* Characters (not bytes) before @at: PostgreSQL counts positions in characters. */
static int characters_before(const char *sql, const char *at)
{
        int n = 0;
        for (; sql < at; sql++)
                n += ((unsigned char)*sql & 0xC0) != 0x80;
        return n;
}

static void handle_query(struct leat_pg_session *s, const char *sql)
{
        const struct leat_pg_backend *be = s->pg->options.backend;
        struct leat_error err = {0};
        struct leat_view *parts = NULL;
        uint32_t count = 0;
        int rc = be->split(s->backend, s->arena, sql, &count, &parts, &err);
        if (rc != 0)
                send_error(s, &err, 0);
        else if (count == 0)
                send_empty(s, 'I');
        for (uint32_t i = 0; rc == 0 && i < count; i++) {
                char *text = leat_arena_strndup(s->arena, (const char *)parts[i].data, parts[i].len);
                rc = run_simple(s, text, &err);
                if (rc != 0)
                        send_error(s, &err, characters_before(sql, (const char *)parts[i].data));
        }
        send_ready(s);
}

/* ---- statements and portals --------------------------------------------------- */
static struct leat_pg_stmt *find_stmt(struct leat_pg_session *s, const char *name)
{
        struct leat_pg_stmt *st = s->stmts;
        while (st != NULL && strcmp(st->name, name) != 0)
                st = st->next;
        return st;
}

static struct leat_pg_portal *find_portal(struct leat_pg_session *s, const char *name)
{
        struct leat_pg_portal *p = s->portals;
        while (p != NULL && strcmp(p->name, name) != 0)
                p = p->next;
        return p;
}

static void stmt_unref(struct leat_pg_session *s, struct leat_pg_stmt *stmt)
{
        if (--stmt->refs != 0)
                return;
        if (stmt->handle != NULL)
                s->pg->options.backend->stmt_free(stmt->handle);
        free(stmt->name);
        free(stmt->oids);
        free(stmt);
}

static void drop_portal(struct leat_pg_session *s, struct leat_pg_portal *portal)
{
        struct leat_pg_portal **at = &s->portals;
        while (*at != portal)
                at = &(*at)->next;
        *at = portal->next;
        if (portal->cursor != NULL)
                s->pg->options.backend->close(portal->cursor);
        stmt_unref(s, portal->stmt);
        leat_arena_free(portal->arena);
        free(portal->name);
        free(portal);
}

/* Portals of it go on: a driver parses its next statement under the same name while it reads the last one. */
static void drop_stmt(struct leat_pg_session *s, struct leat_pg_stmt *stmt)
{
        struct leat_pg_stmt **at = &s->stmts;
        while (*at != stmt)
                at = &(*at)->next;
        *at = stmt->next;
        stmt_unref(s, stmt);
}

void leat_pg_objects_free(struct leat_pg_session *s)
{
        while (s->portals != NULL)
                drop_portal(s, s->portals);
        while (s->stmts != NULL)
                drop_stmt(s, s->stmts);
}

/* ---- extended query ------------------------------------------------------------ */
static int handle_parse(struct leat_pg_session *s, struct leat_cursor *cur, struct leat_error *err)
{
        const struct leat_pg_backend *be = s->pg->options.backend;
        const char *name = leat_pg_read_cstr(cur);
        const char *sql = leat_pg_read_cstr(cur);
        uint32_t hints = leat_cursor_be16(cur), count = 0;
        if (cur->failed || leat_cursor_left(cur) != (size_t)hints * 4)
                return leat_error_set(err, LEAT_EPROTO, "invalid Parse message");
        struct leat_type *types = leat_arena_zalloc(s->arena, (hints + 1) * sizeof *types);
        uint32_t *oids = leat_arena_zalloc(s->arena, (hints + 1) * sizeof *oids);
        for (uint32_t i = 0; i < hints; i++) {
                oids[i] = leat_cursor_be32(cur);
                types[i] = leat_pg_type_of_oid(oids[i]);
        }
        struct leat_pg_stmt *old = find_stmt(s, name);
        if (old != NULL && name[0] != '\0')
                return leat_error_set(err, LEAT_EEXISTS, "prepared statement \"%s\" already exists", name);
        if (old != NULL)
                drop_stmt(s, old);
        for (struct leat_pg_stmt *st = s->stmts; st != NULL; st = st->next)
                count++;
        if (count >= PG_NAMES_MAX)
                return leat_error_set(err, LEAT_ETOOBIG, "too many prepared statements in one session (%u)", count);

        struct leat_view *parts;
        LEAT_TRY(be->split(s->backend, s->arena, sql, &count, &parts, err));
        if (count > 1)
                return leat_error_set(err, LEAT_ESYNTAX, "cannot insert multiple commands into a prepared statement");
        void *handle = NULL;
        if (count == 1) {
                int rc = be->prepare(s->backend, sql, types, hints, &handle, err);
                if (rc != 0)
                        return rc;
        }
        struct leat_pg_stmt *stmt = leat_calloc(1, sizeof *stmt);
        stmt->name = leat_strdup(name);
        stmt->refs = 1;
        stmt->handle = handle;
        stmt->oids = leat_malloc((hints + 1) * sizeof *oids);
        memcpy(stmt->oids, oids, hints * sizeof *oids);
        stmt->oid_count = hints;
        stmt->next = s->stmts;
        s->stmts = stmt;
        send_empty(s, '1');
        return 0;
}

static int bind_params(struct leat_pg_portal *p, const struct leat_pg_bind *bind, struct leat_error *err)
{
        if (bind->param_count != p->desc->param_count)
                return leat_error_set(err, LEAT_EPROTO,
                                      "bind message supplies %u parameters, but prepared statement \"%s\" requires %u",
                                      bind->param_count, bind->stmt, p->desc->param_count);
        p->params = leat_arena_zalloc(p->arena, sizeof *p->params);
        p->params->rows = 1;
        p->params->column_count = bind->param_count;
        p->params->columns = leat_arena_zalloc(p->arena, (bind->param_count + 1) * sizeof *p->params->columns);
        for (uint32_t i = 0; i < bind->param_count; i++) {
                bool binary = bind->format_count != 0 && bind->formats[bind->format_count == 1 ? 0 : i] == 1;
                struct leat_view v = bind->params[i];
                bool is_null = v.data == NULL;
                if (!is_null)
                        v.data = (const uint8_t *)leat_arena_strndup(p->arena, (const char *)v.data, v.len);
                /* What the client declared says how its bytes are to be read. */
                uint32_t oid = i < p->stmt->oid_count ? p->stmt->oids[i] : 0;
                struct leat_type declared = leat_pg_type_of_oid(oid);
                const struct leat_type *type =
                        declared.id != LEAT_T_INVALID || oid == 1700 ? &declared : &p->desc->params[i];
                LEAT_TRY(leat_pg_value_get(p->arena, v, is_null, binary, oid, type, &p->params->columns[i], err));
        }
        return 0;
}

static int handle_bind(struct leat_pg_session *s, struct leat_view body, struct leat_error *err)
{
        struct leat_pg_bind bind;
        LEAT_TRY(leat_pg_bind_decode(s->arena, body, &bind, err));
        struct leat_pg_stmt *stmt = find_stmt(s, bind.stmt);
        if (stmt == NULL)
                return leat_error_set(err, LEAT_ENOTFOUND, "prepared statement \"%s\" does not exist", bind.stmt);
        struct leat_pg_portal *old = find_portal(s, bind.portal);
        if (old != NULL && bind.portal[0] != '\0')
                return leat_error_set(err, LEAT_EEXISTS, "portal \"%s\" already exists", bind.portal);
        if (old != NULL)
                drop_portal(s, old);

        uint32_t count = 0;
        for (struct leat_pg_portal *other = s->portals; other != NULL; other = other->next)
                count++;
        if (count >= PG_PORTALS_MAX)
                return leat_error_set(err, LEAT_ETOOBIG, "too many portals in one session (%u)", count);

        static const struct leat_pg_desc nothing;
        struct leat_pg_portal *p = leat_calloc(1, sizeof *p);
        p->arena = leat_arena_new(1024);
        p->name = leat_strdup(bind.portal);
        p->stmt = stmt;
        stmt->refs++;
        p->desc = stmt->handle == NULL ? &nothing : s->pg->options.backend->describe(stmt->handle);
        p->next = s->portals;
        s->portals = p;
        p->format_count = bind.result_format_count;
        p->formats = leat_arena_alloc(p->arena, (bind.result_format_count + 1) * sizeof *p->formats);
        memcpy(p->formats, bind.result_formats, bind.result_format_count * sizeof *p->formats);
        int rc = bind_params(p, &bind, err);
        if (rc == 0 && p->format_count > 1 && p->format_count != p->desc->column_count)
                rc = leat_error_set(err, LEAT_EPROTO, "bind message has %u result formats but query has %u columns",
                                    p->format_count, p->desc->column_count);
        if (rc != 0) {
                drop_portal(s, p);
                return rc;
        }
        send_empty(s, '2');
        return 0;
}

static void send_params(struct leat_pg_session *s, const struct leat_pg_desc *desc)
{
        size_t at = leat_pg_msg_begin(&s->out, 't');
        leat_buf_be16(&s->out, (uint16_t)desc->param_count);
        for (uint32_t i = 0; i < desc->param_count; i++)
                leat_buf_be32(&s->out, desc->params[i].id == LEAT_T_INVALID ? 25 : leat_pg_type_oid(&desc->params[i]));
        leat_pg_msg_end(&s->out, at);
}

static int handle_describe(struct leat_pg_session *s, struct leat_cursor *cur, struct leat_error *err)
{
        char what = (char)leat_cursor_u8(cur);
        const char *name = leat_pg_read_cstr(cur);
        const struct leat_pg_desc *desc = NULL;
        struct leat_pg_portal *p = NULL;
        if (cur->failed)
                return leat_error_set(err, LEAT_EPROTO, "invalid Describe message");
        if (what == 'S') {
                struct leat_pg_stmt *stmt = find_stmt(s, name);
                if (stmt == NULL)
                        return leat_error_set(err, LEAT_ENOTFOUND, "prepared statement \"%s\" does not exist", name);
                static const struct leat_pg_desc nothing;
                desc = stmt->handle == NULL ? &nothing : s->pg->options.backend->describe(stmt->handle);
                send_params(s, desc);
        } else if (what == 'P') {
                p = find_portal(s, name);
                if (p != NULL)
                        desc = p->desc;
                else if (s->pg->options.backend->describe_cursor != NULL)
                        desc = s->pg->options.backend->describe_cursor(s->backend, name);
                if (desc == NULL)
                        return leat_error_set(err, LEAT_ENOTFOUND, "portal \"%s\" does not exist", name);
        } else {
                return leat_error_set(err, LEAT_EPROTO, "invalid DESCRIBE message subtype %d", what);
        }
        if (desc->column_count == 0 || desc->copy_out)
                send_empty(s, 'n');
        else
                leat_pg_msg_row_desc(&s->out, desc, p == NULL ? NULL : p->formats, p == NULL ? 0 : p->format_count);
        return 0;
}

static int handle_execute(struct leat_pg_session *s, struct leat_cursor *cur, struct leat_error *err)
{
        const char *name = leat_pg_read_cstr(cur);
        int32_t max = (int32_t)leat_cursor_be32(cur);
        if (cur->failed)
                return leat_error_set(err, LEAT_EPROTO, "invalid Execute message");
        struct leat_pg_portal *p = find_portal(s, name);
        if (p == NULL)
                return leat_error_set(err, LEAT_ENOTFOUND, "portal \"%s\" does not exist", name);
        if (p->stmt->handle == NULL) {
                send_empty(s, 'I');
                return 0;
        }
        if (p->cursor == NULL && !p->done) {
                LEAT_TRY(s->pg->options.backend->open(p->stmt->handle, p->params, &p->cursor, err));
                if (p->desc->copy_out)
                        send_copy_begin(s, p->desc);
        }
        if (p->done) {
                /* A portal that ran to its end gives no rows again. */
                leat_pg_msg_error(&s->out, "NOTICE", "00000", "the portal has been run to its end", "", 0);
                p->sent = 0;
                send_complete(s, p);
                return 0;
        }
        int rc = send_rows(s, p, max, err);
        if (rc < 0)
                return -rc;
        if (rc == 1) {
                send_empty(s, 's');
                return 0;
        }
        p->done = true;
        send_complete(s, p);
        return 0;
}

static int handle_close(struct leat_pg_session *s, struct leat_cursor *cur, struct leat_error *err)
{
        char what = (char)leat_cursor_u8(cur);
        const char *name = leat_pg_read_cstr(cur);
        if (cur->failed || (what != 'S' && what != 'P'))
                return leat_error_set(err, LEAT_EPROTO, "invalid Close message");
        struct leat_pg_stmt *stmt = what == 'S' ? find_stmt(s, name) : NULL;
        struct leat_pg_portal *portal = what == 'P' ? find_portal(s, name) : NULL;
        if (stmt != NULL)
                drop_stmt(s, stmt);
        if (portal != NULL)
                drop_portal(s, portal);
        send_empty(s, '3');
        return 0;
}

static void drop_portals(struct leat_pg_session *s)
{
        while (s->portals != NULL)
                drop_portal(s, s->portals);
}

/* An extended-protocol message; errors make the session skip to Sync. */
static void handle_extended(struct leat_pg_session *s, const struct leat_pg_msg *msg)
{
        struct leat_error err = {0};
        struct leat_view body = leat_view_of(msg->body, msg->len);
        struct leat_cursor cur = leat_cursor_of(body);
        int rc = 0;
        switch (msg->type) {
        case 'P':
                rc = handle_parse(s, &cur, &err);
                break;
        case 'B':
                rc = handle_bind(s, body, &err);
                break;
        case 'D':
                rc = handle_describe(s, &cur, &err);
                break;
        case 'E':
                rc = handle_execute(s, &cur, &err);
                break;
        case 'C':
                rc = handle_close(s, &cur, &err);
                break;
        default:
                break;
        }
        if (rc != 0) {
                send_error(s, &err, 0);
                s->skip_to_sync = true;
        }
}

/* A message that was not kept: the statement fails, the session goes on. */
static bool handle_too_big(struct leat_pg_session *s, const struct leat_pg_msg *msg)
{
        struct leat_error err = {0};
        char type = (char)msg->body[0];
        bool extended = type == 'P' || type == 'B';
        if (type == 'd')
                return true; /* of a COPY IN that was refused: it has no answer */
        leat_error_set(&err, LEAT_ETOOBIG, "a message of %u bytes is larger than pg.message.bytes allows (%lld)",
                       leat_get_be32(msg->body + 1), (long long)leat_param(LEAT_P_PG_MESSAGE_BYTES));
        leat_error_hint(&err, "Send rows in several statements or by a Kafka client; a statement's text is at most "
                              "1 MiB. Parameters may be larger with leat serve --set pg.message.bytes=64MiB.");
        send_error(s, &err, 0);
        s->skip_to_sync = extended;
        if (!extended)
                send_ready(s);
        return leat_pg_flush(s);
}

/* What a client may send once its session has begun. */
static bool is_known(uint16_t type)
{
        return type == LEAT_PG_MSG_TOO_BIG || (type != 0 && type < 256 && strchr("QPBDECHSdcfFX", type) != NULL);
}

bool leat_pg_handle(struct leat_pg_session *s, const struct leat_pg_msg *msg)
{
        bool last = false;
        leat_arena_reset(s->arena);
        if (s->skip_to_sync && msg->type != 'S' && msg->type != 'X' && is_known(msg->type))
                return true;
        switch (msg->type) {
        case 'Q': {
                struct leat_cursor cur = leat_cursor_of(leat_view_of(msg->body, msg->len));
                const char *sql = leat_pg_read_cstr(&cur);
                if (cur.failed || leat_cursor_left(&cur) != 0) {
                        struct leat_error err = {0};
                        leat_error_set(&err, LEAT_EPROTO, "invalid Query message: %s",
                                       cur.failed ? "its text does not end with a NUL" : "bytes behind its text");
                        send_error(s, &err, 0);
                        send_ready(s);
                } else {
                        handle_query(s, sql);
                }
                if (s->pg->options.backend->txn(s->backend) == LEAT_PG_IDLE)
                        drop_portals(s);
                break;
        }
        case 'P':
        case 'B':
        case 'D':
        case 'E':
        case 'C':
                handle_extended(s, msg);
                return true; /* flushed by Flush, Sync or a full buffer */
        case 'H':
                break;
        case 'S':
                s->skip_to_sync = false;
                if (s->pg->options.backend->txn(s->backend) == LEAT_PG_IDLE)
                        drop_portals(s);
                send_ready(s);
                break;
        case 'd':
        case 'c':
        case 'f':
                return true; /* rest of a COPY IN that was refused */
        case 'F':
                leat_pg_msg_error(&s->out, "ERROR", "0A000", "function calls by message are not supported",
                                  "Call the function in a SELECT.", 0);
                send_ready(s);
                break;
        case 'X':
                return false;
        case LEAT_PG_MSG_TOO_BIG:
                return handle_too_big(s, msg);
        default: {
                char text[64];
                snprintf(text, sizeof text, "invalid frontend message type %d", msg->type);
                leat_pg_msg_error(&s->out, "FATAL", "08P01", text, "", 0);
                last = true;
                break;
        }
        }
        return leat_pg_flush(s) && !last;
}
