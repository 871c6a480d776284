/*
 * Does what each of the tools is there to see: reads a byte behind what it was given, and writes the
 * same one from two threads at once. A tool that says nothing of this program sees nothing of others.
 */
#include "check.h"

#include <pthread.h>
#include <stdio.h>

static volatile int shared;

static void *writes(void *often) {
    for (int left = *(int *)often; left > 0; left--) shared++;
    return NULL;
}

int main(void) {
    int often = 100000;
    pthread_t other;
    CHECK(pthread_create(&other, NULL, writes, &often) == 0);
    writes(&often);
    CHECK(pthread_join(other, NULL) == 0);
    volatile char *bytes = malloc(8);
    CHECK(bytes != NULL);
    if (bytes[8] == 'x') puts("x");
    free((void *)bytes);
    return 0;
}
