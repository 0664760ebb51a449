/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: DuckDB's messages, put right.
 *
 * Tables of the environment are called leat_<id>; the user's name goes in their
 * place. The commonest mistakes are said as PostgreSQL says them, and the
 * candidates that DuckDB lists become a question.
 */
#include <ctype.h>
#include <stdio.h>

#include "sql_int.h"

/* "Table with name leat_12 …" and the like would only confuse. */
static void real_names(const struct leat_sql_catalog *catalog, char *text, size_t bytes)
{
        char out[sizeof((struct leat_error *)0)->message];
        size_t len = 0;
        for (const char *c = text; *c != 0 && len + 1 < sizeof out;) {
                char *end;
                bool word = c == text || (!isalnum((uint8_t)c[-1]) && c[-1] != '_');
                if (word && strncmp(c, "leat_", 5) == 0) {
                        const char *digits = c + 5 + (c[5] == 'q');
                        unsigned long long id = strtoull(digits, &end, 10);
                        const struct leat_object *object =
                                end != digits ? leat_snapshot_get(catalog->snapshot, id) : NULL;
                        if (object != NULL) {
                                len += (size_t)snprintf(out + len, sizeof out - len, "%s%s", object->name,
                                                        c[5] == 'q' ? "$quarantine" : "");
                                len = LEAT_MIN(len, sizeof out - 1);
                                c = end;
                                continue;
                        }
                }
                out[len++] = *c++;
        }
        out[len] = 0;
        snprintf(text, bytes, "%s", out);
}

/* "Referenced column "x" not found in FROM clause" → "column "x" does not exist" */
static void reword(char *message, size_t bytes)
{
        static const struct {
                const char *before, *after, *new_before, *new_after;
        } words[] = {
                {"Referenced column ", " not found in FROM clause", "column ", " does not exist"},
                {"Referenced table ", " not found", "missing FROM-clause entry for table ", ""},
                {"Scalar Function with name ", " does not exist", "function ", " does not exist"},
                {"Aggregate Function with name ", " does not exist", "function ", " does not exist"},
                {"Table Function with name ", " does not exist", "function ", " does not exist"},
                {"Type with name ", " does not exist", "type ", " does not exist"},
        };
        char text[sizeof((struct leat_error *)0)->message];
        for (size_t i = 0; i < LEAT_ARRAY_LEN(words); i++) {
                size_t before = strlen(words[i].before), after = strlen(words[i].after), len = strlen(message);
                if (len < before + after || strncmp(message, words[i].before, before) != 0 ||
                    strcmp(message + len - after, words[i].after) != 0)
                        continue;
                snprintf(text, sizeof text, "%s%.*s%s", words[i].new_before, (int)(len - before - after),
                         message + before, words[i].new_after);
                snprintf(message, bytes, "%s", text);
                return;
        }
}

/* "Candidate bindings: "a", "b"" → "Did you mean "a" or "b"?"; at most three. */
static void ask(char *hint, size_t bytes)
{
        static const char *const lists[] = {"Candidate bindings: : ", "Candidate bindings: ", "Candidate tables: "};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(lists); i++) {
                size_t skip = strlen(lists[i]), count = 0;
                if (strncmp(hint, lists[i], skip) != 0)
                        continue;
                char text[sizeof((struct leat_error *)0)->hint] = "Did you mean ";
                size_t len = strlen(text);
                for (const char *c = hint + skip; *c != 0 && count < 3; count++) {
                        size_t name = strcspn(c, ",");
                        len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s", count != 0 ? " or " : "",
                                                (int)name, c);
                        len = LEAT_MIN(len, sizeof text - 1);
                        c += name;
                        c += strspn(c, ", ");
                }
                snprintf(hint, bytes, "%.*s?", (int)(sizeof text - 2), text);
                return;
        }
}

/* Scalar Function with name "f" is not in the catalog, but it exists in the … extension. → … does not exist */
static void no_extensions(struct leat_error *err)
{
        char text[sizeof err->message];
        const char *rest = strstr(err->message, "\" is not in the catalog, but it exists in the ");
        const char *name = strchr(err->message, '"');
        if (rest == NULL || name >= rest)
                return;
        snprintf(text, sizeof text, "%.*s%.*s does not exist", (int)(name - err->message), err->message,
                 (int)(rest - name - 1), name + 1);
        snprintf(err->message, sizeof err->message, "%s", text);
        err->hint[0] = 0;
}

/* DuckDB finds something alike for every function; only what may be a slip of the fingers helps. */
static void drop_far(struct leat_error *err)
{
        static const char question[] = "Did you mean \"";
        char name[65], near[65];
        if (strncmp(err->hint, question, sizeof question - 1) != 0 ||
            (sscanf(err->message, "function %64[^ ]", name) != 1 && sscanf(err->message, "type %64[^ ]", name) != 1) ||
            sscanf(err->hint + sizeof question - 1, "%64[^\"]", near) != 1)
                return;
        const char *names[] = {near};
        if (leat_sql_suggest(name, names, 1) == NULL)
                err->hint[0] = 0;
}

void leat_sql_message_clean(const struct leat_sql_catalog *catalog, struct leat_error *err)
{
        real_names(catalog, err->message, sizeof err->message);
        real_names(catalog, err->hint, sizeof err->hint);
        no_extensions(err);
        reword(err->message, sizeof err->message);
        drop_far(err);
        const char *known = leat_sql_hint_message(err->message);
        if (known != NULL)
                leat_error_hint(err, "%s", known);
        else
                ask(err->hint, sizeof err->hint);
}
