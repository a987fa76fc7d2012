/* Whoever reads the log learns no id. */
#include "server/routes/routes.h"

#include <criterion/criterion.h>
#include <string.h>

Test(log_path, shows_the_route_of_a_kept_result) {
    static const struct {
        const char *uri, *shown;
    } paths[] = {
        {"/attend?head=1", "/attend?head=1"},
        {"/", "/"},
        {"", ""},
        {"/results", "/results"},
        {"/results/", "/results/"},
        {"/results/secret", "/results/{id}"},
        {"/results/secret.json", "/results/{id}.json"},
        {"/results/secret.json?x=secret", "/results/{id}.json"},
        {"/results/secret/heatmap.png?head=1", "/results/{id}/heatmap.png"},
        {"/results/secret?x", "/results/{id}"},
        {"/results/secret.png", "/results/{id}..."},
        {"/results/secret/", "/results/{id}..."},
        {"/results/secret.json.secret", "/results/{id}..."},
        {"//results/secret", "/results/{id}"},
        {"/x?next=/results/secret", "/results/{id}"},
        {"http://host/results/secret", "/results/{id}"},
        {"/%72esul%74s%2Fsecret%2ejson", "/results/{id}.json"},
        {"/%2572esults/x", "/%2572esults/x"},
        {"/%zz%1", "/%zz%1"},
        {"/a%00b", "/a%00b"},
        {"/%00results/secret", "/results/{id}"},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char shown[64];
        http_log_path(&service_routes, paths[i].uri, shown, sizeof shown);
        cr_expect_str_eq(shown, paths[i].shown, "%s became %s", paths[i].uri, shown);
    }
}

Test(log_path, cuts_what_is_long) {
    char uri[5000], shown[20];
    memset(uri, 'a', sizeof uri);
    uri[sizeof uri - 1] = '\0';
    http_log_path(&service_routes, uri, shown, sizeof shown);
    cr_assert_eq(strlen(shown), 19);
    memcpy(uri, "/results/", 9);
    http_log_path(&service_routes, uri, shown, sizeof shown);
    cr_assert_str_eq(shown, "/results/{id}");
}
