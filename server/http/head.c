#include "server/http/head.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define AT(member) offsetof(request_head, member)

/* The first HEAD_LISTS are the lists. */
static const struct {
    const char *name;
    size_t offset;
} headers[] = {
    {"Accept", AT(accept)},
    {"Accept-Encoding", AT(accept_encoding)},
    {"Content-Encoding", AT(content_encoding)},
    {"If-None-Match", AT(if_none_match)},
    {"Connection", AT(connection)},
    {"X-Request-Id", AT(request_id)}, /* of two, none is what an id looks like */
    {"Content-Type", AT(content_type)},
    {"Content-Length", AT(content_length)},
    {"Host", AT(host)},
    {"X-Request-Timeout", AT(request_timeout)},
    {"Authorization", AT(authorization)},
    {"Origin", AT(origin)},
    {"Sec-Fetch-Site", AT(fetch_site)},
    {"Access-Control-Request-Method", AT(request_method)},
    {"Inference-Header-Content-Length", AT(inference_header)},
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static head_part trim(head_part part) {
    while (part.length > 0 && is_blank(part.text[part.length - 1]))
        part.length--;
    while (part.length > 0 && is_blank(*part.text)) {
        part.text++;
        part.length--;
    }
    return part;
}

/* A string of its own, where the part is not the end of one already. NULL: no memory. */
static const char *string_of(attn_arena *arena, head_part part) {
    if (part.text[part.length] == '\0')
        return part.text;
    char *copy = attn_arena_alloc(arena, part.length + 1);
    if (copy != NULL) {
        memcpy(copy, part.text, part.length);
        copy[part.length] = '\0';
    }
    return copy;
}

/* Adds a line to those that a list has had. */
static bool join(wire_buffer *joined, attn_arena *arena, const char **list, head_part line) {
    if (joined->bytes == NULL) {
        joined->arena = arena;
        if (!wire_buffer_append(joined, *list, strlen(*list) + 1))
            return false;
    }
    joined->length--; /* the NUL */
    if (!wire_buffer_append(joined, ", ", 2) || !wire_buffer_append(joined, line.text, line.length) ||
        !wire_buffer_append(joined, "", 1))
        return false;
    *list = joined->bytes;
    return true;
}

static bool take(request_head *head, attn_arena *arena, size_t i, head_part line) {
    const char **value = (const char **)(void *)((char *)head + headers[i].offset);
    if (*value == NULL)
        return (*value = string_of(arena, line)) != NULL;
    if (i < HEAD_LISTS)
        return join(&head->joined[i], arena, value, line);
    /* The same length twice is allowed (RFC 9110, 8.6). */
    if (value != &head->content_length || strlen(*value) != line.length ||
        memcmp(*value, line.text, line.length) != 0)
        head->repeated = headers[i].name;
    return true;
}

bool head_take(request_head *head, attn_arena *arena, const char *name, const char *value) {
    const size_t length = strlen(name);
    if (value == NULL)
        value = "";
    head->spaced_name |= length > 0 && is_blank(name[length - 1]);
    /* Not trimmed: what counts is whether the library has taken it for chunked. */
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        head->bad_transfer_encoding |= head->transfer_encoding || strcasecmp(value, "chunked") != 0;
        head->transfer_encoding = true;
    }
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        if (strcasecmp(name, headers[i].name) == 0)
            return take(head, arena, i, trim((head_part){value, strlen(value)}));
    return true;
}

bool head_set_path(request_head *head, attn_arena *arena, const char *path) {
    head->path = path;
    const size_t scheme = strncasecmp(path, "http://", 7) == 0    ? 7
                          : strncasecmp(path, "https://", 8) == 0 ? 8
                                                                  : 0;
    if (scheme == 0)
        return true;
    const size_t length = strcspn(path + scheme, "/");
    head->path = path[scheme + length] == '\0' ? "/" : path + scheme + length;
    head->host = string_of(arena, (head_part){path + scheme, length});
    return head->host != NULL;
}

static size_t span_hex(const char *text) {
    return strspn(text, "0123456789abcdefABCDEF");
}

/* How long the name or address is that `text` begins with. */
static size_t span_name(const char *text) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=";
    size_t n = 0;
    if (*text == '[') { /* an IPv6 address, or one of the future */
        n = 1;
        while (text[n] != '\0' && (strchr(":%", text[n]) != NULL || strchr(allowed, text[n]) != NULL))
            n++;
        return text[n] == ']' && n > 2 ? n + 1 : 0;
    }
    for (;;) {
        n += strspn(text + n, allowed);
        if (text[n] != '%' || span_hex(text + n + 1) < 2)
            return n;
        n += 3;
    }
}

bool head_is_host(const char *text) {
    text += span_name(text);
    if (*text == ':')
        text += 1 + strspn(text + 1, "0123456789");
    return *text == '\0';
}

head_part head_part_of(const char *header) {
    return (head_part){header, header == NULL ? 0 : strlen(header)};
}

bool head_next(head_part *rest, char separator, head_part *part) {
    while (rest->length > 0) {
        size_t n = 0;
        bool quoted = false;
        for (; n < rest->length && (quoted || rest->text[n] != separator); n++) {
            if (rest->text[n] == '"')
                quoted = !quoted;
            else if (quoted && rest->text[n] == '\\' && n + 1 < rest->length)
                n++;
        }
        *part = trim((head_part){rest->text, n});
        const size_t taken = n + (n < rest->length);
        rest->text += taken;
        rest->length -= taken;
        if (part->length > 0)
            return true;
    }
    return false;
}

bool head_is(head_part part, const char *word) {
    return part.length == strlen(word) && strncasecmp(part.text, word, part.length) == 0;
}

bool head_read_whole(const char *text, uint64_t *number) {
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

bool head_lists(const char *list, const char *word) {
    head_part rest = head_part_of(list), part;
    while (head_next(&rest, ',', &part))
        if (head_is(part, word))
            return true;
    return false;
}
