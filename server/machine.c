#include "server/machine.h"

#include <sched.h>
#include <stdbool.h>
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

/* ---- Control groups ---- */

/* Lowers *least to the limit of the group whose files are in `folder`, or to what it has left of that, if it
 * has one. */
typedef void lower_limit(const char *folder, double *least);

/* Which group the process is in, in the hierarchy of version 2 (controller NULL), or in that of a controller
 * of version 1: the path in the line of /proc/self/cgroup (cgroups(7)), or "" if there is none. */
static void find_group(const char *membership, const char *controller, char *path, int size) {
    char line[4096];
    FILE *file = fopen(membership, "re");
    *path = '\0';
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *list = strchr(line, ':'), *where = list == NULL ? NULL : strchr(list + 1, ':');
        if (where == NULL)
            continue;
        *where++ = *list++ = '\0';
        where[strcspn(where, "\n")] = '\0';
        bool found = controller == NULL && *list == '\0';
        char *rest;
        for (char *name = strtok_r(list, ",", &rest); controller != NULL && name != NULL;
             name = strtok_r(NULL, ",", &rest))
            found |= strcmp(name, controller) == 0;
        if (found)
            snprintf(path, (size_t)size, "%s", where);
    }
    if (file != NULL)
        fclose(file);
}

/* Applies the limits of a group and of all above it: the least of them holds. In a container the path may be
 * that of the host, of which only its own group is to be seen, at the root of the mount; what is not there
 * has no limit. */
static void lower_to_all(const char *mount, const char *path, lower_limit *lower, double *least) {
    char folder[4096 + 64];
    const int mount_length = (int)strlen(mount);
    int length = snprintf(folder, sizeof folder, "%s%s", mount, path);
    if (length >= (int)sizeof folder)
        length = mount_length;
    for (; length >= mount_length; length--)
        if (length == mount_length || folder[length] == '\0' || folder[length] == '/') {
            folder[length] = '\0';
            lower(folder, least);
        }
}

static void lower_to(double limit, double *least) {
    if (limit > 0 && limit < *least)
        *least = limit;
}

static void lower_cpus_2(const char *folder, double *least) {
    char path[4200], line[64];
    double used, period;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (read_line(path, line, sizeof line) && sscanf(line, "%lf %lf", &used, &period) == 2 && period > 0)
        lower_to(used / period, least);
}

static void lower_cpus_1(const char *folder, double *least) {
    char path[4200];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    const double used = read_number(path, -1);
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    const double period = read_number(path, 0);
    if (period > 0)
        lower_to(used / period, least);
}

static void lower_memory_2(const char *folder, double *least) {
    char path[4200];
    snprintf(path, sizeof path, "%s/memory.max", folder);
    lower_to(read_number(path, 0), least);
}

static void lower_memory_1(const char *folder, double *least) {
    char path[4200];
    snprintf(path, sizeof path, "%s/memory.limit_in_bytes", folder);
    lower_to(read_number(path, 0), least);
}

/* What a group uses but for what it has read and written of files, which the system takes back before it runs
 * out: without that, a group that has read much has nothing left. */
static double memory_in_use(const char *folder, const char *usage, const char *inactive, const char *active) {
    char path[4200], line[128], key[64];
    double bytes;
    snprintf(path, sizeof path, "%s/%s", folder, usage);
    double in_use = read_number(path, 0);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "%63s %lf", key, &bytes) == 2 &&
            (strcmp(key, inactive) == 0 || strcmp(key, active) == 0))
            in_use -= bytes;
    if (file != NULL)
        fclose(file);
    return in_use < 0 ? 0 : in_use;
}

static void lower_left(double limit, double in_use, double *least) {
    if (limit > 0 && limit - in_use < *least)
        *least = limit > in_use ? limit - in_use : 0;
}

static void lower_left_2(const char *folder, double *least) {
    char path[4200];
    snprintf(path, sizeof path, "%s/memory.max", folder);
    lower_left(read_number(path, 0), memory_in_use(folder, "memory.current", "inactive_file", "active_file"),
               least);
}

static void lower_left_1(const char *folder, double *least) {
    char path[4200];
    snprintf(path, sizeof path, "%s/memory.limit_in_bytes", folder);
    lower_left(read_number(path, 0),
               memory_in_use(folder, "memory.usage_in_bytes", "total_inactive_file", "total_active_file"),
               least);
}

static double least_limit(const char *root, const char *controller, lower_limit *lower_2,
                          lower_limit *lower_1, double least) {
    char membership[4096], mount[4096], path[4096];
    snprintf(membership, sizeof membership, "%s/proc/self/cgroup", root);
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
    find_group(membership, NULL, path, sizeof path);
    lower_to_all(mount, path, lower_2, &least);
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, controller);
    find_group(membership, controller, path, sizeof path);
    lower_to_all(mount, path, lower_1, &least);
    return least;
}

/* ---- What there is ---- */

size_t machine_cpus_of(const char *root, size_t affine) {
    const double limit = least_limit(root, "cpu", lower_cpus_2, lower_cpus_1, (double)affine);
    const size_t whole = (size_t)limit;
    return whole + (limit > (double)whole ? 1 : 0);
}

size_t machine_memory_of(const char *root, size_t bytes) {
    return (size_t)least_limit(root, "memory", lower_memory_2, lower_memory_1, (double)bytes);
}

size_t machine_memory_left_of(const char *root) {
    char path[4096], line[128];
    double left = 0x1p62, kibibytes;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %lf kB", &kibibytes) == 1)
            left = kibibytes * 1024;
    if (file != NULL)
        fclose(file);
    return (size_t)least_limit(root, "memory", lower_left_2, lower_left_1, left);
}

size_t machine_cpus(void) {
    size_t affine = 1;
    cpu_set_t *set = CPU_ALLOC(8192);
    const size_t bytes = CPU_ALLOC_SIZE(8192);
    if (set != NULL && sched_getaffinity(0, bytes, set) == 0 && CPU_COUNT_S(bytes, set) > 0)
        affine = (size_t)CPU_COUNT_S(bytes, set);
    CPU_FREE(set);
    return machine_cpus_of("", affine);
}

size_t machine_memory(void) {
    return machine_memory_of("", (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE));
}

size_t machine_memory_left(void) {
    return machine_memory_left_of("");
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
