/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: settings of a session (SET, SHOW, RESET).
 *
 * One table holds the names that clients know, their defaults and which values
 * are allowed. A setting that PostgreSQL has and that changes nothing here may
 * be set to the value it has; another value is refused by name, not ignored.
 */
#include <strings.h>

#include "query_int.h"

enum setting_rule {
        SETTING_ANY,      /* any text */
        SETTING_FIXED,    /* only its default: the value says what we do */
        SETTING_DURATION, /* milliseconds, or with a unit */
        SETTING_CHOICE,   /* one of `choices`, separated by spaces */
};

struct setting_info {
        const char *name;
        const char *value;
        enum setting_rule rule;
        const char *choices;
        bool report; /* ParameterStatus when it changes */
        const char *help;
};

static const struct setting_info settings[] = {
        {"application_name", "", SETTING_ANY, NULL, true, "Name of the client program"},
        {"bytea_output", "hex", SETTING_FIXED, NULL, false, "Form of BLOB values as text"},
        {"client_encoding", "UTF8", SETTING_CHOICE, "utf8 utf-8 unicode", true, "Encoding of the client"},
        {"client_min_messages", "notice", SETTING_ANY, NULL, false, "Least severe message that is sent"},
        {"DateStyle", "ISO, MDY", SETTING_CHOICE, "iso iso,mdy iso,dmy iso,ymd", true, "Form of dates as text"},
        {"default_transaction_isolation", "repeatable read", SETTING_ANY, NULL, false, "Reads see one tick"},
        {"default_transaction_read_only", "off", SETTING_CHOICE, "on off true false", true, "No effect on reads"},
        {"extra_float_digits", "1", SETTING_ANY, NULL, false, "Floats are always shortest-exact"},
        {"idle_in_transaction_session_timeout", "0", SETTING_ANY, NULL, false, "Transactions hold no locks"},
        {"in_hot_standby", "off", SETTING_FIXED, NULL, false, ""},
        {"integer_datetimes", "on", SETTING_FIXED, NULL, false, ""},
        {"IntervalStyle", "postgres", SETTING_FIXED, NULL, false, "Form of intervals as text"},
        {"is_superuser", "off", SETTING_FIXED, NULL, false, ""},
        {"leat.freshness", "session", SETTING_CHOICE, "session now none", false,
         "What a SELECT waits for: session = what this session wrote, now = all that was acknowledged, none"},
        {"leat.wait_timeout", "10s", SETTING_DURATION, NULL, false, "How long a SELECT waits for freshness"},
        {"lock_timeout", "0", SETTING_ANY, NULL, false, "There are no locks"},
        {"max_index_keys", "32", SETTING_FIXED, NULL, false, ""},
        {"max_identifier_length", "63", SETTING_FIXED, NULL, false, ""},
        {"row_security", "off", SETTING_CHOICE, "on off", false, "There are no row policies"},
        {"search_path", "public", SETTING_ANY, NULL, false, "The only schema is public"},
        {"server_encoding", "UTF8", SETTING_FIXED, NULL, false, ""},
        {"server_version", "15.0", SETTING_FIXED, NULL, false, "PostgreSQL version whose protocol is spoken"},
        {"server_version_num", "150000", SETTING_FIXED, NULL, false, ""},
        {"session_authorization", "leat", SETTING_FIXED, NULL, false, ""},
        {"standard_conforming_strings", "on", SETTING_FIXED, NULL, true, ""},
        {"statement_timeout", "0", SETTING_DURATION, NULL, false, "Ends a statement that takes longer; 0 = never"},
        {"synchronize_seqscans", "on", SETTING_ANY, NULL, false, "No effect"},
        {"TimeZone", "UTC", SETTING_CHOICE, "utc etc/utc gmt gmt0 z zulu", true, "Zone of TIMESTAMPTZ as text"},
        {"transaction_isolation", "repeatable read", SETTING_ANY, NULL, false, "Reads see one tick"},
        {"transaction_read_only", "off", SETTING_ANY, NULL, false, "No effect on reads"},
};

struct query_setting {
        struct query_setting *next;
        const struct setting_info *info;
        char *value;
        char *before; /* SET LOCAL: the value to go back to */
};

static const struct setting_info *find_info(const char *name)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(settings); i++)
                if (strcasecmp(settings[i].name, name) == 0)
                        return &settings[i];
        return NULL;
}

static struct query_setting *find_setting(const struct query_session *s, const char *name)
{
        struct query_setting *set = s->settings;
        while (set != NULL && strcasecmp(set->info->name, name) != 0)
                set = set->next;
        return set;
}

const char *leat_query_setting_get(const struct query_session *s, const char *name)
{
        const struct query_setting *set = find_setting(s, name);
        const struct setting_info *info = find_info(name);
        if (set != NULL)
                return set->value;
        /* What a transaction has not set for itself is what the session asked for. */
        if (strcasecmp(name, "transaction_isolation") == 0)
                return leat_query_setting_get(s, "default_transaction_isolation");
        if (strcasecmp(name, "transaction_read_only") == 0)
                return leat_query_setting_get(s, "default_transaction_read_only");
        return info == NULL ? NULL : info->value;
}

/* True when @value is one of the words of @choices, spaces and case aside. */
static bool is_choice(const char *choices, const char *value)
{
        char plain[64];
        size_t n = 0, len;
        for (; *value != '\0' && n < sizeof plain - 1; value++)
                if (*value != ' ')
                        plain[n++] = *value;
        plain[n] = '\0';
        for (; *choices != '\0'; choices += len + (choices[len] == ' ')) {
                len = strcspn(choices, " ");
                if (len == n && strncasecmp(choices, plain, n) == 0)
                        return true;
        }
        return false;
}

static int check_value(const struct setting_info *info, const char *value, struct leat_error *err)
{
        int64_t us;
        switch (info->rule) {
        case SETTING_ANY:
                return 0;
        case SETTING_FIXED:
                if (strcasecmp(value, info->value) == 0)
                        return 0;
                leat_error_set(err, LEAT_EUNSUPPORTED, "parameter \"%s\" cannot be changed", info->name);
                leat_error_hint(err, "It is always %s.", info->value);
                return LEAT_EUNSUPPORTED;
        case SETTING_DURATION:
                if (leat_duration_parse(leat_view_str(value), &us))
                        return 0;
                leat_error_set(err, LEAT_EINVAL, "invalid value for parameter \"%s\": \"%s\"", info->name, value);
                leat_error_hint(err, "Write milliseconds or a time with its unit: '500', '10 s'.");
                return LEAT_EINVAL;
        case SETTING_CHOICE:
                if (is_choice(info->choices, value))
                        return 0;
                leat_error_set(err, LEAT_EINVAL, "invalid value for parameter \"%s\": \"%s\"", info->name, value);
                leat_error_hint(err, "Available values: %s.", info->choices);
                return LEAT_EINVAL;
        }
        return 0;
}

int leat_query_setting_set(struct query_session *s, const char *name, const char *value, bool local,
                           struct leat_error *err)
{
        const struct setting_info *info = find_info(name);
        if (info == NULL) {
                leat_error_set(err, LEAT_ENOTFOUND, "unrecognized configuration parameter \"%s\"", name);
                leat_error_hint(err, "SHOW ALL lists the parameters.");
                return LEAT_ENOTFOUND;
        }
        if (value == NULL)
                value = info->value;
        LEAT_TRY(check_value(info, value, err));
        struct query_setting *set = find_setting(s, name);
        if (set == NULL) {
                set = leat_calloc(1, sizeof *set);
                set->info = info;
                set->value = leat_strdup(info->value);
                set->next = s->settings;
                s->settings = set;
        }
        if (local && set->before == NULL)
                set->before = leat_strdup(set->value);
        char *copy = leat_strdup(value);
        free(set->value);
        set->value = copy;
        if (info->report)
                s->info.report(s->info.door, info->name, value);
        return 0;
}

void leat_query_setting_reset(struct query_session *s, const char *name)
{
        for (struct query_setting *set = s->settings; set != NULL; set = set->next)
                if (name == NULL || strcasecmp(set->info->name, name) == 0)
                        (void)!leat_query_setting_set(s, set->info->name, NULL, false, NULL);
}

void leat_query_setting_list(const struct query_session *s, struct query_rows *rows)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(settings); i++) {
                leat_query_rows_add(rows);
                leat_query_rows_text(rows, 0, settings[i].name);
                leat_query_rows_text(rows, 1, leat_query_setting_get(s, settings[i].name));
                leat_query_rows_text(rows, 2, settings[i].help);
        }
}

void leat_query_setting_end_txn(struct query_session *s, bool commit)
{
        (void)commit; /* SET LOCAL ends either way; other settings stay, as reads are all that a transaction holds */
        for (struct query_setting *set = s->settings; set != NULL; set = set->next) {
                if (set->before == NULL)
                        continue;
                char *before = set->before;
                set->before = NULL;
                (void)!leat_query_setting_set(s, set->info->name, before, false, NULL);
                free(before);
        }
}

int64_t leat_query_setting_duration_us(const struct query_session *s, const char *name)
{
        int64_t us = 0;
        const char *value = leat_query_setting_get(s, name);
        return value != NULL && leat_duration_parse(leat_view_str(value), &us) ? us : 0;
}

void leat_query_setting_free(struct query_session *s)
{
        while (s->settings != NULL) {
                struct query_setting *next = s->settings->next;
                free(s->settings->value);
                free(s->settings->before);
                free(s->settings);
                s->settings = next;
        }
}
