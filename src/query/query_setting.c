/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: settings of a session (SET, SHOW, RESET, the startup packet).
 *
 * One table holds the names that clients know, their defaults and which values are allowed. A setting that PostgreSQL
 * has and that changes nothing here may be set to what is true here; another value is refused by name, not ignored.
 *
 * What is set in a transaction lasts when that commits, and is taken back when it rolls back; SET LOCAL and what is
 * said of the transaction itself (transaction_…) end with it either way.
 */
#include <stdio.h>
#include <strings.h>

#include "query_int.h"

enum setting_rule {
        SETTING_ANY,      /* any text */
        SETTING_FIXED,    /* only its default: the value says what we do */
        SETTING_DURATION, /* milliseconds, or with a unit */
        SETTING_CHOICE,   /* one of `choices`, separated by commas; "a=b": a is another word for b */
        SETTING_BOOL,     /* kept as on or off */
        SETTING_PATH,     /* schemas; public must be among them */
        SETTING_DATES,    /* ISO, and an order of day and month */
        SETTING_ZONE,
};

struct setting_info {
        const char *name;
        const char *value;
        enum setting_rule rule;
        const char *choices; /* CHOICE; FIXED: other words for the same */
        bool report;         /* ParameterStatus when it changes */
        const char *help;
};

#define LEVELS "read committed,read uncommitted,repeatable read,serializable"
#define MESSAGES "debug5,debug4,debug3,debug2,debug1,log,info,notice,warning,error"

static const struct setting_info settings[] = {
        {"application_name", "", SETTING_ANY, NULL, true, "Name of the client program"},
        {"bytea_output", "hex", SETTING_FIXED, NULL, false, "Form of BYTEA values as text"},
        {"client_encoding", "UTF8", SETTING_CHOICE, "UTF8,utf-8=UTF8,unicode=UTF8", true, "Encoding of the client"},
        {"client_min_messages", "notice", SETTING_CHOICE, MESSAGES, false, "Least severe message that is sent"},
        {"DateStyle", "ISO, MDY", SETTING_DATES, NULL, true, "Form of dates as text"},
        {"default_transaction_isolation", "repeatable read", SETTING_CHOICE, LEVELS, false,
         "Reads of a transaction see one tick at every level"},
        {"default_transaction_read_only", "off", SETTING_BOOL, NULL, true, "INSERT and definitions are refused"},
        {"extra_float_digits", "1", SETTING_CHOICE, "1,2,3", false, "Floats are always written so that they read back"},
        {"idle_in_transaction_session_timeout", "0", SETTING_FIXED, "0ms,0s", false, "Idle transactions are not ended"},
        {"idle_session_timeout", "0", SETTING_FIXED, "0ms,0s", false, "Idle sessions are not ended"},
        {"in_hot_standby", "off", SETTING_FIXED, NULL, false, "There are no standbys"},
        {"integer_datetimes", "on", SETTING_FIXED, NULL, false, "Times are integers on the wire"},
        {"IntervalStyle", "postgres", SETTING_FIXED, NULL, false, "Form of intervals as text"},
        {"is_superuser", "off", SETTING_FIXED, NULL, false, "There are no users yet"},
        {"leat.freshness", "session", SETTING_CHOICE, "session,now,none", false,
         "What a SELECT waits for: session = what this session wrote, now = all that was acknowledged, none"},
        {"leat.wait_timeout", "10s", SETTING_DURATION, NULL, false, "How long a SELECT waits for freshness"},
        {"lock_timeout", "0", SETTING_DURATION, NULL, false, "Statements wait for no locks, so none waits too long"},
        {"max_identifier_length", "249", SETTING_FIXED, NULL, false, "Longest name of a topic"},
        {"max_index_keys", "32", SETTING_FIXED, NULL, false, "Most columns of a primary key"},
        {"row_security", "off", SETTING_BOOL, NULL, false, "There are no row policies, so none hides rows"},
        {"search_path", "\"$user\", public", SETTING_PATH, NULL, false, "Relations are in the schema public"},
        {"server_encoding", "UTF8", SETTING_FIXED, NULL, false, "Encoding of all text"},
        {"server_version", "15.0", SETTING_FIXED, NULL, false, "PostgreSQL version whose protocol is spoken"},
        {"server_version_num", "150000", SETTING_FIXED, NULL, false, "The same as a number"},
        {"session_authorization", "leat", SETTING_FIXED, NULL, false, "The user that the client named"},
        {"standard_conforming_strings", "on", SETTING_FIXED, "true,yes,1", true, "Backslashes in '…' are plain"},
        {"statement_timeout", "0", SETTING_DURATION, NULL, false, "Ends a statement that takes longer; 0 = never"},
        {"synchronize_seqscans", "on", SETTING_BOOL, NULL, false, "Scans do not share work, so none starts midway"},
        {"TimeZone", "UTC", SETTING_ZONE, NULL, true, "Zone in which TIMESTAMPTZ is written as text"},
        {"transaction_isolation", "repeatable read", SETTING_CHOICE, LEVELS, false, "Of the running transaction"},
        {"transaction_read_only", "off", SETTING_BOOL, NULL, false, "Of the running transaction"},
};

struct query_setting {
        struct query_setting *next;
        const struct setting_info *info;
        char *value;
        char *start; /* what the startup packet said: RESET goes there; NULL: the table's default */
        char *undo;  /* changed in this transaction: the value before it */
        char *keep;  /* and by a plain SET: what stays when it commits */
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
        if (strcasecmp(name, "session_authorization") == 0 && s->info.user != NULL)
                return s->info.user;
        return info == NULL ? NULL : info->value;
}

/* ---- values ------------------------------------------------------------------------ */
/* The next word of a list with commas, blanks and quotes around it aside; false at the end. */
static bool next_word(const char **io_at, char *word, size_t room)
{
        const char *at = *io_at;
        if (*at == '\0')
                return false;
        size_t len = strcspn(at, ",");
        *io_at = at + len + (at[len] == ',');
        while (len != 0 && strchr(" \t\"", *at) != NULL) {
                at++;
                len--;
        }
        while (len != 0 && strchr(" \t\"", at[len - 1]) != NULL)
                len--;
        snprintf(word, room, "%.*s", (int)len, at);
        return true;
}

/* The choice that @value names, as the table writes it. */
static const char *find_choice(struct leat_arena *arena, const char *choices, const char *value)
{
        char word[64];
        while (choices != NULL && next_word(&choices, word, sizeof word)) {
                char *equals = strchr(word, '=');
                if (equals != NULL)
                        *equals = '\0';
                if (strcasecmp(word, value) == 0)
                        return leat_arena_strdup(arena, equals != NULL ? equals + 1 : word);
        }
        return NULL;
}

static const char *find_bool(const char *value)
{
        static const char *const on[] = {"on", "true", "yes", "1", "t", "y"};
        static const char *const off[] = {"off", "false", "no", "0", "f", "n"};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(on); i++) {
                if (strcasecmp(value, on[i]) == 0)
                        return "on";
                if (strcasecmp(value, off[i]) == 0)
                        return "off";
        }
        return NULL;
}

/* "ISO", "DMY", "ISO, DMY": the order stays what it was unless it is said. */
static const char *find_dates(struct leat_arena *arena, const char *old, const char *value)
{
        char word[32];
        const char *order = strlen(old) > 5 ? old + 5 : "MDY";
        bool any = false;
        while (next_word(&value, word, sizeof word)) {
                const char *found =
                        find_choice(arena, "MDY,DMY,YMD,us=MDY,noneuropean=MDY,european=DMY,euro=DMY", word);
                if (found != NULL)
                        order = found;
                else if (strcasecmp(word, "ISO") != 0)
                        return NULL;
                any = true;
        }
        return any ? leat_arena_printf(arena, "ISO, %s", order) : NULL;
}

static bool has_public(const char *path)
{
        char word[80];
        bool found = false;
        while (next_word(&path, word, sizeof word))
                found |= strcmp(word, "public") == 0;
        return found;
}

static int refused(const struct setting_info *info, const char *value, struct leat_error *err)
{
        char words[200];
        size_t len = 0;
        if (info->rule == SETTING_FIXED) {
                leat_error_set(err, LEAT_EUNSUPPORTED, "parameter \"%s\" cannot be changed", info->name);
                leat_error_hint(err, "It is always %s.", info->value);
                return LEAT_EUNSUPPORTED;
        }
        leat_error_set(err, LEAT_EINVAL, "invalid value for parameter \"%s\": \"%.200s\"", info->name, value);
        switch (info->rule) {
        case SETTING_DURATION:
                leat_error_hint(err, "Write milliseconds or a time with its unit: '500', '10 s'.");
                break;
        case SETTING_CHOICE:
                for (const char *c = info->choices; *c != '\0' && len + 2 < sizeof words; c++) {
                        words[len++] = *c;
                        if (*c == ',')
                                words[len++] = ' ';
                }
                words[len] = '\0';
                words[strcspn(words, "=")] = '\0';
                leat_error_hint(err, "Available values: %s.", strchr(info->choices, '=') != NULL ? info->value : words);
                break;
        case SETTING_BOOL:
                leat_error_hint(err, "Available values: on, off.");
                break;
        case SETTING_PATH:
                leat_error_hint(err, "All relations are in the schema public, which must stay in the path.");
                break;
        case SETTING_DATES:
                leat_error_hint(err, "Dates are written as ISO 8601; use strftime(time, format) for other forms.");
                break;
        default:
                break;
        }
        return LEAT_EINVAL;
}

/* @value as it is kept and shown. */
static int normal_value(struct query_session *s, struct leat_arena *arena, const struct setting_info *info,
                        const char *value, const char **ret, const struct leat_zone **ret_zone, struct leat_error *err)
{
        int64_t us;
        *ret = NULL;
        switch (info->rule) {
        case SETTING_ANY:
                *ret = value;
                break;
        case SETTING_FIXED:
                if (strcasecmp(value, leat_query_setting_get(s, info->name)) == 0 ||
                    find_choice(arena, info->choices, value) != NULL)
                        *ret = info->value;
                break;
        case SETTING_DURATION:
                if (leat_duration_parse(leat_view_str(value), &us))
                        *ret = value;
                break;
        case SETTING_CHOICE:
                *ret = find_choice(arena, info->choices, value);
                break;
        case SETTING_BOOL:
                *ret = find_bool(value);
                break;
        case SETTING_PATH:
                if (has_public(value))
                        *ret = value;
                break;
        case SETTING_DATES:
                *ret = find_dates(arena, leat_query_setting_get(s, info->name), value);
                break;
        case SETTING_ZONE:
                return leat_query_zone(s, value, ret_zone, ret, err);
        }
        return *ret == NULL ? refused(info, value, err) : 0;
}

/* ---- setting ------------------------------------------------------------------------ */
static void put_value(struct query_session *s, struct query_setting *set, const char *value)
{
        char *copy = leat_strdup(value);
        bool same = strcmp(copy, set->value) == 0;
        free(set->value);
        set->value = copy;
        if (set->info->rule == SETTING_ZONE) {
                const char *name;
                if (leat_query_zone(s, value, &s->zone, &name, NULL) != 0)
                        s->zone = NULL;
        }
        if (set->info->report && !same && s->info.report != NULL)
                s->info.report(s->info.door, set->info->name, value);
}

static bool of_transaction(const struct setting_info *info)
{
        return strncmp(info->name, "transaction_", 12) == 0;
}

static void replace_text(char **io_text, const char *value)
{
        char *copy = value == NULL ? NULL : leat_strdup(value);
        free(*io_text);
        *io_text = copy;
}

static int find_or_fail(const char *name, const struct setting_info **ret, struct leat_error *err)
{
        *ret = find_info(name);
        if (*ret != NULL)
                return 0;
        leat_error_set(err, LEAT_ENOTFOUND, "unrecognized configuration parameter \"%.100s\"", name);
        leat_error_hint(err, "SHOW ALL lists the parameters.");
        return LEAT_ENOTFOUND;
}

static struct query_setting *setting_of(struct query_session *s, const struct setting_info *info)
{
        struct query_setting *set = find_setting(s, info->name);
        if (set == NULL) {
                set = leat_calloc(1, sizeof *set);
                set->info = info;
                set->value = leat_strdup(leat_query_setting_get(s, info->name));
                set->next = s->settings;
                s->settings = set;
        }
        return set;
}

int leat_query_setting_set(struct query_session *s, const char *name, const char *value, bool local,
                           struct leat_error *err)
{
        const struct setting_info *info;
        const struct leat_zone *zone = NULL;
        const char *normal;
        LEAT_TRY(find_or_fail(name, &info, err));
        const struct query_setting *old = find_setting(s, name);
        if (value == NULL)
                value = old != NULL && old->start != NULL ? old->start : info->value;
        struct leat_arena *arena = leat_arena_new(256);
        int rc = normal_value(s, arena, info, value, &normal, &zone, err);
        if (rc == 0) {
                struct query_setting *set = setting_of(s, info);
                local |= of_transaction(info);
                if (s->txn != LEAT_PG_IDLE && set->undo == NULL)
                        set->undo = leat_strdup(set->value);
                if (s->txn != LEAT_PG_IDLE && !local)
                        replace_text(&set->keep, normal);
                put_value(s, set, normal);
        }
        leat_arena_free(arena);
        return rc;
}

int leat_query_setting_start(void *session, const char *name, const char *value, struct leat_error *err)
{
        struct query_session *s = session;
        const struct setting_info *info;
        LEAT_TRY(find_or_fail(name, &info, err));
        void (*report)(void *, const char *, const char *) = s->info.report;
        s->info.report = NULL; /* the greeting tells all of them */
        int rc = leat_query_setting_set(s, name, value, false, err);
        s->info.report = report;
        if (rc == 0) {
                struct query_setting *set = find_setting(s, name);
                replace_text(&set->start, set->value);
        }
        return rc;
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
        for (struct query_setting **at = &s->settings; *at != NULL;) {
                struct query_setting *set = *at;
                if (of_transaction(set->info)) {
                        *at = set->next;
                        free(set->value);
                        free(set->start);
                        free(set->undo);
                        free(set->keep);
                        free(set);
                        continue;
                }
                if (set->undo != NULL)
                        put_value(s, set, commit && set->keep != NULL ? set->keep : set->undo);
                replace_text(&set->undo, NULL);
                replace_text(&set->keep, NULL);
                at = &set->next;
        }
}

int64_t leat_query_setting_duration_us(const struct query_session *s, const char *name)
{
        int64_t us = 0;
        const char *value = leat_query_setting_get(s, name);
        return value != NULL && leat_duration_parse(leat_view_str(value), &us) ? us : 0;
}

bool leat_query_setting_wants(const struct query_session *s, const char *severity)
{
        char word[16];
        const char *at = MESSAGES, *least = leat_query_setting_get(s, "client_min_messages");
        bool reached = false;
        while (next_word(&at, word, sizeof word)) {
                reached |= strcasecmp(word, least) == 0;
                if (strcasecmp(word, severity) == 0)
                        return reached;
        }
        return true;
}

void leat_query_setting_free(struct query_session *s)
{
        while (s->settings != NULL) {
                struct query_setting *next = s->settings->next;
                free(s->settings->value);
                free(s->settings->start);
                free(s->settings->undo);
                free(s->settings->keep);
                free(s->settings);
                s->settings = next;
        }
}
