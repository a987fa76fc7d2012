/* input.h: one of the inputs of a request in the Open Inference Protocol. */
#ifndef WIRE_OIP_INPUT_H
#define WIRE_OIP_INPUT_H

#include "server/wire/json/lexer.h"
#include "server/wire/oip/oip.h"

#define OIP_KNOWN "expected one of:" /* what a sentence says before the names it knows */

/* A request that is being read. */
typedef struct {
    json_reader r;
    oip_body body;
    size_t binary; /* where the bytes of the next binary tensor begin in the body */
    attend_request *request;
    oip_options *options;
} oip_reader;

/* Reads the object that begins here, the input `path` ("inputs[0]"), into the tensor of the
 * request that it names. Fails with *p filled in. */
problem_code oip_read_input(oip_reader *o, const char *path);

#endif
