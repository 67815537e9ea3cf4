/* A copy of packets for whoever wants to see them; see capture.c. */
#ifndef SKERRY_CAPTURE_H
#define SKERRY_CAPTURE_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "aead.h"
#include "fifo.h"

enum { CAPTURE_OFF, CAPTURE_INNER = 1, CAPTURE_OUTER = 2 };
enum { CAPTURE_OUT = 0, CAPTURE_IN = 1 };
enum { CAPTURE_HEADER = 12, CAPTURE_RECORDS = 65536, CAPTURE_MAX = 65535 };
#define CAPTURE_BYTES (8u << 20)

struct capture {
    atomic_int side; /* the only thing that is looked at while there is none */
    pthread_mutex_t lock; /* a leaf; for what follows */
    struct fifo ring;
    uint64_t lost, peer; /* peer: only what goes to and comes from it */
    int one_peer;
    size_t snaplen;
};

struct outbox_item;
struct peer;
struct shim_transport;

static inline int capture_is(const struct capture *c, int side)
{
    return atomic_load_explicit(&c->side, memory_order_relaxed) == side;
}

void capture_items(struct shim_transport *t, const struct peer *p, const struct aead_item *items, int count, int direction); /* not sealed */
void capture_sent(struct shim_transport *t, const struct outbox_item *items, int count);
void capture_received(struct shim_transport *t, const struct path *from, const uint8_t *data, size_t len, size_t size);
#endif
