#include "server/options.h"

#include "core/kernels/choose.h"
#include "core/kernels/openblas.h"
#include "core/kernels/sets.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
    OPTION_TEXT,
    OPTION_LIST,
    OPTION_NUMBER, /* a default of "none" is OPTIONS_NONE */
    OPTION_BYTES,
    OPTION_KERNELS, /* a set of kernels that this CPU has */
    OPTION_CHOICE,  /* one of the words of `argument`; the member becomes its place among them */
    OPTION_SWITCH,
    OPTION_COMMAND, /* a switch on the command line only: it asks for something else than serving */
} option_type;

typedef struct {
    const char *name;
    option_type type;
    size_t offset;        /* of the member in `options` */
    const char *standard; /* the default, as one would type it; NULL: the member stays 0 */
    uint64_t least, most; /* of a number or of bytes */
    const char *argument; /* what --help calls the value */
    const char *text;     /* what --help says */
} option;

#define AT(member) offsetof(options, member)
#define DAY_MS     ((uint64_t)24 * 3600 * 1000)

static const option table[] = {
    {"host", OPTION_TEXT, AT(host), "127.0.0.1", 0, 0, "ADDRESS",
     "address to listen on, or a name: its first address"},
    {"port", OPTION_NUMBER, AT(port), "8080", 0, 65535, "N", "port to listen on; 0 takes a free one"},
    {"admin-port", OPTION_NUMBER, AT(admin_port), "none", 0, 65535, "N",
     "/healthz, /readyz and /metrics also on this port of --host, in plain HTTP and without a key; 0 takes a "
     "free one"},
    {"model", OPTION_LIST, AT(models), "builtin:demo builtin:patterns", 0, 0, "[NAME=]SPEC",
     "a model to serve; repeatable, the first is the default model"},
    {"precision", OPTION_CHOICE, AT(precision), "float32", 0, 0, "float32|bfloat16|int8",
     "how weights are kept in memory, of models whose configuration does not say"},
    {"check", OPTION_SWITCH, AT(check), NULL, 0, 0, NULL,
     "load the models, print what would be served, exit"},
    {"probe", OPTION_COMMAND, AT(probe), NULL, 0, 0, NULL,
     "ask the service on --host and --admin-port, else --port, for its health; exit code 0 if it is well"},
    {"threads", OPTION_NUMBER, AT(threads), NULL, 1, 1024, "N",
     "compute threads; default: the CPUs that the process may use"},
    {"cpu", OPTION_KERNELS, AT(kernels), "auto", 0, 0, "KIND", "the kernels: " ATTN_SETS_TEXT},
    {"max-body", OPTION_BYTES, AT(max_body), "64MiB", 1, (uint64_t)1 << 40, "BYTES",
     "largest request body; above it 413"},
    {"max-answer", OPTION_BYTES, AT(max_answer), "256MiB", 1, (uint64_t)1 << 40, "BYTES",
     "largest answer, counted in its tensors; above it 413"},
    {"max-memory", OPTION_BYTES, AT(max_memory), NULL, 1, (uint64_t)1 << 50, "BYTES",
     "memory for all requests together, above it 429; default: half of the machine's or cgroup's"},
    {"max-queue", OPTION_NUMBER, AT(max_queue), "256", 0, 1000000, "N", "waiting requests; above it 429"},
    {"max-connections", OPTION_NUMBER, AT(max_connections), "1024", 1, 1000000, "N",
     "open connections; one that waits makes room, else a few above it get 503, more are closed"},
    {"results-memory", OPTION_BYTES, AT(results_memory), "256MiB", 0, (uint64_t)1 << 50, "BYTES",
     "memory for kept results; the least recently used makes room, a larger one gets 413"},
    {"results-ttl", OPTION_NUMBER, AT(results_ttl), "3600", 1, (uint64_t)366 * 24 * 3600, "SECONDS",
     "a kept result is removed after this time"},
    {"read-timeout", OPTION_NUMBER, AT(read_timeout), "30000", 1, DAY_MS, "MS",
     "a request must have arrived within this time, else 408"},
    {"idle-timeout", OPTION_NUMBER, AT(idle_timeout), "75000", 1, DAY_MS, "MS",
     "a connection without a request is closed after this time"},
    {"write-timeout", OPTION_NUMBER, AT(write_timeout), "30000", 1, DAY_MS, "MS",
     "a client that takes less of its answer than 64 KiB/s, averaged over this time, is cut off"},
    {"request-timeout", OPTION_NUMBER, AT(request_timeout), "30000", 1, DAY_MS, "MS",
     "a request must be computed within this time, else 504"},
    {"api-key-file", OPTION_TEXT, AT(api_key_file), NULL, 0, 0, "FILE",
     "keys, one a line, or sha256: of one; without one of them requests get 401"},
    {"cors-origin", OPTION_LIST, AT(cors_origins), NULL, 0, 0, "ORIGIN",
     "a site whose pages may use the service; repeatable"},
    {"allowed-host", OPTION_LIST, AT(allowed_hosts), NULL, 0, 0, "NAME",
     "a name under which the service may be asked, else 421; repeatable; default: the loopback names if "
     "--host is "
     "a loopback address, else any"},
    {"drain-seconds", OPTION_NUMBER, AT(drain_seconds), "5", 0, 3600, "N",
     "after SIGTERM: time between failing /readyz and closing the listener"},
    {"drain-timeout", OPTION_NUMBER, AT(drain_timeout), "30", 0, 24 * 3600, "N",
     "what still runs or is being sent so many seconds after the listener closed is cut off"},
    {"log-level", OPTION_CHOICE, AT(level), "info", 0, 0, "error|warning|info|debug", "how much is logged"},
    {"self-check", OPTION_CHOICE, AT(self_check), "on", 0, 0, "off|on",
     "before listening, hold each kernel in use against the plain one; a mismatch stops the start"},
    {"new-key", OPTION_COMMAND, AT(new_key), NULL, 0, 0, NULL,
     "print a fresh key and its line for the key file, exit"},
    {"version", OPTION_COMMAND, AT(version), NULL, 0, 0, NULL, "print the versions and the kernels, exit"},
    {"help", OPTION_COMMAND, AT(help), NULL, 0, 0, NULL, "print this, exit"},
};
enum { TABLE_SIZE = sizeof table / sizeof table[0] };

/* Where a value came from, for the sentence: "--port" or "ATTEND_PORT". */
typedef struct {
    const char *source;
    char *sentence;
    size_t size;
} complaint;

static bool complain(const complaint *c, const char *value, const char *expected) {
    snprintf(c->sentence, c->size, "%s: '%.200s' is not %s", c->source, value, expected);
    return false;
}

/* Digits alone, no sign, no spaces: *rest is what follows them. */
static bool read_digits(const char *text, uint64_t *number, const char **rest) {
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    *rest = end;
    return errno == 0;
}

static bool read_number(const option *row, const char *value, size_t *number, const complaint *c) {
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
    const size_t unit_count = row->type == OPTION_BYTES ? sizeof units / sizeof units[0] : 1;
    char expected[160];
    uint64_t read;
    const char *rest;
    if (row->standard != NULL && strcmp(row->standard, "none") == 0 && strcmp(value, "none") == 0) {
        *number = OPTIONS_NONE;
        return true;
    }
    snprintf(expected, sizeof expected, "a whole number from %" PRIu64 " to %" PRIu64 "%s", row->least,
             row->most, row->type == OPTION_BYTES ? " of bytes (KiB, MiB and GiB are understood)" : "");
    if (!read_digits(value, &read, &rest))
        return complain(c, value, expected);
    for (size_t i = 0; i < unit_count; i++)
        if (strcmp(rest, units[i].suffix) == 0) {
            if (read > row->most >> units[i].shift || read << units[i].shift < row->least)
                break;
            *number = (size_t)(read << units[i].shift);
            return true;
        }
    return complain(c, value, expected);
}

static bool read_choice(const option *row, const char *value, size_t *choice, const complaint *c) {
    char expected[128];
    size_t place = 0;
    for (const char *word = row->argument; word != NULL; place++) {
        const size_t length = strcspn(word, "|");
        if (strlen(value) == length && memcmp(value, word, length) == 0) {
            *choice = place;
            return true;
        }
        word = word[length] == '|' ? word + length + 1 : NULL;
    }
    snprintf(expected, sizeof expected, "one of %s", row->argument);
    return complain(c, value, expected);
}

static bool find_kernels(const char *name, const attn_kernels **kernels, const complaint *c) {
    char expected[256];
    *kernels = attn_kernels_named(name);
    if (*kernels != NULL)
        return true;
    if (strcmp(name, "openblas") == 0) {
        snprintf(c->sentence, c->size, "%s: %s", c->source, attn_openblas_library());
        return false;
    }
    snprintf(expected, sizeof expected, "auto or one of the kernels that this CPU has: %s",
             attn_kernels_names());
    return complain(c, name, expected);
}

static bool add_word(option_list *list, const option *row, const char *word, const complaint *c) {
    if (*word == '\0')
        return complain(c, word, row->argument);
    if (list->count == OPTIONS_LIST_MAX)
        return complain(c, word, "among the 256 that one service may have");
    char *copy = strdup(word);
    if (copy == NULL)
        return complain(c, word, "something that there is memory for");
    list->words[list->count++] = copy;
    return true;
}

/* Takes one value into its member. */
static bool set(options *o, const option *row, const char *value, const complaint *c) {
    void *member = (char *)o + row->offset;
    switch (row->type) {
    case OPTION_TEXT:
        *(const char **)member = value;
        return *value != '\0' || complain(c, value, row->argument);
    case OPTION_LIST:
        return add_word(member, row, value, c);
    case OPTION_NUMBER:
    case OPTION_BYTES:
        return read_number(row, value, member, c);
    case OPTION_KERNELS:
        return find_kernels(value, member, c);
    case OPTION_CHOICE:
        return read_choice(row, value, member, c);
    case OPTION_SWITCH:
    case OPTION_COMMAND:
        *(bool *)member = true;
        return true;
    }
    return false;
}

/* The words of a list, separated by spaces. */
static bool set_list(options *o, const option *row, const char *value, const complaint *c) {
    char *copy = strdup(value), *rest = NULL;
    if (copy == NULL)
        return complain(c, value, "something that there is memory for");
    bool good = true;
    for (char *word = strtok_r(copy, " ", &rest); good && word != NULL; word = strtok_r(NULL, " ", &rest))
        good = set(o, row, word, c);
    free(copy);
    return good;
}

/* A value of the environment: a list is separated by spaces, a switch is 0 or 1. Commands are not read from
 * it: ATTEND_VERSION may well be set for another reason. */
static bool set_from_environment(options *o, const option *row, const char *value, const complaint *c) {
    if (row->type == OPTION_SWITCH) {
        if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
            return complain(c, value, "0 or 1");
        *(bool *)((char *)o + row->offset) = *value == '1';
        return true;
    }
    return row->type == OPTION_LIST ? set_list(o, row, value, c) : set(o, row, value, c);
}

static void variable_name(const option *row, char *name, size_t size) {
    snprintf(name, size, "ATTEND_%s", row->name);
    for (char *p = name; *p != '\0'; p++)
        *p = *p == '-' ? '_' : (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
}

static bool read_environment(options *o, const bool *seen, char *sentence, size_t size) {
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        char name[64];
        variable_name(&table[i], name, sizeof name);
        const char *value = getenv(name);
        const complaint c = {name, sentence, size};
        /* Kubernetes sets ATTEND_PORT=tcp://10.0.0.1:80 in every pod beside a Service called "attend", and
         * ATTEND_ADMIN_PORT beside "attend-admin". */
        const bool is_port = table[i].offset == AT(port) || table[i].offset == AT(admin_port);
        if (value != NULL && is_port && strncmp(value, "tcp://", 6) == 0) {
            o->ignored_port = table[i].offset == AT(port) ? "ATTEND_PORT" : "ATTEND_ADMIN_PORT";
            value = NULL;
        }
        if (seen[i] || value == NULL || table[i].type == OPTION_COMMAND)
            continue;
        if (!set_from_environment(o, &table[i], value, &c))
            return false;
    }
    return true;
}

/* What getopt_long says of a flag: ':' no value; '?' with the flag's number, a value that it does not take;
 * '?' with a letter or 0, no such flag. */
static void complain_of_flag(int found, const char *word, char *sentence, size_t size) {
    if (found == '?' && optopt >= 256)
        snprintf(sentence, size, "--%s takes no value", table[optopt - 256].name);
    else if (found == '?' && optopt != 0)
        snprintf(sentence, size, "-%c: no such flag; --help lists them", optopt);
    else
        snprintf(sentence, size, "%.200s: %s", word,
                 found == ':' ? "a value is missing" : "no such flag; --help lists them");
}

/* Has the word the whole name of this flag? getopt_long takes an abbreviation too, and a script that uses one
 * breaks with the next flag that begins like it. */
static bool is_whole(const option *row, const char *word) {
    return strlen(row->name) == strcspn(word + 2, "=");
}

static bool read_flags(options *o, int argc, char **argv, bool *seen, char *sentence, size_t size) {
    struct option flags[TABLE_SIZE + 1] = {0};
    for (int i = 0; i < TABLE_SIZE; i++)
        flags[i] = (struct option){.name = table[i].name,
                                   .has_arg = table[i].argument == NULL ? no_argument : required_argument,
                                   .val = i + 256};
    opterr = 0;
    optind = 0; /* glibc: start anew, so that a program may read more than one command line */
    /* The plus: words are looked at one after the other, and the first that is not a flag ends it. */
    for (int found, at = 1; (found = getopt_long(argc, argv, "+:", flags, NULL)) != -1; at = optind) {
        if (found == ':' || found == '?') {
            complain_of_flag(found, argv[optind - 1], sentence, size);
            return false;
        }
        const option *row = &table[found - 256];
        if (!is_whole(row, argv[at])) {
            complain_of_flag('?', argv[at], sentence, size);
            return false;
        }
        char name[64];
        snprintf(name, sizeof name, "--%s", row->name);
        const complaint c = {name, sentence, size};
        seen[found - 256] = true;
        if (!set(o, row, optarg, &c))
            return false;
    }
    if (optind < argc) {
        snprintf(sentence, size, "'%.200s' is not a flag; --help lists them", argv[optind]);
        return false;
    }
    return true;
}

static bool set_defaults(options *o, char *sentence, size_t size) {
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        const complaint c = {table[i].name, sentence, size};
        if (table[i].standard != NULL && table[i].type != OPTION_LIST &&
            !set(o, &table[i], table[i].standard, &c))
            return false;
    }
    return true;
}

bool options_read(options *o, int argc, char **argv, char *sentence, size_t size) {
    bool seen[TABLE_SIZE] = {false};
    memset(o, 0, sizeof *o);
    if (!set_defaults(o, sentence, size) || !read_flags(o, argc, argv, seen, sentence, size) ||
        !read_environment(o, seen, sentence, size))
        return false;
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        const complaint c = {table[i].name, sentence, size};
        const bool empty =
            table[i].type == OPTION_LIST && ((option_list *)((char *)o + table[i].offset))->count == 0;
        if (empty && table[i].standard != NULL && !set_list(o, &table[i], table[i].standard, &c))
            return false;
    }
    return true;
}

void options_free(options *o) {
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        option_list *list = (option_list *)((char *)o + table[i].offset);
        for (; table[i].type == OPTION_LIST && list->count > 0; list->count--)
            free(list->words[list->count - 1]);
    }
}

void options_print_help(FILE *out) {
    fputs("attend-server: multi-head attention as a network service\n\n"
          "usage: attend-server [flags]\n\n"
          "Every flag is also an environment variable: --max-body is ATTEND_MAX_BODY. A flag wins.\n\n",
          out);
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        const option *row = &table[i];
        char flag[64];
        snprintf(flag, sizeof flag, "--%s %s", row->name, row->argument == NULL ? "" : row->argument);
        fprintf(out, "  %-22s %s", flag, row->text);
        if (row->standard != NULL)
            fprintf(out, " (%s)", row->standard);
        fputc('\n', out);
    }
    fputs(
        "\nSPEC is a directory with config.json and model.safetensors; a Hugging Face directory, whose "
        "attention "
        "layers\n"
        "are served as NAME.0, NAME.1, ..., or NAME.encoder.0, NAME.decoder.0, NAME.cross.0, ... (DIR#3 and "
        "DIR#cross.1\n"
        "serve one; DIR#encoder.layers.0.self_attn. takes the tensors under that prefix from a torch state "
        "dict); a .safetensors file that carries its configuration; "
        "init:embed_dim=512,num_heads=8,bias=true,\n"
        "dropout=0.0,seed=0; builtin:demo or builtin:patterns.\n\n"
        "SIGTERM drains and exits with 0; SIGINT drains without the delay; a second signal ends it at "
        "once.\n"
        "SIGHUP reads the models anew; what fails to load leaves the old ones serving.\n",
        out);
}
