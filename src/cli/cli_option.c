/* SPDX-License-Identifier: Apache-2.0 */
/* leat/cli: options and errors, the same for all commands. */
#include <stdio.h>

#include "cli_int.h"

static const struct cli_option *find(const struct cli_option *options, size_t count, const char *word, size_t len)
{
        for (size_t i = 0; i < count; i++) {
                if (strlen(options[i].name) == len && strncmp(options[i].name, word, len) == 0)
                        return &options[i];
                if (options[i].letter != NULL && strlen(options[i].letter) == len &&
                    strncmp(options[i].letter, word, len) == 0)
                        return &options[i];
        }
        return NULL;
}

int cli_options(const char *command, const char *usage, int argc, char **argv, const struct cli_option *options,
                size_t count, const char **rest, int *io_rest)
{
        int rest_max = rest == NULL ? 0 : *io_rest, n = 0;
        for (int i = 1; i < argc; i++) {
                const char *word = argv[i], *equals = strchr(word, '=');
                size_t len =
                        word[0] == '-' && word[1] == '-' && equals != NULL ? (size_t)(equals - word) : strlen(word);
                if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
                        fputs(usage, stdout);
                        return -1;
                }
                const struct cli_option *o = word[0] == '-' && word[1] != '\0' ? find(options, count, word, len) : NULL;
                if (o == NULL && (word[0] != '-' || word[1] == '\0') && n < rest_max) {
                        rest[n++] = word;
                        continue;
                }
                if (o == NULL) {
                        fprintf(stderr, "leat %s: unknown option %s\n\n%s", command, word, usage);
                        return 2;
                }
                if (o->flag != NULL) {
                        *o->flag = true;
                        continue;
                }
                if (len == strlen(word) && ++i == argc) {
                        fprintf(stderr, "leat %s: %s needs a value\n", command, word);
                        return 2;
                }
                const char *value = len == strlen(word) ? argv[i] : equals + 1;
                if (strcmp(o->name, "--set") == 0) {
                        if (cli_set(command, value) != 0)
                                return 2;
                        continue;
                }
                *o->value = value;
        }
        if (io_rest != NULL)
                *io_rest = n;
        return 0;
}

int cli_fail(const char *command, const struct leat_error *err)
{
        fprintf(stderr, "leat %s: %s\n", command, err->message);
        if (err->hint[0] != '\0')
                fprintf(stderr, "hint: %s\n", err->hint);
        return 1;
}

int cli_set(const char *command, const char *text)
{
        struct leat_error err = {0};
        const char *equals = strchr(text, '=');
        if (equals == NULL) {
                fprintf(stderr, "leat %s: --set %s: write name=value\n", command, text);
                return 2;
        }
        char *name = leat_strndup(text, (size_t)(equals - text));
        int rc = leat_param_set(name, equals + 1, &err);
        free(name);
        if (rc != 0)
                (void)cli_fail(command, &err);
        return rc == 0 ? 0 : 2;
}
