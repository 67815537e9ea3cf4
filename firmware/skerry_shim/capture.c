/* The packets of the tunnel's inside (decrypted, before the filter inwards) or of its outside (UDP datagrams as they are on the wire; frames of
 * relays are not), copied into a bounded queue that Python takes from. One capture at a time. Off, it costs one relaxed load a batch. When
 * the queue is full the newest are lost and counted: packets never wait for a capture.
 *
 * A record: code 0 out, 1 in; peer (inside only); path (outside only: the other end); data: time u64 (ns since 1970) | length u32 (whole) |
 * bytes, cut at snaplen. */
#include "capture.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "transport.h"

static uint64_t wall_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct record *copy_of(const uint8_t *data, size_t len, size_t snaplen, uint64_t when, int direction)
{
    uint32_t whole = (uint32_t)len;
    size_t kept = len < snaplen ? len : snaplen;
    struct record *r = record_new(CAPTURE_HEADER + kept);
    if (!r)
        return NULL;
    r->head.kind = EVENT_PACKET;
    r->head.code = (uint8_t)direction;
    memcpy(r->data, &when, 8);
    memcpy(r->data + 8, &whole, 4);
    memcpy(r->data + CAPTURE_HEADER, data, kept);
    return r;
}

/* The lock is held. */
static void keep(struct capture *c, struct record *r)
{
    if (r && c->ring.count < CAPTURE_RECORDS && c->ring.bytes + r->head.len <= CAPTURE_BYTES) {
        fifo_push(&c->ring, r);
        return;
    }
    free(r);
    c->lost++;
}

/* Without the padding: its IP header tells how long the packet is. */
static size_t packet_length(const uint8_t *d, size_t len)
{
    size_t told = len;
    if (len >= 20 && d[0] >> 4 == 4)
        told = (size_t)d[2] << 8 | d[3];
    else if (len >= 40 && d[0] >> 4 == 6)
        told = 40 + ((size_t)d[4] << 8 | d[5]);
    return told < len && told >= 20 ? told : len;
}

void capture_items(transport *t, const struct peer *p, const struct aead_item *items, int count, int direction)
{
    struct capture *c = &t->capture;
    uint64_t when = wall_ns();
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < count && capture_is(c, CAPTURE_INNER) && (!c->one_peer || c->peer == p->id); i++) {
        if (!items[i].len)
            continue;
        struct record *r = copy_of(items[i].data, packet_length(items[i].data, items[i].len), c->snaplen, when, direction);
        if (r)
            r->head.peer = p->id;
        keep(c, r);
    }
    pthread_mutex_unlock(&c->lock);
}

/* Whether the other end is one that the capture is about: an address the peer is reached at now. The table is held for reading. */
static int is_wanted(const transport *t, const struct path *path)
{
    const struct capture *c = &t->capture;
    if (!capture_is(c, CAPTURE_OUTER))
        return 0;
    if (!c->one_peer)
        return 1;
    const struct peer *p = map_get(&t->peers, c->peer);
    for (int i = 0; p && i < p->path_count; i++)
        if (p->paths[i].family == path->family && p->paths[i].port == path->port && !memcmp(p->paths[i].address, path->address, 16))
            return 1;
    return 0;
}

static void keep_datagram(struct capture *c, const struct path *path, const uint8_t *data, size_t len, uint64_t when, int direction)
{
    struct record *r = copy_of(data, len, c->snaplen, when, direction);
    if (r)
        r->head.path = *path;
    keep(c, r);
}

void capture_received(transport *t, const struct path *from, const uint8_t *data, size_t len, size_t size)
{
    struct capture *c = &t->capture;
    uint64_t when = wall_ns();
    pthread_mutex_lock(&c->lock);
    for (size_t at = 0; is_wanted(t, from) && at < len; at += size)
        keep_datagram(c, from, data + at, len - at < size ? len - at : size, when, CAPTURE_IN);
    pthread_mutex_unlock(&c->lock);
}

static void keep_item(struct capture *c, const struct outbox_item *item, uint64_t when)
{
    uint8_t whole[CAPTURE_MAX];
    if (item->front) { /* one message */
        size_t len = item->len < sizeof whole - GENEVE ? item->len : sizeof whole - GENEVE;
        memcpy(whole, item->geneve, GENEVE);
        memcpy(whole + GENEVE, item->data, len);
        keep_datagram(c, &item->path, whole, GENEVE + len, when, CAPTURE_OUT);
        return;
    }
    for (size_t at = 0; at < item->len; at += item->size)
        keep_datagram(c, &item->path, item->data + at, item->len - at < item->size ? item->len - at : item->size, when, CAPTURE_OUT);
}

void capture_sent(transport *t, const struct outbox_item *items, int count)
{
    struct capture *c = &t->capture;
    uint64_t when = wall_ns();
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < count; i++)
        if (is_wanted(t, &items[i].path))
            keep_item(c, &items[i], when);
    pthread_mutex_unlock(&c->lock);
}

int shim_capture_start(transport *t, int side, int64_t peer, size_t snaplen)
{
    struct capture *c = &t->capture;
    pthread_mutex_lock(&c->lock);
    int busy = !capture_is(c, CAPTURE_OFF);
    if (!busy) {
        c->lost = 0;
        c->one_peer = peer >= 0;
        c->peer = (uint64_t)peer;
        c->snaplen = snaplen < CAPTURE_MAX ? snaplen : CAPTURE_MAX;
        atomic_store(&c->side, side);
    }
    pthread_mutex_unlock(&c->lock);
    return busy ? -EBUSY : 0;
}

void shim_capture_stop(transport *t)
{
    struct capture *c = &t->capture;
    struct record *r;
    pthread_mutex_lock(&c->lock);
    atomic_store(&c->side, CAPTURE_OFF);
    while ((r = fifo_pop(&c->ring))) {
        OPENSSL_cleanse(r->data, r->head.len);
        free(r);
    }
    pthread_mutex_unlock(&c->lock);
}

int64_t shim_capture_take(transport *t, uint8_t *out, size_t cap, uint64_t *lost)
{
    struct capture *c = &t->capture;
    pthread_mutex_lock(&c->lock);
    int64_t done = fifo_take(&c->ring, out, cap, 256);
    *lost = c->lost;
    pthread_mutex_unlock(&c->lock);
    return done;
}
