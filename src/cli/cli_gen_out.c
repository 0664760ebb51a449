/* SPDX-License-Identifier: Apache-2.0 */
/* leat/cli: the generator's output as lines, to a file or standard output. */
#include <errno.h>
#include <stdio.h>

#include "cli_gen_int.h"

struct file_out {
        struct leat_gen_out out;
        const struct leat_gen *gen;
        FILE *file;
        char *path;
        bool envelope;
        struct leat_buf line;
};

static int failed(const struct file_out *f, struct leat_error *err)
{
        return leat_error_sys(err, errno, "cannot write %s", f->file == stdout ? "to standard output" : f->path);
}

static void write_envelope(struct file_out *f, const struct leat_gen_event *event)
{
        leat_buf_add_str(&f->line, "{\"topic\":");
        leat_buf_json_str(&f->line, leat_view_str(f->gen->topics[event->topic].name));
        leat_buf_add_str(&f->line, ",\"key\":");
        if (event->keyed)
                leat_buf_json_str(&f->line, event->key);
        else
                leat_buf_add_str(&f->line, "null");
        leat_buf_add_str(&f->line, ",\"value\":");
        if (event->flawed) /* perhaps no JSON */
                leat_buf_json_str(&f->line, event->value);
        else
                leat_buf_add_view(&f->line, event->value);
        leat_buf_u8(&f->line, '}');
}

static int file_put(struct leat_gen_out *out, const struct leat_gen_event *event, struct leat_error *err)
{
        struct file_out *f = (struct file_out *)out;
        leat_buf_clear(&f->line);
        if (f->envelope)
                write_envelope(f, event);
        else
                leat_buf_add_view(&f->line, event->value);
        leat_buf_u8(&f->line, '\n');
        if (fwrite(f->line.data, 1, f->line.len, f->file) != f->line.len)
                return failed(f, err);
        out->done++;
        return 0;
}

static int file_flush(struct leat_gen_out *out, bool wait, struct leat_error *err)
{
        struct file_out *f = (struct file_out *)out;
        (void)wait;
        return fflush(f->file) == 0 ? 0 : failed(f, err);
}

static void file_close(struct leat_gen_out *out)
{
        struct file_out *f = (struct file_out *)out;
        if (f->file != stdout && f->file != NULL)
                fclose(f->file);
        leat_buf_done(&f->line);
        free(f->path);
        free(f);
}

static const struct leat_gen_out_ops file_ops = {file_put, file_flush, file_close};

int leat_gen_out_file(const struct leat_gen *gen, const char *path, bool envelope, struct leat_gen_out **ret_out,
                      struct leat_error *err)
{
        FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
        if (file == NULL)
                return leat_error_sys(err, errno, "cannot open %s", path);
        setvbuf(file, NULL, _IOFBF, 1 << 20);
        struct file_out *f = leat_calloc(1, sizeof *f);
        *f = (struct file_out){
                .out.ops = &file_ops, .gen = gen, .file = file, .path = leat_strdup(path), .envelope = envelope};
        *ret_out = &f->out;
        return 0;
}
