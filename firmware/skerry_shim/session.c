/* Sessions of a peer (previous, current, next) and the queue of packets that wait for one.
 *
 * WireGuard data message: type 4 and three zero bytes | receiver index u32 LE | counter u64 LE | ChaCha20-Poly1305 of the packet padded to
 * 16 bytes, nonce = 4 zero bytes and the counter. A counter is used up before sealing, whatever comes of it. When sessions end is the
 * engine's business. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "ecn.h"
#include "transport.h"

struct session *session_new(uint32_t local, uint32_t remote, const uint8_t *send_key, const uint8_t *receive_key)
{
    struct session *s = alloc_or_abort(sizeof *s);
    s->local = local;
    s->remote = remote;
    pthread_mutex_init(&s->receive_lock, NULL);
    memcpy(s->send_key, send_key, 32);
    memcpy(s->receive_key, receive_key, 32);
    return s;
}

void session_free(struct session *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->receive_lock);
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
}

void session_retire(transport *t, struct session *s)
{
    if (!s)
        return;
    OPENSSL_cleanse(s->send_key, 32);
    pthread_mutex_lock(&s->receive_lock);
    OPENSSL_cleanse(s->receive_key, 32);
    s->retired = 1;
    pthread_mutex_unlock(&s->receive_lock);
    pthread_mutex_lock(&t->retired_lock);
    s->next_retired = t->retired; /* readers may still hold it: freed by the next writer of the table */
    t->retired = s;
    pthread_mutex_unlock(&t->retired_lock);
}

static void put_le(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

size_t message_padded(const transport *t, size_t len)
{
    size_t size = (len + PAD - 1) / PAD * PAD;
    size_t mtu = (size_t)t->mtu;
    return mtu && size > mtu && len <= mtu ? mtu : size;
}

/* Uses up a counter and writes the message's header in front of the packet, the padding behind it. */
static struct aead_item begin_message(const transport *t, struct session *s, uint8_t *packet, size_t len)
{
    struct aead_item item = {.data = packet, .len = message_padded(t, len), .counter = s->counter++, .ecn = len ? ecn_of(packet) : ECN_NONE};
    memset(packet + len, 0, item.len - len);
    put_le(packet - DATA_HEADER, 4, 4);
    put_le(packet - DATA_HEADER + 4, s->remote, 4);
    put_le(packet - DATA_HEADER + 8, item.counter, 8);
    return item;
}

static int usable(const struct peer *p)
{
    return p->current && p->current->counter < REJECT_AFTER_MESSAGES;
}

/* Report once what is armed. */
static void edge(transport *t, struct peer *p, unsigned what)
{
    if ((atomic_load_explicit(&p->armed, memory_order_relaxed) & what) && (atomic_fetch_and(&p->armed, ~what) & what))
        raise_edge(t, p, (uint8_t)what);
}

static void note_sent(transport *t, struct peer *p, size_t bytes, size_t packets)
{
    struct session *s = p->current;
    if (bytes) {
        atomic_fetch_add_explicit(&p->tx_bytes, bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&p->tx_packets, packets, memory_order_relaxed);
        edge(t, p, EDGE_SENT);
    }
    if (s->counter >= REKEY_AFTER_MESSAGES && !s->limit_told) {
        s->limit_told = 1;
        raise_edge(t, p, EDGE_LIMIT);
    }
}

/* The sealed message to every path of the peer. A Geneve header that there is room for goes in front in place, so that runs stay runs. */
void peer_post(struct outbox *o, const struct peer *p, const struct aead_item *item, size_t front)
{
    uint8_t *message = item->data - DATA_HEADER;
    size_t size = item->len + DATA_OVERHEAD;
    if (!item->ok) { /* libcrypto failed: nothing may leave */
        drop(o->t, DROP_send);
    } else if (front) {
        outbox_geneve(message - front, p->paths[0].id, message, size);
        outbox_add_whole(o, &p->paths[0], message - front, front + size, item->ecn);
    } else {
        for (int i = 0; i < p->path_count; i++)
            outbox_add(o, &p->paths[i], message, size, item->ecn);
    }
}

/* Seal and send one packet; the caller holds peer.lock and knows that session and paths are there. */
static void transmit(struct outbox *o, struct peer *p, uint8_t *packet, size_t len)
{
    struct aead_item item = begin_message(o->t, p->current, packet, len);
    if (capture_is(&o->t->capture, CAPTURE_INNER))
        capture_items(o->t, p, &item, 1, CAPTURE_OUT);
    aead_seal_items(p->current->send_key, &item, 1, 0);
    peer_post(o, p, &item, 0);
    note_sent(o->t, p, len, len != 0);
}

static void keep(transport *t, struct peer *p, const uint8_t *packet, size_t len)
{
    struct record *r = record_new(DATA_HEADER + len + TAIL);
    if (!r) {
        drop(t, DROP_queue);
        return;
    }
    memcpy(r->data + DATA_HEADER, packet, len);
    fifo_push(&p->queue, r);
    if (p->queue.count > QUEUE_PACKETS) {
        free(fifo_pop(&p->queue));
        drop(t, DROP_queue);
    }
    if (!usable(p))
        edge(t, p, EDGE_HANDSHAKE);
}

int peer_begin(transport *t, struct peer *p, struct aead_item *items, int count, uint8_t key[32])
{
    int n = 0;
    size_t bytes = 0;
    pthread_mutex_lock(&p->lock);
    for (; n < count && usable(p) && p->path_count; n++) {
        bytes += items[n].len;
        items[n] = begin_message(t, p->current, items[n].data, items[n].len);
    }
    if (n) {
        memcpy(key, p->current->send_key, 32);
        note_sent(t, p, bytes, (size_t)n);
    }
    for (int i = n; i < count; i++)
        keep(t, p, items[i].data, items[i].len);
    pthread_mutex_unlock(&p->lock);
    return n;
}

/* An empty message; the buffer must live until the flush, hence the flush. */
static void transmit_empty(struct outbox *o, struct peer *p)
{
    uint8_t buffer[DATA_HEADER + TAIL];
    if (!usable(p) || !p->path_count)
        return;
    transmit(o, p, buffer + DATA_HEADER, 0);
    outbox_flush(o);
}

void peer_keepalive(struct outbox *o, struct peer *p)
{
    pthread_mutex_lock(&p->lock);
    transmit_empty(o, p);
    pthread_mutex_unlock(&p->lock);
}

void peer_drain(struct outbox *o, struct peer *p)
{
    while (usable(p) && p->path_count && p->queue.first) {
        struct record *r = fifo_pop(&p->queue);
        transmit(o, p, r->data + DATA_HEADER, r->head.len - DATA_HEADER - TAIL);
        outbox_flush(o); /* before its memory goes */
        free(r);
    }
}

void peer_install(struct outbox *o, struct peer *p, struct session *s, int as_next)
{
    pthread_mutex_lock(&p->lock);
    s->peer = p;
    atomic_fetch_or(&p->armed, EDGE_HANDSHAKE);
    if (as_next) {
        session_retire(o->t, atomic_load(&p->next));
        atomic_store(&p->next, s);
    } else {
        struct session *unconfirmed = atomic_load(&p->next);
        session_retire(o->t, p->previous);
        if (unconfirmed) { /* what comes on it still opens, but it must not replace a newer session */
            session_retire(o->t, p->current);
            atomic_store(&p->next, NULL);
        }
        p->previous = unconfirmed ? unconfirmed : p->current;
        p->current = s;
        if (p->queue.first)
            peer_drain(o, p);
        else
            transmit_empty(o, p); /* the first message confirms the session to the responder */
    }
    pthread_mutex_unlock(&p->lock);
}

static void promote(struct outbox *o, struct peer *p, struct session *s)
{
    pthread_mutex_lock(&p->lock);
    if (atomic_load(&p->next) == s) { /* another thread may have been first */
        session_retire(o->t, p->previous);
        p->previous = p->current;
        p->current = s;
        atomic_store(&p->next, NULL);
        raise_edge(o->t, p, EDGE_CONFIRMED);
        peer_drain(o, p);
    }
    pthread_mutex_unlock(&p->lock);
}

void session_received(struct outbox *o, struct session *s, int data)
{
    struct peer *p = s->peer;
    if (atomic_load_explicit(&p->next, memory_order_relaxed) == s)
        promote(o, p, s);
    edge(o->t, p, EDGE_RECEIVED);
    if (data)
        edge(o->t, p, EDGE_DATA);
}

void peer_arm(transport *t, struct peer *p, unsigned mask)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_or(&p->armed, mask);
    if ((mask & EDGE_HANDSHAKE) && p->queue.first && !p->current)
        edge(t, p, EDGE_HANDSHAKE);
    pthread_mutex_unlock(&p->lock);
}

void peer_purge(transport *t, struct peer *p)
{
    struct record *r;
    pthread_mutex_lock(&p->lock);
    while ((r = fifo_pop(&p->queue))) {
        free(r);
        drop(t, DROP_queue);
    }
    atomic_fetch_or(&p->armed, EDGE_HANDSHAKE);
    pthread_mutex_unlock(&p->lock);
}

void peer_expire(transport *t, struct peer *p, struct session *s)
{
    pthread_mutex_lock(&p->lock);
    if (p->previous == s)
        p->previous = NULL;
    if (p->current == s)
        p->current = NULL;
    if (atomic_load(&p->next) == s)
        atomic_store(&p->next, NULL);
    session_retire(t, s);
    pthread_mutex_unlock(&p->lock);
}

void peer_free(struct peer *p)
{
    struct record *r;
    session_free(p->previous);
    session_free(p->current);
    session_free(atomic_load(&p->next));
    while ((r = fifo_pop(&p->queue))) {
        OPENSSL_cleanse(r->data, r->head.len);
        free(r);
    }
    pthread_mutex_destroy(&p->lock);
    free(p->prefixes);
    free(p->paths);
    free(p);
}
