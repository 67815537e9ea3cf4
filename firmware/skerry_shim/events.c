/* The ring up to Python, the drop counters and the clock. Datagrams and relay frames in the ring are bounded, newest dropped and counted.
 * Edges and relay marks are not: the engine arms each of them once, so they bound themselves. The eventfd is readable while the ring has
 * anything. */
#include <string.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "transport.h"

void drop(transport *t, enum drop reason)
{
    atomic_fetch_add_explicit(&t->drops[reason], 1, memory_order_relaxed);
}

int64_t now_ms(const transport *t)
{
    long long fixed = atomic_load(&t->clock);
    struct timespec ts;
    if (fixed >= 0)
        return fixed;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int is_bounded(const struct record *r)
{
    return r->head.kind == EVENT_DATAGRAM || r->head.kind == EVENT_FRAME;
}

static void push_event(transport *t, struct record *r)
{
    static const uint64_t one = 1;
    if (!r) {
        drop(t, DROP_poll);
        return;
    }
    pthread_mutex_lock(&t->ring_lock);
    if (is_bounded(r) && (t->ring_bounded >= RING_EVENTS || t->ring.bytes + r->head.len > RING_BYTES)) {
        pthread_mutex_unlock(&t->ring_lock);
        drop(t, DROP_poll);
        free(r);
        return;
    }
    t->ring_bounded += (size_t)is_bounded(r);
    if (r->head.kind == EVENT_DATAGRAM)
        atomic_fetch_add_explicit(&t->to_python, 1, memory_order_relaxed);
    int wake = t->ring.first == NULL;
    fifo_push(&t->ring, r);
    if (wake && write(t->event_fd, &one, sizeof one) < 0) {
        /* an eventfd that is full is readable, which is all that is needed */
    }
    pthread_mutex_unlock(&t->ring_lock);
}

static struct record *event(uint8_t kind, uint8_t code, uint32_t region, const void *data, size_t len)
{
    struct record *r = record_new(len);
    if (!r)
        return NULL;
    r->head.kind = kind;
    r->head.code = code;
    r->head.region = region;
    if (len)
        memcpy(r->data, data, len);
    return r;
}

void raise_datagram(transport *t, const struct path *path, const uint8_t *data, size_t len)
{
    struct record *r = event(EVENT_DATAGRAM, 0, 0, data, len);
    if (r)
        r->head.path = *path;
    push_event(t, r);
}

void raise_frame(transport *t, uint32_t region, uint8_t type, const uint8_t *data, size_t len)
{
    push_event(t, event(EVENT_FRAME, type, region, data, len));
}

void raise_bad_relay(transport *t, uint32_t region, const char *text)
{
    push_event(t, event(EVENT_BAD_RELAY, 0, region, text, strlen(text)));
}

void raise_edge(transport *t, const struct peer *p, uint8_t what)
{
    struct record *r = event(EVENT_EDGE, what, 0, NULL, 0);
    if (r)
        r->head.peer = p->id;
    push_event(t, r);
}

void raise_relay_out(transport *t, uint32_t region)
{
    push_event(t, event(EVENT_RELAY_OUT, 0, region, NULL, 0));
}

void events_forget_peer(transport *t, uint64_t peer)
{
    struct fifo kept = {0};
    struct record *r;
    pthread_mutex_lock(&t->ring_lock);
    while ((r = fifo_pop(&t->ring)))
        if (r->head.kind == EVENT_EDGE && r->head.peer == peer)
            free(r);
        else
            fifo_push(&kept, r);
    t->ring = kept;
    pthread_mutex_unlock(&t->ring_lock);
}

int64_t shim_poll(transport *t, uint8_t *out, size_t cap)
{
    uint64_t any;
    size_t done = 0;
    int64_t step = 0;
    pthread_mutex_lock(&t->ring_lock);
    for (int i = 0; i < 256 && t->ring.first; i++) {
        int bounded = is_bounded(t->ring.first);
        step = fifo_take(&t->ring, out + done, cap - done, 1);
        if (step < 0)
            break;
        t->ring_bounded -= (size_t)bounded;
        done += (size_t)step;
    }
    if (!t->ring.first && read(t->event_fd, &any, sizeof any) < 0) {
        /* was not readable: nothing had been raised */
    }
    pthread_mutex_unlock(&t->ring_lock);
    return done || step >= 0 ? (int64_t)done : step;
}
