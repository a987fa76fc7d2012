/* reading.h: what every test of a reader of requests has: an arena for each test, and what was read last. */
#ifndef TESTS_SERVER_WIRE_READING_H
#define TESTS_SERVER_WIRE_READING_H

#include "server/attend/request.h"
#include "server/problem.h"
#include "tests/arena.h"

static attend_request request;
static problem trouble;

#endif
