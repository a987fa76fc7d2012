/* glyphs.h: the letters of a picture. */
#ifndef PICTURE_GLYPHS_H
#define PICTURE_GLYPHS_H

/* The rows of dots of a character from top to bottom, with a slash between two rows: X is set, a point is
 * not. All rows are of the same width; 7 rows stand on the base line, the 8th and 9th below it may be
 * missing. What is not printable ASCII looks like a question mark, an asterisk like a multiplication cross.
 */
const char *glyph_of(char character);

#endif
