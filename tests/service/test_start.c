/* How the program starts, and how it refuses to. */
#include "tests/service/clients.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs the program with these arguments and collects what it prints, both streams. Returns its exit code. */
static int run(const char *arguments, char *printed, size_t size) {
    char command[1024];
    snprintf(command, sizeof command, "%s %s 2>&1 </dev/null", ATTEND_SERVER, arguments);
    FILE *pipe = popen(command, "r");
    size_t n = 0;
    for (size_t got; n + 1 < size && (got = fread(printed + n, 1, size - 1 - n, pipe)) > 0;)
        n += got;
    printed[n] = '\0';
    const int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const struct {
    const char *arguments;
    int code;
    const char *said;
} runs[] = {
    {"--version", 0, "attend-server "},
    {"--version", 0, "\nOpenBLAS "},
    {"--check --cpu openblas", 0, "demo (default): "},
    {"--check --cpu fastest", 0, "demo (default): "},
    {"--version --cpu generic", 0, "\nkernels generic (this CPU has generic"},
    {"--check --cpu generic", 0, "demo (default): "},
    {"--cpu z80", 2, "--cpu: 'z80' is not auto or one of the kernels that this CPU has: generic"},
    {"--cpu generic,avx2", 2, "--cpu: 'generic,avx2' is not auto or one of"},
    {"--check --model init:precision=int8", 0, "bias, int8 (output error 0."},
    {"--check --precision bfloat16", 0, "demo (default): embed_dim 512, 8 heads of 64, bias, bfloat16"},
    {"--check --precision int8 --model init:precision=float32", 0, "bias, init layout"},
    {"--precision half", 2, "'half' is not one of float32|bfloat16|int8"},
    {"--help", 0, "--precision float32|bfloat16|int8"},
    {"--help", 0, "--max-connections N"},
    {"--check", 0, "demo (default): embed_dim 512, 8 heads of 64, bias, init layout"},
    {"--check", 0, "\npatterns: "},
    {"--check --model a=init:embed_dim=8,num_heads=2 --model b=builtin:demo", 0, "\nb: embed_dim 512"},
    {"--port 99999", 2, "--port"},
    {"--self-check maybe", 2, "'maybe' is not one of off|on"},
    {"--model nowhere/at-all", 2, "nowhere/at-all"},
    {"--model builtin:nothing", 2, "builtin:nothing"},
    {"--model init:embed_dim=10,num_heads=3", 2, "num_heads"},
    {"--model a=init: --model a=init:", 2, "\"a\""},
    {"--host 203.0.113.1 --port 0", 2, "203.0.113.1"},
    {"--host not.a.host.invalid", 2, "not.a.host.invalid"},
    {"--probe --port 1", 1, "cannot connect to 127.0.0.1, port 1"},
    {"--probe --host [::1] --port 1", 1, "cannot connect to [::1], port 1"},
    {"--host [] --port 0", 2, "cannot resolve '[]'"},
    {"--max-b 5 --check", 2, "--max-b: no such flag"},
};

Test(start, says_what_it_is_or_why_it_does_not_start) {
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        static char printed[65536];
        cr_assert_eq(run(runs[i].arguments, printed, sizeof printed), runs[i].code, "%s: %s",
                     runs[i].arguments, printed);
        cr_assert_not_null(strstr(printed, runs[i].said), "%s: %s", runs[i].arguments, printed);
        const char *complaint = strstr(printed, "attend-server: ");
        if (runs[i].code != 0) /* one line */
            cr_assert(complaint != NULL && strchr(complaint, '\n') == complaint + strlen(complaint) - 1, "%s",
                      printed);
    }
}

/* Has the program find this file where it looks for OpenBLAS. */
static void put_in_place_of_openblas(const char *file) {
    char folder[] = "/tmp/openblas-XXXXXX", link[64], *path = realpath(file, NULL);
    cr_assert(path != NULL && mkdtemp(folder) != NULL);
    snprintf(link, sizeof link, "%s/libopenblas.so.0", folder);
    cr_assert_eq(symlink(path, link), 0);
    setenv("LD_LIBRARY_PATH", folder, 1);
    free(path);
}

static void is_refused(const char *arguments, const char *sentence) {
    static char printed[65536];
    cr_assert_eq(run(arguments, printed, sizeof printed), 2, "%s: %s", arguments, printed);
    cr_assert_not_null(strstr(printed, sentence), "%s: %s", arguments, printed);
    cr_assert_eq(strchr(printed, '\n'), printed + strlen(printed) - 1, "%s: %s", arguments, printed);
}

static void starts(const char *arguments) {
    static char printed[65536];
    cr_assert_eq(run(arguments, printed, sizeof printed), 0, "%s: %s", arguments, printed);
}

/* With an OpenBLAS that computes wrongly: the start says so before it listens, unless it was told not to
 * look. */
Test(start, checks_its_kernels_first) {
    put_in_place_of_openblas(WRONG_OPENBLAS_LIBRARY);
    is_refused("--check --cpu openblas", "self-check: the product");
    is_refused("--check --cpu openblas", "k=3");
    starts("--check --cpu openblas --self-check off");
    /* nor does it matter where OpenBLAS does not multiply */
    starts("--check --cpu generic");
}

Test(start, says_why_openblas_cannot_be_used) {
    put_in_place_of_openblas(WRONG_OPENBLAS_LIBRARY);
    setenv("WRONG_OPENBLAS", "sequential", 1);
    is_refused("--check --cpu openblas", "--cpu: this OpenBLAS is a single-threaded build without locks");
    starts("--check");
    put_in_place_of_openblas("/etc/passwd");
    is_refused("--check --cpu openblas", "--cpu: OpenBLAS cannot be loaded: ");
    starts("--check");
    starts("--version");
}

static bool has_openblas(const server *s) {
    char path[64], line[512];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)s->pid);
    FILE *maps = fopen(path, "r");
    cr_assert_not_null(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        found = found || strstr(line, "openblas") != NULL;
    fclose(maps);
    return found;
}

/* It costs those nothing who do not multiply with it, and starts no threads of its own for those who do. */
Test(start, loads_openblas_only_where_it_multiplies) {
    unsetenv("OPENBLAS_NUM_THREADS");
    server others = server_start("--cpu", "generic", NULL), its = server_start("--cpu", "openblas", NULL);
    cr_expect(!has_openblas(&others));
    cr_expect(has_openblas(&its));
    cr_expect_eq(server_threads(&others), server_threads(&its));
    cr_expect_eq(server_stop(&others), 0);
    cr_expect_eq(server_stop(&its), 0);
}

/* As the program prints it itself. */
Test(start, takes_an_ipv6_address_with_its_brackets) {
    const int fd = socket(AF_INET6, SOCK_STREAM, 0);
    const struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const bool has_ipv6 = bind(fd, (const struct sockaddr *)&loopback, sizeof loopback) == 0;
    close(fd);
    if (!has_ipv6)
        cr_skip_test("no IPv6 here");
    char said[8192] = "";
    server s;
    cr_assert(server_try_start(&s, said, sizeof said, "--host", "[::1]", "--model", SMALL, NULL), "%s", said);
    cr_assert_not_null(strstr(s.url, "http://[::1]:"), "%s", s.url);
    cr_assert(answers(&s));
    cr_assert_eq(server_stop(&s), 0);
}
