/* model_runs.h: the real binary, looking at a model, and the memory that this takes. */
#ifndef TEST_MODEL_RUNS_H
#define TEST_MODEL_RUNS_H

#include "tests/core/model/model_files.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MIB ((size_t)1 << 20)

/* AddressSanitizer keeps what is freed for a while: what a run takes with it says nothing. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_COUNTS false
#else
#define MEMORY_COUNTS true
#endif

static char *folder;

static inline void begin(void) {
    folder = new_folder();
}

static inline void end(void) {
    remove_folder(folder);
}

/* A file of the model, which is in FOLDER/m. */
static inline const char *inside(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "m/%s", name);
    return in_folder(folder, path);
}

#define MODEL "model.safetensors"
#define INDEX "model.safetensors.index.json"

typedef struct {
    int code;
    char said[4096]; /* on stderr */
    size_t peak;     /* bytes of memory */
} outcome;

/* Runs `attend-server --check --model SPEC` to its end. */
static inline outcome check(const char *spec) {
    outcome o = {.code = -1};
    int pipes[2], status;
    cr_assert_eq(pipe(pipes), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(100); /* for one that hangs */
        dup2(pipes[1], STDERR_FILENO);
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        execl(ATTEND_SERVER, ATTEND_SERVER, "--check", "--model", spec, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    size_t n = 0;
    for (ssize_t got; n + 1 < sizeof o.said && (got = read(pipes[0], o.said + n, sizeof o.said - 1 - n)) > 0;)
        n += (size_t)got;
    close(pipes[0]);
    struct rusage used;
    cr_assert_eq(wait4(pid, &status, 0, &used), pid);
    o.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    o.peak = (size_t)used.ru_maxrss * 1024;
    return o;
}

/* What a start takes without any model to speak of. */
static inline size_t empty_peak(void) {
    const outcome o = check("init:embed_dim=2,num_heads=1");
    cr_assert_eq(o.code, 0, "%s", o.said);
    return o.peak;
}

/* What a run took more than one without a model. */
static inline size_t more_than(size_t empty, const outcome *o) {
    return o->peak > empty ? o->peak - empty : 0;
}

#endif
