/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: events that were made beforehand: the lines of a file, one record each.
 *
 * Design    The outputs know topics by a compiled spec, so a spec with the one
 *           topic is made here; its events are never drawn. Lines have no key:
 *           each batch goes to one partition, the next to the next.
 */
#include <errno.h>
#include <stdio.h>

#include "cli_gen_int.h"

struct leat_gen_lines {
        FILE *file;
        const char *path;
        char *line; /* getline's */
        size_t size;
};

int leat_gen_lines_spec(const char *topic, int32_t partitions, struct leat_gen **ret_gen, struct leat_error *err)
{
        struct leat_buf spec = LEAT_BUF_INIT;
        leat_buf_add_str(&spec, "{\"topics\":[{\"topic\":");
        leat_buf_json_str(&spec, leat_view_str(topic));
        leat_buf_printf(&spec, ",\"partitions\":%d,\"fields\":{\"line\":\"\"}}]}", (int)partitions);
        int rc = leat_gen_open(leat_buf_view(&spec), "--topic", 1, 0, ret_gen, err);
        leat_buf_done(&spec);
        return rc;
}

int leat_gen_lines_open(const char *path, struct leat_gen_lines **ret_lines, struct leat_error *err)
{
        FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
        if (file == NULL)
                return leat_error_sys(err, errno, "cannot open %s", path);
        setvbuf(file, NULL, _IOFBF, 1 << 20);
        struct leat_gen_lines *lines = leat_calloc(1, sizeof *lines);
        *lines = (struct leat_gen_lines){.file = file, .path = path};
        *ret_lines = lines;
        return 0;
}

int leat_gen_lines_next(struct leat_gen_lines *lines, struct leat_gen_event *ret_event, bool *ret_end,
                        struct leat_error *err)
{
        ssize_t len = getline(&lines->line, &lines->size, lines->file);
        if (len < 0 && ferror(lines->file))
                return leat_error_sys(err, errno, "cannot read %s", lines->path);
        *ret_end = len < 0;
        if (len < 0)
                return 0;
        len -= lines->line[len - 1] == '\n';
        *ret_event = (struct leat_gen_event){.value = leat_view_of(lines->line, (size_t)len)};
        return 0;
}

void leat_gen_lines_close(struct leat_gen_lines *lines)
{
        if (lines == NULL)
                return;
        if (lines->file != stdin)
                fclose(lines->file);
        free(lines->line);
        free(lines);
}
