/* SPDX-License-Identifier: Apache-2.0 */
/* leat/cli: events a second of CPU time that the generator makes from a spec: bench_generate SPEC [COUNT]. */
#include <stdio.h>
#include <time.h>

#include "../cli_gen_int.h"
#include "leat/os.h"

int main(int argc, char **argv)
{
        struct leat_buf text = LEAT_BUF_INIT;
        struct leat_error err = {0};
        struct leat_gen *gen = NULL;
        struct leat_gen_event event;
        long count = argc > 2 ? atol(argv[2]) : 2000000;
        size_t bytes = 0;
        if (argc < 2 || leat_os_read_file(argv[1], 64 << 20, &text, &err) != 0 ||
            leat_gen_open(leat_buf_view(&text), argv[1], 1, 1764021295000000, &gen, &err) != 0 ||
            leat_gen_start(gen, true, &err) != 0) {
                fprintf(stderr, "bench_generate SPEC [COUNT]: %s\n", err.message);
                return 1;
        }
        clock_t start = clock();
        for (long i = 0; i < count; i++) {
                leat_gen_next(gen, 1764021295000000 + i * 80, &event);
                bytes += event.value.len;
        }
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        printf("%.2f M events/s of %zu bytes\n", (double)count / seconds / 1e6, bytes / (size_t)count);
        leat_gen_close(gen);
        leat_buf_done(&text);
        return 0;
}
