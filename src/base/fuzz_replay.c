/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: main() of a fuzz target in an ordinary test run: replays every
 * file of the folders given as arguments through LLVMFuzzerTestOneInput, first
 * the empty input, then each file whole and cut at a few places. One TAP line
 * a folder. The same target linked with libFuzzer explores (`make fuzz`).
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* In memory of exactly its size, so that a sanitizer sees a read beyond it. */
static void replay_bytes(const uint8_t *data, size_t bytes)
{
        uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
        if (copy == NULL)
                abort();
        if (bytes > 0)
                memcpy(copy, data, bytes);
        LLVMFuzzerTestOneInput(copy, bytes);
        free(copy);
}

static int replay_file(const char *path)
{
        FILE *file = fopen(path, "rb");
        if (file == NULL)
                return 0; /* a folder */
        uint8_t *data = NULL;
        size_t bytes = 0, got;
        do {
                data = realloc(data, bytes + 65536);
                if (data == NULL)
                        abort();
                got = fread(data + bytes, 1, 65536, file);
                bytes += got;
        } while (got > 0);
        fclose(file);
        printf("# %s\n", path); /* names the input when the next call crashes */
        fflush(stdout);
        replay_bytes(data, bytes);
        for (size_t cut = 1; cut < 16 && bytes > 0; cut++)
                replay_bytes(data, bytes * cut / 16);
        free(data);
        return 1;
}

int main(int argc, char **argv)
{
        int failed = 0;
        printf("1..%d\n", argc - 1);
        for (int i = 1; i < argc; i++) {
                char path[4096];
                int count = 0;
                struct dirent *entry;
                DIR *dir = opendir(argv[i]);
                replay_bytes(NULL, 0);
                while (dir != NULL && (entry = readdir(dir)) != NULL) {
                        snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
                        if (entry->d_name[0] != '.')
                                count += replay_file(path);
                }
                if (dir != NULL)
                        closedir(dir);
                failed += count == 0;
                printf("%s %d - %d inputs of %s\n", count > 0 ? "ok" : "not ok", i, count, argv[i]);
        }
        return failed > 0;
}
