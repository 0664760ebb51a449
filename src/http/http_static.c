/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/http: files, out of the program or (for those who work on the console) out
 * of a folder. Browsers keep them and ask each time whether they are still the
 * same (ETag), so a new version of Leat never meets an old page.
 */
#include "http_int.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX ((size_t)8 * 1024 * 1024)

static const char *index_path(const char *path)
{
        return strcmp(path, "/") == 0 ? "/index.html" : path;
}

static const struct leat_http_file *file_find(const struct leat_http *http, const char *path)
{
        for (int i = 0; i < http->opts.file_count; i++) {
                if (strcmp(http->opts.files[i].path, path) == 0)
                        return &http->opts.files[i];
        }
        return NULL;
}

/* No hidden names and no way up. */
static bool path_is_plain(const char *path)
{
        return path[0] == '/' && path[1] != '\0' && !strstr(path, "/.") && !strstr(path, "//") && !strchr(path, '\\') &&
               strlen(path) < 512 && path[strlen(path) - 1] != '/';
}

static void dir_path(const struct leat_http *http, const char *path, char out[1024])
{
        snprintf(out, 1024, "%s%s", http->opts.file_dir, path);
}

static bool dir_has(const struct leat_http *http, const char *path)
{
        char full[1024];
        if (!http->opts.file_dir || !path_is_plain(path))
                return false;
        dir_path(http, path, full);
        return leat_os_exists(full);
}

bool leat_http_file_exists(const struct leat_http *http, const char *path)
{
        path = index_path(path);
        return dir_has(http, path) || file_find(http, path) != NULL;
}

static const char *type_of(const char *path)
{
        static const struct http_field TYPES[] = {
                {".html", "text/html; charset=utf-8"},
                {".js", "text/javascript; charset=utf-8"},
                {".mjs", "text/javascript; charset=utf-8"},
                {".css", "text/css; charset=utf-8"},
                {".svg", "image/svg+xml"},
                {".json", "application/json"},
                {".png", "image/png"},
                {".ico", "image/x-icon"},
                {".woff2", "font/woff2"},
                {".txt", "text/plain; charset=utf-8"},
                {".webmanifest", "application/manifest+json"},
        };
        const char *dot = strrchr(path, '.');
        for (size_t i = 0; dot && i < LEAT_ARRAY_LEN(TYPES); i++) {
                if (strcmp(dot, TYPES[i].name) == 0)
                        return TYPES[i].value;
        }
        return "application/octet-stream";
}

static bool accepts_gzip(const struct leat_http_req *req)
{
        const char *accept = leat_http_req_header(req, "accept-encoding");
        const char *at = accept ? strstr(accept, "gzip") : NULL;
        if (!at)
                return false;
        at += 4;
        at += strspn(at, " ");
        return strncmp(at, ";q=0", 4) != 0 || (at[4] == '.' && strspn(at + 5, "0") != strcspn(at + 5, ", "));
}

static void file_send(struct leat_http_req *req, const struct leat_http_file *file, struct leat_block *block)
{
        struct leat_buf head = LEAT_BUF_INIT;
        const char *match = leat_http_req_header(req, "if-none-match");
        bool is_same = match && (strstr(match, file->etag) || strcmp(match, "*") == 0);
        bool is_gzip = !is_same && file->gzip.len > 0 && accepts_gzip(req);
        leat_http_head(req, &head, is_same ? 304 : 200, is_same ? NULL : file->type);
        leat_buf_printf(&head, "Cache-Control: no-cache\r\nETag: %s\r\nVary: Accept-Encoding\r\n%s", file->etag,
                        is_gzip ? "Content-Encoding: gzip\r\n" : "");
        leat_http_send(req, &head, block, is_same ? leat_view_of(NULL, 0) : is_gzip ? file->gzip : file->data);
}

static void dir_send(struct leat_http_req *req, const char *path)
{
        char full[1024], etag[32];
        struct leat_buf buf = LEAT_BUF_INIT;
        struct leat_error err;
        dir_path(req->conn->http, path, full);
        if (leat_os_read_file(full, FILE_BYTES_MAX, &buf, &err) != 0) {
                leat_buf_done(&buf);
                leat_http_respond_error(req, 404, NULL, "there is no file %s", path);
                return;
        }
        snprintf(etag, sizeof(etag), "W/\"%016llx\"", (unsigned long long)leat_hash64(0, buf.data, buf.len));
        leat_buf_u8(&buf, 0); /* so that an empty file has a block, too */
        struct leat_block *block = leat_block_from_buf(&buf);
        struct leat_http_file file = {
                .path = path, .type = type_of(path), .etag = etag, .data = leat_view_of(block->data, block->len - 1)};
        file_send(req, &file, block);
        leat_block_unref(block);
}

void leat_http_respond_file(struct leat_http_req *req, const char *path)
{
        const struct leat_http *http = req->conn->http;
        path = index_path(path);
        if (dir_has(http, path)) {
                dir_send(req, path);
                return;
        }
        const struct leat_http_file *file = file_find(http, path);
        if (file)
                file_send(req, file, NULL);
        else
                leat_http_respond_error(req, 404, NULL, "there is no file %s", path);
}
