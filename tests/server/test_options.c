#include "server/options.h"

#include "core/kernels/choose.h"
#include "core/kernels/packed.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static char sentence[512];

/* Reads a command line given as words separated by spaces. */
static bool read_line(options *o, const char *line) {
    static char copy[1024];
    static char *words[64];
    int count = 0;
    words[count++] = "attend-server";
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        words[count++] = word;
    words[count] = NULL;
    *sentence = '\0';
    return options_read(o, count, words, sentence, sizeof sentence);
}

Test(options, have_the_contract_s_defaults) {
    options o;
    cr_assert(read_line(&o, ""), "%s", sentence);
    cr_assert_str_eq(o.host, "127.0.0.1");
    cr_assert_eq(o.port, 8080);
    cr_assert_eq(o.models.count, 2);
    cr_assert_str_eq(o.models.words[0], "builtin:demo");
    cr_assert_str_eq(o.models.words[1], "builtin:patterns");
    cr_assert_eq(o.max_body, 64u << 20);
    cr_assert_eq(o.max_answer, 256u << 20);
    cr_assert_eq(o.max_queue, 256);
    cr_assert_eq(o.max_connections, 1024);
    cr_assert_eq(o.read_timeout, 30000);
    cr_assert_eq(o.idle_timeout, 75000);
    cr_assert_eq(o.write_timeout, 30000);
    cr_assert_eq(o.request_timeout, 30000);
    cr_assert_eq(o.drain_seconds, 5);
    cr_assert_eq(o.drain_timeout, 30);
    cr_assert_eq(o.level, LOG_INFO);
    cr_assert(o.self_check);
    cr_assert_eq(o.kernels, attn_kernels_named("auto"));
    cr_assert(!o.check && !o.help && !o.version);
    options_free(&o);
}

Test(options, a_flag_wins_over_the_environment) {
    options o;
    setenv("ATTEND_PORT", "1111", 1);
    setenv("ATTEND_MAX_BODY", "2KiB", 1);
    setenv("ATTEND_CPU", "generic", 1);
    setenv("ATTEND_MODEL", "a=init:seed=1 b=init:seed=2", 1);
    setenv("ATTEND_CHECK", "1", 1);
    setenv("ATTEND_NO_SUCH_THING", "1", 1);
    setenv("ATTEND_VERSION", "0.1.0", 1);
    cr_assert(read_line(&o, "--port 2222"), "%s", sentence);
    cr_assert_eq(o.port, 2222);
    cr_assert_eq(o.max_body, 2048);
    cr_assert_str_eq(o.kernels->name, "generic");
    cr_assert_eq(o.models.count, 2);
    cr_assert_str_eq(o.models.words[1], "b=init:seed=2");
    cr_assert(o.check);
    options_free(&o);
    cr_assert(read_line(&o, "--model=c=init:seed=3 --port=0"), "%s", sentence);
    cr_assert_eq(o.models.count, 1);
    cr_assert_str_eq(o.models.words[0], "c=init:seed=3");
    cr_assert_eq(o.port, 0);
    options_free(&o);
}

/* The words are those of core, in its order. */
Test(options, precisions) {
    options o;
    char line[64];
    cr_assert(read_line(&o, ""), "%s", sentence);
    cr_expect_eq(o.precision, ATTN_FLOAT32);
    options_free(&o);
    for (int i = 0; i < ATTN_PRECISIONS; i++) {
        snprintf(line, sizeof line, "--precision %s", attn_precision_name((attn_precision)i));
        cr_assert(read_line(&o, line), "%s", sentence);
        cr_expect_eq(o.precision, (size_t)i, "%s", line);
        options_free(&o);
    }
    setenv("ATTEND_PRECISION", "int8", 1);
    cr_assert(read_line(&o, ""), "%s", sentence);
    cr_expect_eq(o.precision, ATTN_INT8);
    options_free(&o);
    cr_assert(read_line(&o, "--precision bfloat16"), "%s", sentence);
    cr_expect_eq(o.precision, ATTN_BFLOAT16);
    options_free(&o);
    unsetenv("ATTEND_PRECISION");
}

Test(options, kubernetes_s_port_is_ignored) {
    options o;
    setenv("ATTEND_PORT", "tcp://10.0.0.1:80", 1);
    cr_assert(read_line(&o, ""), "%s", sentence);
    cr_assert_eq(o.port, 8080);
    cr_assert_str_eq(o.ignored_port, "ATTEND_PORT");
    options_free(&o);
    unsetenv("ATTEND_PORT");
    setenv("ATTEND_ADMIN_PORT", "tcp://10.0.0.1:80", 1);
    cr_assert(read_line(&o, ""), "%s", sentence);
    cr_assert_eq(o.admin_port, OPTIONS_NONE);
    cr_assert_str_eq(o.ignored_port, "ATTEND_ADMIN_PORT");
    options_free(&o);
    unsetenv("ATTEND_ADMIN_PORT");
}

Test(options, a_number_may_be_none) {
    options o;
    cr_assert(read_line(&o, ""), "%s", sentence);
    cr_assert_eq(o.admin_port, OPTIONS_NONE);
    cr_assert_null(o.ignored_port);
    options_free(&o);
    setenv("ATTEND_ADMIN_PORT", "9000", 1);
    cr_assert(read_line(&o, ""), "%s", sentence);
    cr_assert_eq(o.admin_port, 9000);
    options_free(&o);
    cr_assert(read_line(&o, "--admin-port none"), "%s", sentence);
    cr_assert_eq(o.admin_port, OPTIONS_NONE);
    options_free(&o);
    cr_assert(read_line(&o, "--admin-port 0"), "%s", sentence);
    cr_assert_eq(o.admin_port, 0);
    options_free(&o);
    unsetenv("ATTEND_ADMIN_PORT");
}

/* Each bad line, and what its sentence must name. */
static const char *const bad_lines[][3] = {
    {"--port 65536", "--port", "65535"},
    {"--port -1", "--port", "-1"},
    {"--port 80x", "--port", "80x"},
    {"--port", "--port", "missing"},
    {"--port none", "--port", "none"},
    {"--admin-port 65536", "--admin-port", "65535"},
    {"--threads 0", "--threads", "from 1"},
    {"--max-body 0", "--max-body", "bytes"},
    {"--max-body 99999999999999999999999", "--max-body", "bytes"},
    {"--max-body 9999999999GiB", "--max-body", "bytes"},
    {"--max-body 17179869185GiB", "--max-body", "bytes"}, /* 1 GiB, but for 2^64 bytes */
    {"--max-body 5MB", "--max-body", "5MB"},
    {"--write-timeout 0", "--write-timeout", "from 1"},
    {"--write-timeout 30s", "--write-timeout", "30s"},
    {"--drain-timeout -1", "--drain-timeout", "from 0"},
    {"--max-queue 1KiB", "--max-queue", "1KiB"},
    {"--log-level loud", "--log-level", "warning"},
    {"--self-check yes", "--self-check", "off|on"},
    {"--precision float16", "--precision: 'float16'", "float32|bfloat16|int8"},
    {"--cpu z80", "--cpu: 'z80'", "this CPU has: generic"},
    {"--cpu=", "--cpu", "this CPU has"},
    {"--no-such-flag", "--no-such-flag", "--help"},
    {"--max-b 5", "--max-b: no such flag", "--help"},
    {"--max-b=5", "--max-b=5: no such flag", "--help"},
    {"--port 1 --hos ::1", "--hos: no such flag", "--help"},
    {"--vers", "--vers: no such flag", "--help"},
    {"--max 5", "--max: no such flag", "--help"},
    {"--port 1 extra --check", "'extra'", "--help"},
    {"extra", "extra", "--help"},
    {"--check=1", "--check", "takes no value"},
    {"-pq", "-p", "no such flag"},
};

Test(options, a_bad_value_gets_one_sentence) {
    for (size_t i = 0; i < sizeof bad_lines / sizeof bad_lines[0]; i++) {
        options o;
        cr_assert_not(read_line(&o, bad_lines[i][0]), "%s", bad_lines[i][0]);
        cr_assert_not_null(strstr(sentence, bad_lines[i][1]), "%s: %s", bad_lines[i][0], sentence);
        cr_assert_not_null(strstr(sentence, bad_lines[i][2]), "%s: %s", bad_lines[i][0], sentence);
        cr_assert_null(strchr(sentence, '\n'));
        options_free(&o);
    }
    options o;
    setenv("ATTEND_MAX_QUEUE", "many", 1);
    cr_assert_not(read_line(&o, ""));
    cr_assert_not_null(strstr(sentence, "ATTEND_MAX_QUEUE"), "%s", sentence);
    options_free(&o);
    unsetenv("ATTEND_MAX_QUEUE");
    setenv("ATTEND_CPU", "z80", 1);
    cr_assert_not(read_line(&o, ""));
    cr_assert_not_null(strstr(sentence, "ATTEND_CPU: 'z80'"), "%s", sentence);
    options_free(&o);
}
