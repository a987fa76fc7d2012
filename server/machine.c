#include "server/machine.h"

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reads the first line of a small file; 0 if there is none. */
static int read_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    const int found = fgets(line, size, file) != NULL;
    fclose(file);
    return found;
}

/* A whole number, or `otherwise` where there is none ("max", no such file). */
static double read_number(const char *path, double otherwise) {
    char line[64], *end;
    if (!read_line(path, line, sizeof line))
        return otherwise;
    const double number = strtod(line, &end);
    return end == line ? otherwise : number;
}

/* CPUs by the quota of the cgroup (version 2, then version 1); 0 if there is none. A container sees its own
 * cgroup at the root of the mount. */
static double quota(void) {
    char line[64];
    double used, period;
    if (read_line("/sys/fs/cgroup/cpu.max", line, sizeof line))
        return sscanf(line, "%lf %lf", &used, &period) == 2 && period > 0 ? used / period : 0;
    used = read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", -1);
    period = read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us", 0);
    return used > 0 && period > 0 ? used / period : 0;
}

size_t machine_cpus(void) {
    size_t cpus = 1;
    cpu_set_t *set = CPU_ALLOC(8192);
    const size_t bytes = CPU_ALLOC_SIZE(8192);
    if (set != NULL && sched_getaffinity(0, bytes, set) == 0)
        cpus = (size_t)CPU_COUNT_S(bytes, set);
    CPU_FREE(set);
    const double limit = quota();
    if (limit > 0 && limit < (double)cpus)
        cpus = (size_t)limit + (limit > (double)(size_t)limit ? 1 : 0);
    return cpus == 0 ? 1 : cpus;
}

size_t machine_memory(void) {
    const double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    double limit = read_number("/sys/fs/cgroup/memory.max", machine);
    limit = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", limit);
    return (size_t)(limit < machine && limit > 0 ? limit : machine);
}

size_t machine_open_files(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return 1024;
    if (files.rlim_cur < files.rlim_max) {
        const rlim_t before = files.rlim_cur;
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0)
            files.rlim_cur = before;
    }
    return files.rlim_cur == RLIM_INFINITY ? SIZE_MAX : (size_t)files.rlim_cur;
}
