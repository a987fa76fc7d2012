/* machine.h: what this process may use of the machine it runs on. */
#ifndef SERVER_MACHINE_H
#define SERVER_MACHINE_H

#include <stddef.h>

/* CPUs that the process may use: the lesser of its affinity mask and the CPU quota of its cgroup and of those
 * above it, rounded up; at least 1. */
size_t machine_cpus(void);

/* The same of a machine whose / is `root`, with so many CPUs in the affinity mask. */
size_t machine_cpus_of(const char *root, size_t affine);

/* Bytes of memory that the process may use: the lesser of the machine's and the limit of its cgroup and of
 * those above it. */
size_t machine_memory(void);

/* The same of a machine whose / is `root`, with so many bytes. */
size_t machine_memory_of(const char *root, size_t bytes);

/* Bytes of memory that the process could still take: the lesser of what the system calls available and of
 * what the limits of its cgroup and of those above it leave. Files that are held in memory do not count as
 * used. */
size_t machine_memory_left(void);

/* The same of a machine whose / is `root`. */
size_t machine_memory_left_of(const char *root);

/* Raises the limit of open files as far as allowed and returns it. */
size_t machine_open_files(void);

#endif
