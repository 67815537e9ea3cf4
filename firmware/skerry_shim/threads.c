/* The threads: one reads TUN and sends, one reads the UDP sockets and delivers; on a single processor one does both in turns, which saves the
 * memory of the second and changes between them that bring nothing. Each sleeps in epoll beside the stop eventfd; signals stay with
 * Python's main thread. Without TUN only the sockets are read. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transport.h"

enum { STOP_SLOT = 0xffff, TUN_SLOT = 0xfffe };
enum { RECEIVE_BUFFERS = BATCH * SLOT, BUSY_BYTES = 4 * SLOT, REST_MS = 1000 };

/* What a thread works with. Receive buffers hold memory as far as packets have reached. */
struct work {
    transport *t;
    int epoll_fd;
    uint8_t *tun_buffer, *wire, *receive_buffers; /* NULL: the thread has no such work */
    struct coalescer inward;
};

static int work_open(struct work *w, int with_tun, int with_sockets)
{
    if (with_tun) {
        w->tun_buffer = malloc(SLOT);
        w->wire = malloc(WIRE);
    }
    if (with_sockets) {
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
        if ((event->events & (EPOLLERR | EPOLLHUP)) || !tun_read_batch(w->t, w->tun_buffer, w->wire))
            lose_tun(w);
    } else if (udp_receive(&w->inward, (int)slot, w->receive_buffers) > BUSY_BYTES) {
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

static int spawn(transport *t, pthread_t *thread, void *(*function)(void *))
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, function, t);
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

static int start_tun(transport *t)
{
    int error = watch(t->tun_epoll_fd, t->stop_fd, STOP_SLOT);
    if (!error)
        error = watch(t->tun_epoll_fd, t->tun_fd, TUN_SLOT);
    if (!error)
        error = spawn(t, &t->threads[0], tun_thread);
    t->tun_running = error == 0;
    return error;
}

int shim_start(shim_transport *t)
{
    if (t->started)
        return 0;
    int single = t->tun_fd >= 0 && processors() == 1;
    int error = watch(t->epoll_fd, t->stop_fd, STOP_SLOT);
    if (!error && single)
        error = watch(t->epoll_fd, t->tun_fd, TUN_SLOT);
    if (!error)
        error = spawn(t, &t->threads[1], single ? only_thread : udp_thread);
    if (error)
        return -error;
    t->started = 1;
    t->tun_running = 0;
    if (t->tun_fd >= 0 && !single)
        error = start_tun(t);
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
    if (t->tun_fd >= 0)
        epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, t->tun_fd, NULL);
}
