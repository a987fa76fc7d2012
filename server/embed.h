/* embed.h: how a file becomes part of the program. */
#ifndef SERVER_EMBED_H
#define SERVER_EMBED_H

/* The assembler copies the file in as it is, from name_begin to name_end; the Makefile builds anew what
 * embeds a file that has changed. */
#define EMBED(name, file)                                                                                    \
    __asm__(".section .rodata\n" #name "_begin: .incbin \"" file "\"\n" #name "_end:\n.previous\n");         \
    extern const char name##_begin[], name##_end[]

#endif
