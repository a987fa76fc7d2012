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

/* With an OpenBLAS that computes wrongly: the start says so before it listens, unless it was told not to
 * look. */
Test(start, checks_its_kernels_first) {
    static char printed[65536];
    /* a sanitizer wants to be the first library, but has nothing to do with this one */
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
    setenv("LD_PRELOAD", WRONG_PRODUCT_LIBRARY, 1);
    setenv("ATTEND_CPU", "openblas", 1);
    cr_assert_eq(run("--check", printed, sizeof printed), 2, "%s", printed);
    cr_assert_not_null(strstr(printed, "self-check: the product"), "%s", printed);
    cr_assert_not_null(strstr(printed, "m=3"), "%s", printed);
    cr_assert_eq(run("--check --self-check off", printed, sizeof printed), 0, "%s", printed);
    /* nor does it matter where OpenBLAS does not multiply */
    cr_assert_eq(run("--check --cpu generic", printed, sizeof printed), 0, "%s", printed);
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
