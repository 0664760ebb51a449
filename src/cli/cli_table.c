/* SPDX-License-Identifier: Apache-2.0 */
/* leat/cli: results as tables, as psql prints them. */
#include <stdio.h>

#include "cli_int.h"

/* Columns of the terminal that a text takes: characters, not bytes. */
static size_t text_width(const char *text, size_t len)
{
        size_t n = 0;
        for (size_t i = 0; i < len; i++)
                n += ((unsigned char)text[i] & 0xC0) != 0x80;
        return n;
}

/* The longest line of a cell. */
static size_t cell_width(const char *text)
{
        size_t width = 0;
        while (text != NULL) {
                size_t len = strcspn(text, "\n");
                width = LEAT_MAX(width, text_width(text, len));
                text = text[len] == '\n' ? text + len + 1 : NULL;
        }
        return width;
}

static void pad(size_t n, char c)
{
        while (n-- > 0)
                putchar(c);
}

/* Line @line of a cell; true when more follow. */
static bool print_line(const char *text, int line, size_t width, bool right, bool last)
{
        for (; text != NULL && line > 0; line--) {
                text = strchr(text, '\n');
                text = text == NULL ? NULL : text + 1;
        }
        size_t len = text == NULL ? 0 : strcspn(text, "\n");
        bool more = text != NULL && text[len] == '\n';
        size_t shown = text == NULL ? 0 : text_width(text, len);
        putchar(' ');
        if (right)
                pad(width - shown, ' ');
        printf("%.*s", (int)len, text == NULL ? "" : text);
        if (!right && (!last || more))
                pad(width - shown, ' ');
        if (more || !last)
                putchar(more ? '+' : ' ');
        return more;
}

static void print_row(const struct cli_pg_result *r, char *const *cells, const size_t *widths)
{
        bool more = true;
        for (int line = 0; more; line++) {
                more = false;
                for (uint32_t c = 0; c < r->column_count; c++) {
                        more |= print_line(cells[c], line, widths[c], r->right[c], c + 1 == r->column_count);
                        if (c + 1 < r->column_count)
                                putchar('|');
                }
                putchar('\n');
        }
}

void cli_print_table(const struct cli_pg_result *r)
{
        size_t *widths = leat_calloc(r->column_count + 1, sizeof *widths);
        for (uint32_t c = 0; c < r->column_count; c++) {
                widths[c] = cell_width(r->names[c]);
                for (uint32_t i = 0; i < r->row_count; i++)
                        widths[c] = LEAT_MAX(widths[c], cell_width(r->cells[(size_t)i * r->column_count + c]));
        }
        for (uint32_t c = 0; c < r->column_count; c++) {
                size_t space = widths[c] - text_width(r->names[c], strlen(r->names[c]));
                putchar(' ');
                pad(space / 2, ' ');
                fputs(r->names[c], stdout);
                if (c + 1 < r->column_count) {
                        pad(space - space / 2, ' ');
                        fputs(" |", stdout);
                }
        }
        putchar('\n');
        for (uint32_t c = 0; c < r->column_count; c++) {
                pad(widths[c] + 2, '-');
                if (c + 1 < r->column_count)
                        putchar('+');
        }
        putchar('\n');
        for (uint32_t i = 0; i < r->row_count; i++)
                print_row(r, r->cells + (size_t)i * r->column_count, widths);
        printf("(%u row%s)\n\n", r->row_count, r->row_count == 1 ? "" : "s");
        free(widths);
}
