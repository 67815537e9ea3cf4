/* The threads: some read TUN and send, as many read the UDP sockets and deliver, one of each for every two processors; on a single processor one
 * does both in turns, which saves the memory of the second and changes between them that bring nothing. Those of one direction share an
 * epoll, which wakes one of them at a time, and let their batches out in order (order.h). Beside it they wait for the stop eventfd; signals
 * stay with Python's main thread. Without TUN only the sockets are read. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "work.h"

enum { STOP_SLOT = 0xffff, TUN_SLOT = 0xfffe };
enum { RECEIVE_BUFFERS = BATCH * SLOT, BUSY_BYTES = 4 * SLOT, REST_MS = 1000 };

static int work_open(struct work *w, int with_tun, int with_sockets)
{
    if (with_tun) {
        w->tun_buffer = malloc(SLOT);
        w->wire = malloc(WIRE);
    }
    if (with_sockets) { /* they hold memory as far as packets have reached */
        w->receive_buffers = mmap(NULL, RECEIVE_BUFFERS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (w->receive_buffers == MAP_FAILED)
            w->receive_buffers = NULL;
    }
    return (!with_tun || (w->tun_buffer && w->wire)) && (!with_sockets || w->receive_buffers);
}

static void work_close(struct work *w)
{
    free(w->tun_buffer);
    free(w->wire);
    if (w->receive_buffers)
        munmap(w->receive_buffers, RECEIVE_BUFFERS);
}

/* The device is gone: nothing of it is waited for any more. */
static void lose_tun(struct work *w)
{
    drop(w->t, DROP_tun);
    epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, w->t->tun_fd, NULL);
}

/* 0: stop. *rest: how long to wait before the buffers are given back, or -1: they hold next to nothing. */
static int handle(struct work *w, const struct epoll_event *event, int *rest)
{
    uint32_t slot = event->data.u32;
    if (slot == STOP_SLOT)
        return 0;
    if (slot == TUN_SLOT) {
        if ((event->events & (EPOLLERR | EPOLLHUP)) || !tun_read_batch(w))
            lose_tun(w);
    } else if (udp_receive(w, (int)slot) > BUSY_BYTES) {
        *rest = REST_MS;
    }
    return 1;
}

/* After a load the receive buffers are given back once, when a second passed without a packet. */
static void run(struct work *w)
{
    struct epoll_event events[MAX_SOCKETS + 2];
    int rest = -1;
    for (int running = 1; running;) {
        int count = epoll_wait(w->epoll_fd, events, MAX_SOCKETS + 2, rest);
        if (count < 0 && errno != EINTR)
            break;
        if (count == 0) {
            madvise(w->receive_buffers, RECEIVE_BUFFERS, MADV_DONTNEED);
            rest = -1;
        }
        for (int i = 0; i < count && running; i++)
            running = handle(w, &events[i], &rest);
    }
}

static void *work(transport *t, int epoll_fd, int with_tun, int with_sockets)
{
    struct work *w = calloc(1, sizeof *w); /* the coalescer is large for a stack */
    if (w) {
        w->t = w->inward.t = t;
        w->opening.order = &t->inward;
        w->epoll_fd = epoll_fd;
        if (work_open(w, with_tun, with_sockets))
            run(w);
        work_close(w);
    }
    free(w);
    return NULL;
}

static void *tun_thread(void *context)
{
    transport *t = context;
    return work(t, t->tun_epoll_fd, 1, 0);
}

static void *udp_thread(void *context)
{
    transport *t = context;
    return work(t, t->epoll_fd, 0, 1);
}

static void *only_thread(void *context)
{
    transport *t = context;
    return work(t, t->epoll_fd, 1, 1);
}

static int spawn(transport *t, void *(*function)(void *), int count)
{
    sigset_t all, before;
    int error = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; count > 0 && !error; count--) {
        error = pthread_create(&t->threads[t->thread_count], NULL, function, t);
        t->thread_count += error == 0;
    }
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

static int processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 2;
}

/* 0, or the error; a descriptor that is watched already is no error. */
static int watch(int epoll_fd, int fd, uint32_t slot)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = slot};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 && errno != EEXIST ? errno : 0;
}

static int start_single(transport *t)
{
    int error = watch(t->epoll_fd, t->tun_fd, TUN_SLOT);
    return error ? error : spawn(t, only_thread, 1);
}

static int start_pairs(transport *t, int pairs)
{
    int error = watch(t->tun_epoll_fd, t->stop_fd, STOP_SLOT);
    if (!error && t->tun_fd >= 0)
        error = watch(t->tun_epoll_fd, t->tun_fd, TUN_SLOT);
    if (!error)
        error = spawn(t, udp_thread, pairs);
    return error || t->tun_fd < 0 ? error : spawn(t, tun_thread, pairs);
}

/* How many threads for each direction; 0: one for both. */
static int pairs_for(const transport *t, int threads)
{
    if (threads <= 0)
        threads = processors();
    if (threads == 1 && t->tun_fd >= 0)
        return 0;
    return threads / 2 < 1 ? 1 : threads / 2 > WORKERS ? WORKERS : threads / 2;
}

int shim_start(shim_transport *t, int threads)
{
    if (t->started)
        return 0;
    int pairs = pairs_for(t, threads), error = watch(t->epoll_fd, t->stop_fd, STOP_SLOT);
    t->started = 1;
    if (!error)
        error = pairs ? start_pairs(t, pairs) : start_single(t);
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
    while (t->thread_count)
        pthread_join(t->threads[--t->thread_count], NULL);
    t->started = 0;
    drain_stop(t);
    if (t->tun_fd >= 0)
        epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, t->tun_fd, NULL);
}
