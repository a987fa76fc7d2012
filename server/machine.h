/* machine.h: what this process may use of the machine it runs on. */
#ifndef SERVER_MACHINE_H
#define SERVER_MACHINE_H

#include <stddef.h>

/* CPUs that the process may use: the lesser of its affinity mask and its cgroup's CPU quota, rounded up; at
 * least 1. */
size_t machine_cpus(void);

/* Bytes of memory that the process may use: the lesser of the machine's and its cgroup's limit. */
size_t machine_memory(void);

/* Raises the limit of open files as far as allowed and returns it. */
size_t machine_open_files(void);

#endif
