#include "server/assets.h"

/* The assembler copies the file in as it is; the Makefile builds this file anew when one of them changes. */
#define EMBED(name, file)                                                                                    \
    __asm__(".section .rodata\n" #name "_begin: .incbin \"" file "\"\n" #name "_end:\n.previous\n");         \
    extern const char name##_begin[], name##_end[]

EMBED(openapi, "server/openapi.json");

asset asset_openapi(void) {
    return (asset){openapi_begin, (size_t)(openapi_end - openapi_begin)};
}
