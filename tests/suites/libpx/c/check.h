/* What the programs here say when something is not as it must be. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <px.h>

#define CHECK(is)                                                                       \
    do {                                                                                \
        if (!(is)) {                                                                    \
            fprintf(stderr, "%s:%d: not so: %s (last error: %s)\n", __FILE__, __LINE__, \
                    #is, px_last_error());                                              \
            exit(99);                                                                   \
        }                                                                               \
    } while (0)

/* The last error of this thread has these words. */
#define SAYS(words) CHECK(strstr(px_last_error(), words) != NULL)

#endif
