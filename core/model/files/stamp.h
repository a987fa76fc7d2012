/* stamp.h: tells whether the files of a model are still those that it was read from. */
#ifndef ATTN_STAMP_H
#define ATTN_STAMP_H

/* A text about the file, or about all files of the directory: name, device, inode, size, times. It is another
 * one as soon as one of them has been written, replaced or renamed, or the path leads elsewhere. Symbolic
 * links are followed, directories within are not looked into. May wait for some milliseconds if a file was
 * written just now. NULL: the path leads nowhere, or memory ran out. The caller frees it with free(). */
char *attn_stamp(const char *path);

#endif
