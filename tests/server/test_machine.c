/* What cgroups allow, read from made-up file systems. */
#include "server/machine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void make_root(void) {
    snprintf(root, sizeof root, "/tmp/attend-machine-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

static void remove_root(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(machine, .init = make_root, .fini = remove_root);

/* Writes one file under the root, and the folders that it stands in. */
static void put(const char *path, const char *text) {
    char whole[512];
    const int length = snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (int i = (int)strlen(root) + 1; i < length; i++)
        if (whole[i] == '/') {
            whole[i] = '\0';
            mkdir(whole, 0700);
            whole[i] = '/';
        }
    FILE *file = fopen(whole, "w");
    cr_assert_not_null(file, "%s", whole);
    fputs(text, file);
    fclose(file);
}

Test(machine, without_cgroups_there_is_all) {
    cr_assert_eq(machine_cpus_of(root, 7), 7);
    cr_assert_eq(machine_memory_of(root, 1000), 1000);
    put("proc/self/cgroup", "nonsense\n::\n0::/deep/er\n");
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/memory.max", "max\n");
    cr_assert_eq(machine_cpus_of(root, 7), 7);
    cr_assert_eq(machine_memory_of(root, 1000), 1000);
}

/* A container with a namespace of its own sees its cgroup as the root. */
Test(machine, a_quota_at_the_root_counts) {
    static const struct {
        const char *text;
        size_t cpus;
    } cases[] = {{"200000 100000\n", 2}, {"150000 100000\n", 2}, {"1000 100000\n", 1}, {"25000 10000\n", 3},
                 {"900000 100000\n", 4}, {"max 100000\n", 4},    {"0 0\n", 4},         {"", 4}};
    put("proc/self/cgroup", "0::/\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("sys/fs/cgroup/cpu.max", cases[i].text);
        cr_assert_eq(machine_cpus_of(root, 4), cases[i].cpus, "%s", cases[i].text);
    }
}

/* Of nested cgroups each may have a limit, and the least holds, at whatever level it stands. */
Test(machine, the_least_quota_on_the_way_up_counts) {
    static const char *const levels[] = {"sys/fs/cgroup/cpu.max", "sys/fs/cgroup/a.slice/cpu.max",
                                         "sys/fs/cgroup/a.slice/b/cpu.max",
                                         "sys/fs/cgroup/a.slice/b/c.scope/cpu.max"};
    put("proc/self/cgroup", "0::/a.slice/b/c.scope\n");
    for (size_t least = 0; least < 4; least++) {
        for (size_t i = 0; i < 4; i++)
            put(levels[i], i == least ? "300000 100000\n" : i == 3 ? "max 100000\n" : "500000 100000\n");
        cr_assert_eq(machine_cpus_of(root, 16), 3, "%zu", least);
    }
    put("sys/fs/cgroup/a.slice/other/cpu.max", "100000 100000\n"); /* not on the way */
    put("sys/fs/cgroup/a.sl/cpu.max", "100000 100000\n");
    cr_assert_eq(machine_cpus_of(root, 16), 3);
    put("sys/fs/cgroup/a.slice/memory.max", "5000\n");
    put("sys/fs/cgroup/memory.max", "9000\n");
    cr_assert_eq(machine_memory_of(root, 100000), 5000);
}

/* The host's path, of which a container sees nothing but its own cgroup at the root of the mount. */
Test(machine, a_path_that_is_not_there_is_no_limit) {
    put("proc/self/cgroup", "0::/kubepods/pod1/x\n");
    put("sys/fs/cgroup/cpu.max", "200000 100000\n");
    cr_assert_eq(machine_cpus_of(root, 8), 2);
    put("proc/self/cgroup", "0::/../../somewhere\n");
    cr_assert_eq(machine_cpus_of(root, 8), 2);
}

Test(machine, version_1_counts) {
    put("proc/self/cgroup", "12:cpuset:/other\n4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n0::/init\n");
    put("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "250000\n");
    put("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "777\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    cr_assert_eq(machine_cpus_of(root, 8), 3);
    cr_assert_eq(machine_memory_of(root, 1000000), 777);
    put("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "-1\n");
    cr_assert_eq(machine_cpus_of(root, 8), 8);
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n"); /* above it */
    cr_assert_eq(machine_cpus_of(root, 8), 1);
}

Test(machine, what_is_left_is_what_the_system_calls_available) {
    cr_assert_gt(machine_memory_left_of(root), (size_t)1 << 60, "unknown: not refused");
    put("proc/meminfo", "MemTotal:  64 kB\nMemFree:   7 kB\nMemAvailable:   20 kB\nBuffers:   1 kB\n");
    cr_assert_eq(machine_memory_left_of(root), 20 * 1024);
}

/* Of nested cgroups the one with the least left counts, and not the one with the least limit. */
Test(machine, what_a_cgroup_uses_is_not_left) {
    put("proc/meminfo", "MemAvailable: 1000 kB\n");
    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/memory.max", "500000\n");
    put("sys/fs/cgroup/a/memory.current", "450000\n");
    put("sys/fs/cgroup/a/b/memory.max", "200000\n");
    put("sys/fs/cgroup/a/b/memory.current", "120000\n");
    cr_assert_eq(machine_memory_left_of(root), 50000);
    put("sys/fs/cgroup/a/memory.stat",
        "anon 50000\nfile 400000\ninactive_file 300000\nactive_file 100000\nworkingset 9\n");
    cr_assert_eq(machine_memory_left_of(root), 80000, "files in memory can go");
    put("sys/fs/cgroup/a/b/memory.current", "200001\n");
    cr_assert_eq(machine_memory_left_of(root), 0);
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    cr_assert_eq(machine_memory_left_of(root), 450000);
    put("sys/fs/cgroup/a/memory.max", "2000000\n");
    cr_assert_eq(machine_memory_left_of(root), 1000 * 1024);
}

Test(machine, version_1_tells_what_is_used_too) {
    put("proc/meminfo", "MemAvailable: 1000 kB\n");
    put("proc/self/cgroup", "3:memory:/docker/abc\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "123456789\n");
    put("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "700000\n");
    put("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "650000\n");
    cr_assert_eq(machine_memory_left_of(root), 50000);
    put("sys/fs/cgroup/memory/docker/abc/memory.stat",
        "inactive_file 1\ntotal_inactive_file 30000\ntotal_active_file 20000\n");
    cr_assert_eq(machine_memory_left_of(root), 100000);
}

Test(machine, this_one_has_some) {
    cr_assert_gt(machine_memory_left(), 1 << 20);
    cr_assert_leq(machine_memory_left(), machine_memory());
    cr_assert_geq(machine_cpus(), 1);
    cr_assert_leq(machine_cpus(), (size_t)sysconf(_SC_NPROCESSORS_CONF));
    cr_assert_gt(machine_memory(), 1 << 20);
}
