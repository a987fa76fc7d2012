/* fail_allocation.c: a library to be preloaded, in which one allocation fails on purpose: the
 * FAIL_ALLOCATION-th of those that the program's own code asks for. What its libraries allocate is left
 * alone; they are tested elsewhere. At the end it prints how many the program asked for: "allocations: 123".
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's own, below the names that are replaced here. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static atomic_long asked;
static long failing = -1; /* -1: the environment has not been read */
static uintptr_t program_begin, program_end;

/* The first object is the program itself. */
static int find_program(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    (void)context;
    program_begin = UINTPTR_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        const uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        const uintptr_t end = begin + info->dlpi_phdr[i].p_memsz;
        program_begin = begin < program_begin ? begin : program_begin;
        program_end = end > program_end ? end : program_end;
    }
    return 1;
}

static int fails(const void *caller) {
    if (failing < 0) {
        const char *text = getenv("FAIL_ALLOCATION");
        failing = text == NULL ? 0 : atol(text);
        dl_iterate_phdr(find_program, NULL);
    }
    const uintptr_t address = (uintptr_t)caller;
    if (address < program_begin || address >= program_end || atomic_fetch_add(&asked, 1) + 1 != failing)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

void *mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset) {
    if ((flags & MAP_ANONYMOUS) != 0 && fails(__builtin_return_address(0)))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, size, protection, flags, descriptor, offset);
}

void *mremap(void *block, size_t old_size, size_t size, int flags, ...) {
    return fails(__builtin_return_address(0))
               ? MAP_FAILED
               : (void *)syscall(SYS_mremap, block, old_size, size, flags, NULL);
}

__attribute__((destructor)) static void report(void) {
    fprintf(stderr, "allocations: %ld\n", (long)asked);
}
