#include "tests/service/harness.h"

#include "tests/random.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <curl/curl.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void *keep(void *block) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct kept {
        struct kept *before;
        void *block;
    } * last; /* where a search for leaks finds them */
    struct kept *k = malloc(sizeof *k);
    pthread_mutex_lock(&lock);
    *k = (struct kept){last, block};
    last = k;
    pthread_mutex_unlock(&lock);
    return block;
}

/* Waits for the line that says where the server listens; false if there is none before it ends. */
static bool read_address(server *s, char *said, size_t size) {
    size_t n = 0;
    said[0] = '\0';
    while (n + 1 < size) {
        const ssize_t got = read(s->log, said + n, size - 1 - n);
        if (got <= 0)
            return false;
        n += (size_t)got;
        said[n] = '\0';
        const char *line = strstr(said, "listening on http://");
        if (line != NULL && strchr(line, '\n') != NULL) {
            sscanf(line, "listening on %63s", s->url);
            s->port = atoi(strrchr(s->url, ':') + 1);
            return true;
        }
    }
    return false;
}

static server launch(const char *flag, va_list flags) {
    const char *arguments[64] = {ATTEND_SERVER, "--port", "0"};
    int count = 3, pipes[2];
    for (; flag != NULL; flag = va_arg(flags, const char *))
        arguments[count++] = flag;
    cr_assert_eq(pipe(pipes), 0);
    server s = {.log = pipes[0]};
    s.pid = fork();
    if (s.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails must leave nothing behind */
        dup2(pipes[1], STDERR_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        execv(ATTEND_SERVER, (char **)(void *)arguments);
        _exit(127);
    }
    close(pipes[1]);
    return s;
}

server server_start(const char *flag, ...) {
    char said[8192];
    va_list flags;
    va_start(flags, flag);
    server s = launch(flag, flags);
    va_end(flags);
    cr_assert(read_address(&s, said, sizeof said), "the server does not listen: %s", said);
    return s;
}

bool server_try_start(server *s, char *said, size_t size, const char *flag, ...) {
    va_list flags;
    va_start(flags, flag);
    *s = launch(flag, flags);
    va_end(flags);
    return read_address(s, said, size);
}

int server_collect(server *s, char *said, size_t size) {
    int status;
    size_t n = strlen(said);
    for (ssize_t got; n + 1 < size && (got = read(s->log, said + n, size - 1 - n)) > 0; said[n] = '\0')
        n += (size_t)got;
    waitpid(s->pid, &status, 0);
    close(s->log);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int server_wait(server *s) {
    char said[65536] = "";
    const int code = server_collect(s, said, sizeof said);
    if (getenv("SHOW_LOG") != NULL || strstr(said, "Sanitizer") != NULL ||
        strstr(said, "runtime error") != NULL)
        fputs(said, stderr);
    return code;
}

char *server_end(server *s, int signal_number) {
    char *said = keep(calloc(1, 65536));
    kill(s->pid, signal_number);
    cr_assert_eq(server_collect(s, said, 65536), 0, "%s", said);
    return said;
}

int server_stop(server *s) {
    kill(s->pid, SIGINT); /* drains without SIGTERM's delay */
    return server_wait(s);
}

/* Entries of this folder of the process's in /proc. */
static size_t count_entries(const server *s, const char *name) {
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)s->pid, name);
    DIR *folder = opendir(path);
    cr_assert_not_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

size_t server_descriptors(const server *s) {
    return count_entries(s, "fd");
}

size_t server_threads(const server *s) {
    return count_entries(s, "task");
}

bool server_settles(const server *s, size_t count) {
    for (int i = 0; i < 1000 && server_descriptors(s) > count; i++)
        usleep(10000);
    return server_descriptors(s) <= count;
}

static size_t collect(char *bytes, size_t size, size_t count, void *context) {
    char **text = context;
    const size_t before = *text == NULL ? 0 : strlen(*text);
    *text = realloc(*text, before + size * count + 1);
    memcpy(*text + before, bytes, size * count);
    (*text)[before + size * count] = '\0';
    return size * count;
}

answer http_method(const server *s, const char *method, const char *path, const char *body,
                   const char *header) {
    char url[512];
    answer a = {.body = calloc(1, 1), .headers = calloc(1, 1)};
    struct curl_slist *list = NULL;
    snprintf(url, sizeof url, "%s%s", s->url, path);
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &a.body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &a.headers);
    if (body != NULL) {
        if (header == NULL || strncmp(header, "Content-Type:", 13) != 0)
            list = curl_slist_append(list, "Content-Type: application/json");
        list = curl_slist_append(list, "Expect:");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    }
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    if (header != NULL)
        list = curl_slist_append(list, header);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a.status);
    keep(a.body);
    keep(a.headers);
    a.length = strlen(a.body);
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    return a;
}

answer http_request(const server *s, const char *path, const char *body, const char *header) {
    return http_method(s, body == NULL ? "GET" : "POST", path, body, header);
}

int raw_connect(const server *s) {
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)s->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

bool raw_send(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        const ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        count -= (size_t)sent;
    }
    return true;
}

void raw_text(int fd, const char *text) {
    raw_send(fd, text, strlen(text));
}

char *raw_read(int fd, const char *until) {
    char *text = calloc(1, 1), piece[4096];
    for (ssize_t got;
         (until == NULL || strstr(text, until) == NULL) && (got = recv(fd, piece, sizeof piece, 0)) > 0;)
        collect(piece, 1, (size_t)got, &text);
    return keep(text);
}

char *make_request(size_t B, size_t L, size_t E, const char *more, unsigned seed) {
    const size_t size = B * L * (E * 12 + 4) + 4 * B + strlen(more) + 100;
    char *text = keep(malloc(size));
    uint64_t state = seed;
    size_t n = (size_t)snprintf(text, size, "{%s\"query\":[", more);
    for (size_t b = 0; b < B; b++) {
        n += (size_t)snprintf(text + n, size - n, "%s[", b == 0 ? "" : ",");
        for (size_t i = 0; i < L; i++)
            for (size_t e = 0; e < E; e++)
                n += (size_t)snprintf(text + n, size - n, "%s%.6f%s",
                                      e > 0   ? ","
                                      : i > 0 ? ",["
                                              : "[",
                                      (double)random_float(&state), e + 1 == E ? "]" : "");
        n += (size_t)snprintf(text + n, size - n, "]");
    }
    snprintf(text + n, size - n, "]}");
    return text;
}
