/* The sanitizer of threads takes every clone for a fork, after which threads are not what they were.
 * That by which libpx starts a program is none: it shares all memory, and whoever calls it stands
 * still meanwhile. So it goes by the sanitizer. */

/* The C library's own. */
int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...);

int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
    return __clone(function, stack, flags, argument);
}
