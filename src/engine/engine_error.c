/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: DuckDB's errors as ours.
 *
 * Design    With errors_as_json DuckDB gives {"exception_type", "exception_message",
 *           "error_subtype", "position", ...}; a few paths still give "Kind Error:
 *           text", with or without the JSON behind it. Type and subtype choose
 *           the code. The first line is the message, what follows (candidates)
 *           the hint. Positions are bytes from 0 and become characters from 1.
 *           A relation's own error is kept beside DuckDB's and wins.
 */
#include <jansson.h>
#include <stdio.h>

#include "duck_int.h"

void leat_duck_scan_failed(struct leat_conn *conn, const struct leat_error *scan_error)
{
        pthread_mutex_lock(&conn->lock);
        if (conn->scan_error.code == 0)
                conn->scan_error = *scan_error;
        pthread_mutex_unlock(&conn->lock);
}

void leat_duck_scan_error_clear(struct leat_conn *conn)
{
        pthread_mutex_lock(&conn->lock);
        conn->scan_error.code = 0;
        pthread_mutex_unlock(&conn->lock);
}

static const struct {
        const char *type; /* exception_type; also the word before " Error:" */
        int code;
} type_codes[] = {
        {"Parser", LEAT_ESYNTAX},
        {"Syntax", LEAT_ESYNTAX},
        {"Catalog", LEAT_ENOTFOUND},
        {"Out of Range", LEAT_ERANGE},
        {"Decimal", LEAT_ERANGE},
        {"Divide by Zero", LEAT_ERANGE},
        {"Conversion", LEAT_EINVAL},
        {"Mismatch Type", LEAT_ETYPE},
        {"Unknown Type", LEAT_ETYPE},
        {"Invalid type", LEAT_ETYPE},
        {"Expression", LEAT_ETYPE},
        {"Not implemented", LEAT_EUNSUPPORTED},
        {"Serialization", LEAT_EUNSUPPORTED},
        {"Missing Extension", LEAT_EUNSUPPORTED},
        {"Autoload", LEAT_EUNSUPPORTED},
        {"Permission", LEAT_EDENIED},
        {"Out of Memory", LEAT_ENOMEM},
        {"INTERRUPT", LEAT_ECANCELED},
        {"Interrupt", LEAT_ECANCELED},
        {"IO", LEAT_EIO},
        {"Dependency", LEAT_EDEPENDENT},
        {"FATAL", LEAT_EINTERNAL},
        {"INTERNAL", LEAT_EINTERNAL},
};

static int type_code(const char *type, size_t len)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(type_codes); i++)
                if (strlen(type_codes[i].type) == len && memcmp(type_codes[i].type, type, len) == 0)
                        return type_codes[i].code;
        return LEAT_EINVAL;
}

static bool starts_with(const char *text, const char *with)
{
        return strncmp(text, with, strlen(with)) == 0;
}

static int refined_code(int code, const char *subtype, const char *kind, const char *message)
{
        if (strcmp(subtype, "COLUMN_NOT_FOUND") == 0)
                return LEAT_ENOCOLUMN;
        if (strcmp(subtype, "NO_MATCHING_FUNCTION") == 0)
                return LEAT_ENOFUNCTION;
        if (strcmp(subtype, "MISSING_ENTRY") == 0) {
                if (strcmp(kind, "Table") == 0 || strcmp(kind, "View") == 0)
                        return LEAT_ENORELATION;
                if (strstr(kind, "Function") != NULL || strstr(kind, "Macro") != NULL)
                        return LEAT_ENOFUNCTION;
                if (strcmp(kind, "Type") == 0)
                        return LEAT_ETYPE;
        }
        if (starts_with(message, "Ambiguous") || starts_with(message, "Could not choose a best candidate"))
                return LEAT_EAMBIGUOUS;
        if (starts_with(message, "Cannot compare values") || starts_with(message, "Cannot mix values") ||
            starts_with(message, "Unimplemented type for cast") || starts_with(message, "Cannot combine types"))
                return LEAT_ETYPE;
        return code;
}

/* Bytes from 0 to characters from 1. */
static int char_position(const char *sql, long position)
{
        if (sql == NULL)
                return 0;
        int chars = 1;
        for (long i = 0; i < position && sql[i] != '\0'; i++)
                if (((unsigned char)sql[i] & 0xc0) != 0x80)
                        chars++;
        return chars;
}

/* The lines behind the first, joined by blanks. */
static void set_hint(struct leat_error *err, const char *text)
{
        char hint[sizeof err->hint];
        size_t len = 0;
        for (; *text != '\0' && len + 1 < sizeof hint; text++) {
                bool space = *text == '\n' || *text == '\t' || *text == ' ';
                if (!space)
                        hint[len++] = *text;
                else if (len != 0 && hint[len - 1] != ' ')
                        hint[len++] = ' ';
        }
        while (len != 0 && hint[len - 1] == ' ')
                len--;
        hint[len] = '\0';
        if (len != 0)
                leat_error_hint(err, "%s", hint);
}

/* Message in the first line (without the "!" that DuckDB likes to end with), hint in the others. */
static int set_text(struct leat_error *err, int code, const char *text)
{
        size_t len = strcspn(text, "\n");
        size_t cut = len;
        while (cut > 1 && text[cut - 1] == '!')
                cut--;
        leat_error_set(err, code, "%.*s", (int)cut, text);
        set_hint(err, text + len);
        return code;
}

/* DuckDB's own words tell of a database without a file; the numbers in them are worth keeping. */
static void memory_error(const struct leat_conn *conn, struct leat_error *err)
{
        char message[sizeof err->message];
        if (err == NULL)
                return;
        memcpy(message, err->message, sizeof message);
        leat_error_set(err, LEAT_ENOMEM, "out of memory: %.200s", message);
        leat_error_hint(err, "%s", conn->engine->memory_hint);
}

static const char *text_of(const json_t *object, const char *key)
{
        const char *text = json_string_value(json_object_get(object, key));
        return text != NULL ? text : "";
}

static int error_from_json(const json_t *object, const char *sql, struct leat_error *err)
{
        const char *type = text_of(object, "exception_type"), *message = text_of(object, "exception_message");
        int code = type_code(type, strlen(type));
        code = refined_code(code, text_of(object, "error_subtype"), text_of(object, "type"), message);
        set_text(err, code, message);
        const char *position = text_of(object, "position");
        if (err != NULL && *position != '\0')
                err->position = char_position(sql, strtol(position, NULL, 10));
        if (err != NULL && strcmp(type, "FATAL") == 0)
                err->fatal = true;
        return code;
}

int leat_duck_error(struct leat_conn *conn, const char *sql, const char *text, struct leat_error *err)
{
        struct leat_error scan_error;
        pthread_mutex_lock(&conn->lock);
        scan_error = conn->scan_error;
        conn->scan_error.code = 0;
        pthread_mutex_unlock(&conn->lock);
        if (scan_error.code != 0) {
                if (err != NULL)
                        *err = scan_error;
                return scan_error.code;
        }
        if (text == NULL)
                return leat_error_set(err, LEAT_EINTERNAL, "DuckDB failed without a reason");
        const char *brace = strchr(text, '{');
        json_t *object = brace != NULL ? json_loads(brace, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
        if (json_is_object(object) && json_object_get(object, "exception_message") != NULL) {
                int code = error_from_json(object, sql, err);
                json_decref(object);
                if (code == LEAT_ENOMEM)
                        memory_error(conn, err);
                return code;
        }
        json_decref(object);
        const char *colon = strstr(text, " Error: ");
        int code = colon != NULL ? type_code(text, (size_t)(colon - text)) : LEAT_EINVAL;
        set_text(err, code, colon != NULL ? colon + 8 : text);
        if (code == LEAT_ENOMEM)
                memory_error(conn, err);
        return code;
}
