/* What is counted, and the text in which it is told. */
#include "server/metrics.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const http_route rows[] = {{.method = "POST", .path = "/attend"},
                                  {.method = "GET", .path = "/models/{name}"},
                                  {.method = "DELETE", .path = "/attend"}};
static const http_routes routes = {.rows = rows, .count = 3};
static const http_route elsewhere = {.method = "GET", .path = "/attend"};

static attn_arena *arena;
static metrics *m;

static void begin(void) {
    arena = attn_arena_new(NULL);
    m = metrics_new(&routes);
    cr_assert(arena != NULL && m != NULL);
}

static void end(void) {
    metrics_free(m);
    attn_arena_free(arena);
}

TestSuite(metrics, .init = begin, .fini = end);

/* The page, NUL-terminated. */
static const char *page(const metrics_gauge *gauges, size_t count, bool open_metrics) {
    wire_buffer out = {.arena = arena};
    cr_assert(metrics_write(m, gauges, count, open_metrics, &out) && wire_buffer_append(&out, "", 1));
    return out.bytes;
}

#define HAS(text, line) cr_expect_not_null(strstr(text, "\n" line "\n"), "%s is not in %s", line, text)

Test(metrics, a_request_is_told_by_route_method_and_status) {
    metrics_count(
        m, &(metrics_request){.route = &rows[0], .method = "POST", .status = 200, .duration = 1500000});
    metrics_count(m,
                  &(metrics_request){.route = &rows[0], .method = "POST", .status = 200, .duration = 50000});
    metrics_count(m, &(metrics_request){.route = &rows[1],
                                        .method = "BREW",
                                        .status = 405,
                                        .duration = 50001,
                                        .refused = PROBLEM_METHOD_NOT_ALLOWED});
    metrics_count(
        m, &(metrics_request){.route = &elsewhere, .method = "GET", .status = 404, .duration = 31000000000});
    const char *text = page(NULL, 0, false);
    HAS(text, "# TYPE attend_http_requests_total counter");
    HAS(text, "attend_http_requests_total{route=\"/attend\",method=\"POST\",status=\"200\"} 2");
    HAS(text, "attend_http_requests_total{route=\"/models/{name}\",method=\"other\",status=\"405\"} 1");
    HAS(text, "attend_http_requests_total{route=\"other\",method=\"GET\",status=\"404\"} 1");
    HAS(text, "attend_http_request_duration_seconds_bucket{route=\"/attend\",le=\"5e-05\"} 1");
    HAS(text, "attend_http_request_duration_seconds_bucket{route=\"/attend\",le=\"0.001\"} 1");
    HAS(text, "attend_http_request_duration_seconds_bucket{route=\"/attend\",le=\"0.002\"} 2");
    HAS(text, "attend_http_request_duration_seconds_bucket{route=\"/attend\",le=\"+Inf\"} 2");
    HAS(text, "attend_http_request_duration_seconds_sum{route=\"/attend\"} 0.00155");
    HAS(text, "attend_http_request_duration_seconds_count{route=\"/attend\"} 2");
    HAS(text, "attend_http_request_duration_seconds_bucket{route=\"/models/{name}\",le=\"5e-05\"} 0");
    HAS(text, "attend_http_request_duration_seconds_bucket{route=\"other\",le=\"30.0\"} 0");
    HAS(text, "attend_http_request_duration_seconds_bucket{route=\"other\",le=\"+Inf\"} 1");
    HAS(text, "attend_refused_total{code=\"method_not_allowed\"} 1");
    HAS(text, "attend_refused_total{code=\"not_found\"} 0");
}

Test(metrics, routes_of_one_path_count_together) {
    metrics_count(m, &(metrics_request){.route = &rows[0], .method = "POST", .status = 200});
    metrics_count(m, &(metrics_request){.route = &rows[2], .method = "DELETE", .status = 204});
    metrics_count(m, &(metrics_request){.method = "", .status = 0});
    metrics_count(NULL, &(metrics_request){.method = "GET"});
    const char *text = page(NULL, 0, false);
    HAS(text, "attend_http_requests_total{route=\"/attend\",method=\"DELETE\",status=\"204\"} 1");
    HAS(text, "attend_http_requests_total{route=\"other\",method=\"other\",status=\"none\"} 1");
    HAS(text, "attend_http_request_duration_seconds_count{route=\"/attend\"} 2");
    const char *count = strstr(text, "_count{route=\"/attend\"}");
    cr_assert_not_null(count);
    cr_expect_null(strstr(count + 1, "_count{route=\"/attend\"}"));
}

Test(metrics, stages_sizes_batches_and_rows) {
    metrics_count(m, &(metrics_request){.route = rows,
                                        .method = "POST",
                                        .status = 200,
                                        .stages = {[STAGE_COMPUTE] = 2000000},
                                        .bytes_in = 65,
                                        .bytes_out = 2000000000,
                                        .batch = 3});
    metrics_count_rows(m, "demo", 7);
    metrics_count_rows(m, "demo", 5);
    metrics_count_reload(m, RELOAD_PARTIAL);
    const char *text = page(NULL, 0, false);
    HAS(text, "attend_stage_duration_seconds_bucket{stage=\"compute\",le=\"0.001\"} 0");
    HAS(text, "attend_stage_duration_seconds_bucket{stage=\"compute\",le=\"0.002\"} 1");
    HAS(text, "attend_stage_duration_seconds_count{stage=\"parse\"} 0");
    HAS(text, "attend_http_request_bytes_bucket{le=\"64.0\"} 0");
    HAS(text, "attend_http_request_bytes_bucket{le=\"256.0\"} 1");
    HAS(text, "attend_http_answer_bytes_bucket{le=\"1073741824.0\"} 0");
    HAS(text, "attend_http_answer_bytes_sum 2000000000");
    HAS(text, "attend_batch_requests_bucket{le=\"2.0\"} 0");
    HAS(text, "attend_batch_requests_bucket{le=\"4.0\"} 1");
    HAS(text, "attend_rows_total{model=\"demo\"} 12");
    HAS(text, "attend_reloads_total{outcome=\"partial\"} 1");
    cr_expect_null(strstr(text, "attend_last_reload_timestamp_seconds 0\n"));
}

Test(metrics, gauges_follow_in_their_families_and_open_metrics_ends) {
    const metrics_gauge gauges[] = {
        {"attend_memory_bytes", "use=\"requests\"", "Memory.", 3},
        {"attend_memory_bytes", "use=\"models\"", NULL, 4e9},
        {"process_cpu_seconds_total", "", "CPU time.", 1.5},
        {"attend_build_info", "version=\"1\"", "Version.", 1},
    };
    const char *text = page(gauges, 4, false);
    HAS(text, "# HELP attend_memory_bytes Memory.\n# TYPE attend_memory_bytes gauge\n"
              "attend_memory_bytes{use=\"requests\"} 3\nattend_memory_bytes{use=\"models\"} 4000000000");
    HAS(text, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5");
    HAS(text, "# TYPE attend_build_info gauge");
    HAS(text, "attend_last_reload_timestamp_seconds 0");
    cr_expect_null(strstr(text, "# EOF"));
    text = page(gauges, 4, true);
    HAS(text, "# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 1.5");
    HAS(text, "# TYPE attend_build info\nattend_build_info{version=\"1\"} 1");
    HAS(text, "# TYPE attend_http_requests counter");
    cr_expect_str_eq(text + strlen(text) - 6, "# EOF\n");
}

Test(metrics, models_beyond_the_room_are_others) {
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "m%d", i);
        metrics_count_rows(m, name, 1);
    }
    const char *text = page(NULL, 0, false);
    HAS(text, "attend_rows_total{model=\"m255\"} 1");
    HAS(text, "attend_rows_total{model=\"other\"} 44");
    cr_expect_null(strstr(text, "m256"));
}

static void *count_many(void *unused) {
    (void)unused;
    char name[16];
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "m%d", i % 50);
        metrics_count_rows(m, name, 1);
        metrics_count(m, &(metrics_request){.route = rows, .method = "GET", .status = 200, .duration = 1});
    }
    return NULL;
}

Test(metrics, nothing_is_lost_between_threads) {
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    const char *text = page(NULL, 0, false);
    HAS(text, "attend_http_requests_total{route=\"/attend\",method=\"GET\",status=\"200\"} 80000");
    for (int i = 0; i < 50; i++) {
        char line[64];
        snprintf(line, sizeof line, "\nattend_rows_total{model=\"m%d\"} 1600\n", i);
        cr_expect_not_null(strstr(text, line), "%s", line);
    }
}
