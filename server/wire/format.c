#include "server/wire/format.h"

#include "server/picture/picture.h"
#include "server/wire/json/json.h"
#include "server/wire/safetensors/safetensors.h"

static bool write_picture(const attend_request *request, const attend_call *call, wire_buffer *out) {
    return png_write_picture(request->picture, call, out);
}

const wire_format wire_formats[] = {
    {.media_type = "application/json", .read = json_read_request, .write = json_write_answer},
    {.media_type = "application/vnd.safetensors",
     .borrows = true,
     .read = safetensors_read_request,
     .write = safetensors_write_answer},
    {.media_type = FORMAT_PNG, .write = write_picture},
};
const size_t wire_format_count = sizeof wire_formats / sizeof wire_formats[0];
