// Ranks that wait for each other without end: each for a message from the next one with tag 3
// ("receive"), or for room for what nobody takes ("send").

#include <px.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **words) {
    if (count != 2 || px_init(0) != PX_OK) return 2;
    int next = (px_rank() + 1) % px_size();
    size_t length = (size_t)8 << 20;
    char *bytes = calloc(length, 1);
    if (bytes == NULL) return 3;
    int status = strcmp(words[1], "send") == 0 ? px_send(next, 3, bytes, length, -1)
                                               : px_recv(next, 3, bytes, length, -1, NULL);
    fprintf(stderr, "not stuck: %d, %s\n", status, px_last_error());
    return 4;
}
