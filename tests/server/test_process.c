/* What the process takes of the machine, held against what it is known to have taken. */
#include "server/process.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

Test(process, open_files_are_counted) {
    const process_usage before = process_read_usage();
    int files[10];
    for (size_t i = 0; i < 10; i++)
        cr_assert_geq(files[i] = open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
    const process_usage after = process_read_usage();
    cr_expect_eq(after.open_files, before.open_files + 10);
    cr_expect_leq(after.open_files, after.max_open_files);
    for (size_t i = 0; i < 10; i++)
        close(files[i]);
}

Test(process, memory_and_cpu_time_grow_by_what_is_taken) {
    const size_t bytes = (size_t)64 << 20;
    const process_usage before = process_read_usage();
    char *block = malloc(bytes);
    cr_assert_not_null(block);
    const clock_t began = clock();
    while (clock() - began < CLOCKS_PER_SEC / 10)
        for (size_t i = 0; i < bytes; i += 4096)
            ((volatile char *)block)[i] = 1;
    const process_usage after = process_read_usage();
    free(block);
    cr_expect_geq(after.resident, before.resident + 0.9 * (double)bytes);
    cr_expect_geq(after.virtual, before.virtual + (double)bytes);
    cr_expect_geq(after.cpu_seconds, before.cpu_seconds + 0.09);
    cr_expect_lt(after.cpu_seconds, before.cpu_seconds + 60);
}

Test(process, it_was_started_a_moment_ago) {
    const double started = process_read_usage().started, now = (double)time(NULL);
    cr_expect_leq(started, now + 1);
    cr_expect_geq(started, now - 60);
    cr_expect_eq(process_read_usage().started, started);
}
