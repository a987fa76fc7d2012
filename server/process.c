#include "server/process.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double seconds_of(clockid_t clock) {
    struct timespec now;
    return clock_gettime(clock, &now) == 0 ? (double)now.tv_sec + (double)now.tv_nsec * 1e-9 : 0;
}

/* Reads a file of /proc/self that is one line. */
static void read_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "re");
    *line = '\0';
    if (file != NULL && fgets(line, size, file) == NULL)
        *line = '\0';
    if (file != NULL)
        fclose(file);
}

static double started;

/* Field 22 of /proc/self/stat, ticks since the machine was started (proc(5)); the fields are counted from
 * behind the program's name, which may hold anything. Read once: the clocks are set now and then. */
static void read_start(void) {
    char line[1024];
    double ticks = 0;
    read_line("/proc/self/stat", line, sizeof line);
    const char *rest = strrchr(line, ')');
    if (rest != NULL &&
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lf",
               &ticks) == 1)
        started =
            seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME) + ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Newer systems (Linux 6.2) tell how many there are as the size of their folder; else they are counted, and
 * the one that is open for that is not. */
static double count_open_files(void) {
    struct stat folder;
    if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0)
        return (double)folder.st_size;
    DIR *files = opendir("/proc/self/fd");
    double count = -1;
    if (files == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(files)) != NULL;)
        count += *entry->d_name != '.';
    closedir(files);
    return count;
}

process_usage process_read_usage(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const double page = (double)sysconf(_SC_PAGESIZE);
    char line[256];
    struct rlimit files = {0};
    process_usage u = {0};
    pthread_once(&once, read_start);
    read_line("/proc/self/statm", line, sizeof line);
    sscanf(line, "%lf %lf", &u.virtual, &u.resident);
    getrlimit(RLIMIT_NOFILE, &files);
    u.started = started;
    u.cpu_seconds = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    u.virtual *= page;
    u.resident *= page;
    u.open_files = count_open_files();
    u.max_open_files = (double)files.rlim_cur;
    return u;
}
