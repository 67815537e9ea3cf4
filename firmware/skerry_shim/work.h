/* What a thread of the packet path works with; see threads.c. */
#ifndef SKERRY_WORK_H
#define SKERRY_WORK_H
#include "transport.h"

struct work {
    transport *t;
    int epoll_fd;
    uint8_t *tun_buffer, *wire, *receive_buffers; /* NULL: the thread has no such work */
    struct sealing sealing;
    struct opening opening;
    struct coalescer inward;
};
#endif
