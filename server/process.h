/* process.h: what this process takes of the machine, as the system counts it. */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

typedef struct {
    double started;                    /* seconds since 1970 */
    double cpu_seconds;                /* of all its threads */
    double resident, virtual;          /* bytes of memory */
    double open_files, max_open_files; /* descriptors */
} process_usage;

/* As it is now; 0 for what the system does not tell. */
process_usage process_read_usage(void);

#endif
