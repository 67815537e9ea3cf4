/* Two threads: one reads TUN and sends, one reads the UDP sockets and delivers. Both sleep in poll/epoll beside the stop eventfd; signals
 * stay with Python's main thread. Without TUN only the second one runs. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transport.h"

enum { STOP_SLOT = 0xffff };

static void *tun_thread(void *context)
{
    transport *t = context;
    uint8_t *buffer = malloc(SLOT), *wire = malloc(WIRE);
    struct pollfd fds[2] = {{.fd = t->tun_fd, .events = POLLIN}, {.fd = t->stop_fd, .events = POLLIN}};
    while (buffer && wire) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents)
            break;
        if ((fds[0].revents & (POLLERR | POLLHUP | POLLNVAL)) || (fds[0].revents && !tun_read_batch(t, buffer, wire))) {
            drop(t, DROP_tun); /* the device is gone */
            break;
        }
    }
    free(buffer);
    free(wire);
    return NULL;
}

enum { RECEIVE_BUFFERS = BATCH * SLOT, BUSY_BYTES = 4 * SLOT, REST_MS = 1000 };

/* The buffers hold memory as far as packets have reached; after a load it is given back once, when a second passed without a packet. */
static void *udp_thread(void *context)
{
    struct coalescer c = {.t = context};
    transport *t = context;
    uint8_t *buffers = mmap(NULL, RECEIVE_BUFFERS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct epoll_event events[MAX_SOCKETS + 1];
    int rest = -1;
    for (int running = buffers != MAP_FAILED; running;) {
        int count = epoll_wait(t->epoll_fd, events, MAX_SOCKETS + 1, rest);
        if (count < 0 && errno != EINTR)
            break;
        if (count == 0) {
            madvise(buffers, RECEIVE_BUFFERS, MADV_DONTNEED);
            rest = -1;
        }
        for (int i = 0; i < count; i++)
            if (events[i].data.u32 == STOP_SLOT)
                running = 0;
            else if (udp_receive(&c, (int)events[i].data.u32, buffers) > BUSY_BYTES)
                rest = REST_MS;
    }
    if (buffers != MAP_FAILED)
        munmap(buffers, RECEIVE_BUFFERS);
    return NULL;
}

static int spawn(transport *t, pthread_t *thread, void *(*run)(void *))
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void drain_stop(transport *t)
{
    uint64_t value;
    if (read(t->stop_fd, &value, sizeof value) < 0) {
        /* it was not set */
    }
}

int shim_start(shim_transport *t)
{
    struct epoll_event stop = {.events = EPOLLIN, .data.u32 = STOP_SLOT};
    if (t->started)
        return 0;
    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->stop_fd, &stop) < 0 && errno != EEXIST)
        return -errno;
    int error = spawn(t, &t->threads[1], udp_thread);
    if (error)
        return -error;
    t->started = 1;
    t->tun_running = 0;
    if (t->tun_fd >= 0) {
        error = spawn(t, &t->threads[0], tun_thread);
        t->tun_running = error == 0;
    }
    if (error)
        shim_stop(t);
    return -error;
}

void shim_stop(shim_transport *t)
{
    static const uint64_t one = 1;
    if (!t->started)
        return;
    if (write(t->stop_fd, &one, sizeof one) < 0) {
        /* full means set */
    }
    pthread_join(t->threads[1], NULL);
    if (t->tun_running)
        pthread_join(t->threads[0], NULL);
    t->tun_running = t->started = 0;
    drain_stop(t);
}
