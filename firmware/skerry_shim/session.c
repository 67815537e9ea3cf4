/* Sessions of a peer (previous, current, next) and the queue of packets that wait for one.
 *
 * WireGuard data message: type 4 and three zero bytes | receiver index u32 LE | counter u64 LE | ChaCha20-Poly1305 of the packet padded to
 * 16 bytes, nonce = 4 zero bytes and the counter. A counter is used up before sealing, whatever comes of it. When sessions end is the
 * engine's business. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "transport.h"

struct session *session_new(uint32_t local, uint32_t remote, const uint8_t *send_key, const uint8_t *receive_key)
{
    struct session *s = alloc_or_abort(sizeof *s);
    s->local = local;
    s->remote = remote;
    pthread_mutex_init(&s->receive_lock, NULL);
    s->send = aead_new(send_key, 1);
    s->receive = aead_new(receive_key, 0);
    if (s->send && s->receive)
        return s;
    session_free(s);
    return NULL;
}

void session_free(struct session *s)
{
    if (!s)
        return;
    EVP_CIPHER_CTX_free(s->send); /* wipes the key */
    EVP_CIPHER_CTX_free(s->receive);
    pthread_mutex_destroy(&s->receive_lock);
    free(s);
}

void session_retire(transport *t, struct session *s)
{
    if (!s)
        return;
    EVP_CIPHER_CTX_free(s->send);
    s->send = NULL;
    pthread_mutex_lock(&s->receive_lock);
    EVP_CIPHER_CTX_free(s->receive);
    s->receive = NULL;
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

static size_t padded(const transport *t, size_t len)
{
    size_t size = (len + PAD - 1) / PAD * PAD;
    size_t mtu = (size_t)t->mtu;
    return mtu && size > mtu && len <= mtu ? mtu : size;
}

/* Seal in place around the packet; the length of the message that starts DATA_HEADER before it, or 0. */
static size_t seal(transport *t, struct session *s, uint8_t *packet, size_t len)
{
    uint8_t nonce[12] = {0}, *message = packet - DATA_HEADER;
    size_t size = padded(t, len);
    uint64_t counter = s->counter++;
    memset(packet + len, 0, size - len);
    put_le(message, 4, 4);
    put_le(message + 4, s->remote, 4);
    put_le(message + 8, counter, 8);
    put_le(nonce + 4, counter, 8);
    return aead_seal(s->send, packet, nonce, packet, size, NULL, 0) == 1 ? size + DATA_OVERHEAD : 0;
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

/* Seal and send on every path; the caller holds peer.lock and knows that session and paths are there. */
static void transmit(struct outbox *o, struct peer *p, uint8_t *packet, size_t len)
{
    size_t size = seal(o->t, p->current, packet, len);
    if (!size) { /* libcrypto failed: nothing may leave */
        drop(o->t, DROP_send);
        return;
    }
    for (int i = 0; i < p->path_count; i++)
        outbox_add(o, &p->paths[i], packet - DATA_HEADER, size);
    note_sent(o->t, p, len, len != 0);
}

/* The next segment to the peer's paths: written behind what is on the wire already, sealed there. 1, or 0 and the drop counted. */
static int transmit_segment(struct outbox *o, struct peer *p, struct segments *g, size_t len)
{
    const struct path *one = &p->paths[0];
    size_t front = p->path_count == 1 && one->family && one->id ? GENEVE : 0; /* in place, so that runs stay runs */
    uint8_t *start = outbox_room(o, front + DATA_HEADER + len + TAIL), *message = start + front;
    segments_write(g, message + DATA_HEADER);
    size_t size = seal(o->t, p->current, message + DATA_HEADER, len);
    if (!size) {
        drop(o->t, DROP_send);
        return 0;
    }
    o->wire_used += front + size;
    if (front) {
        outbox_geneve(start, one->id, message, size);
        outbox_add_whole(o, one, start, front + size);
    } else {
        for (int i = 0; i < p->path_count; i++)
            outbox_add(o, &p->paths[i], message, size);
    }
    return 1;
}

static void keep(struct outbox *o, struct peer *p, struct segments *g, size_t len)
{
    struct record *r = record_new(DATA_HEADER + len + TAIL);
    if (!r) {
        drop(o->t, DROP_queue);
        g->at = g->len;
        return;
    }
    segments_write(g, r->data + DATA_HEADER);
    fifo_push(&p->queue, r);
    if (p->queue.count > QUEUE_PACKETS) {
        free(fifo_pop(&p->queue));
        drop(o->t, DROP_queue);
    }
    if (!usable(p))
        edge(o->t, p, EDGE_HANDSHAKE);
}

void peer_send(struct outbox *o, struct peer *p, struct segments *g)
{
    size_t len, bytes = 0, packets = 0;
    pthread_mutex_lock(&p->lock);
    while (usable(p) && p->path_count && (len = segments_length(g)) != 0)
        if (transmit_segment(o, p, g, len)) {
            bytes += len;
            packets++;
        }
    if (packets)
        note_sent(o->t, p, bytes, packets);
    while ((len = segments_length(g)) != 0)
        keep(o, p, g, len);
    pthread_mutex_unlock(&p->lock);
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
    free(p);
}
