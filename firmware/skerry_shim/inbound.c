/* A datagram from a socket or a relay: told apart, checked, and opened or handed up.
 *
 * In this order: WireGuard (type 1-4, three zero bytes, a length that fits), disco (magic 54 53 f0 9f 92 ac), STUN (magic cookie 2112a442 at
 * 4), Geneve (version 0, no options, protocol 7a11 or 7a12; stripped, its network id becomes part of the path). Data messages are opened
 * here; handshake messages pass MAC1 and under load the cookie, and go up with disco and STUN, as many as
 * gate.h lets through. It answers nothing but with cookies. */
#include <string.h>

#include "ecn.h"
#include "mss.h"
#include "transport.h"

static uint64_t get_le(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static enum drop verdict_drop(enum verdict v)
{
    static const enum drop names[] = {
        [FILTER_MULTICAST] = DROP_multicast, [FILTER_LINK_LOCAL] = DROP_link_local,
        [FILTER_DESTINATION] = DROP_destination, [FILTER_TSMP] = DROP_tsmp,           [FILTER_REFUSED] = DROP_filter,
    };
    return names[v];
}

void inbound_deliver(struct outbox *o, struct peer *peer, const struct aead_item *message)
{
    transport *t = o->t;
    struct packet p;
    if (!packet_inspect(&p, message->data, message->len)) {
        drop(t, DROP_malformed);
        return;
    }
    if (allowedips_lookup(&t->allowed, p.family, p.source) != peer) {
        drop(t, DROP_source);
        return;
    }
    atomic_fetch_add_explicit(&peer->rx_bytes, p.length, memory_order_relaxed);
    atomic_fetch_add_explicit(&peer->rx_packets, 1, memory_order_relaxed);
    enum verdict v = filter_inbound(t->filter, &t->local, &t->flows, &p);
    if (v != FILTER_ACCEPT) {
        drop(t, verdict_drop(v));
    } else if (message->ecn && !ecn_combine(message->data, message->ecn)) {
        drop(t, DROP_ecn);
    } else {
        mss_clamp(&p, message->data, peer_mtu(t, peer));
        tun_deliver(o, message->data, p.length);
    }
}

static void data_message(struct outbox *o, uint8_t *data, size_t len)
{
    transport *t = o->t;
    struct session *s = map_get(&t->sessions, get_le(data + 4, 4));
    uint64_t counter = get_le(data + 8, 8);
    if (!s || counter >= REJECT_AFTER_MESSAGES) {
        drop(t, s ? DROP_replay : DROP_index);
        return;
    }
    opening_add(o, s, data + DATA_HEADER, len - DATA_OVERHEAD, counter);
}

static void control_message(transport *t, const struct path *from, const uint8_t *data, size_t len)
{
    if (gate_take(&t->gate, GATE_CONTROL, from, now_ms(t) * 1000))
        raise_datagram(t, from, data, len);
    else
        drop(t, DROP_rate);
}

static void handshake_message(struct outbox *o, const struct path *from, const uint8_t *data, size_t len)
{
    uint8_t reply[COOKIE_REPLY_SIZE];
    enum cookie_verdict v = cookie_check(&o->t->cookies, data, len, from, now_ms(o->t));
    if (v == COOKIE_PASS) {
        control_message(o->t, from, data, len);
    } else if (v == COOKIE_BAD_MAC1) {
        drop(o->t, DROP_mac1);
    } else {
        drop(o->t, DROP_cookie);
        if (gate_take(&o->t->gate, GATE_COOKIE, from, now_ms(o->t) * 1000) && cookie_reply(&o->t->cookies, reply, data, len, from)) {
            outbox_add(o, from, reply, sizeof reply, 0);
            outbox_flush(o); /* before the reply's memory goes */
        }
    }
}

static int is_disco(const uint8_t *d, size_t len)
{
    return len >= 6 + 32 + 24 + 16 + 2 && !memcmp(d, "TS\xf0\x9f\x92\xac", 6);
}

static int is_stun(const uint8_t *d, size_t len)
{
    return len >= 20 && d[0] < 0x40 && d[1] == 1 && !memcmp(d + 4, "\x21\x12\xa4\x42", 4);
}

static int is_geneve(const uint8_t *d, size_t len)
{
    return len >= 8 && d[0] == 0 && (d[1] & 0x7f) == 0 && d[2] == 0x7a && (d[3] == 0x11 || d[3] == 0x12) && d[7] == 0;
}

/* The type of a WireGuard message whose length fits it, else 0. */
static int wireguard_type(const uint8_t *d, size_t len)
{
    static const size_t sizes[] = {0, INITIATION_SIZE, RESPONSE_SIZE, COOKIE_REPLY_SIZE};
    if (len < DATA_OVERHEAD || d[1] || d[2] || d[3] || d[0] > 4)
        return 0;
    return d[0] == 4 || sizes[d[0]] == len ? d[0] : 0;
}

static void unwrap(struct outbox *o, const struct path *from, uint8_t *data, size_t len)
{
    struct path inner = *from;
    if (from->family && from->id == 0 && is_geneve(data, len)) {
        inner.id = (uint32_t)data[4] << 16 | (uint32_t)data[5] << 8 | data[6];
        if (inner.id && is_disco(data + 8, len - 8) == (data[3] == 0x11)) {
            inbound_datagram(o, &inner, data + 8, len - 8); /* once: the path has an id now */
            return;
        }
    }
    drop(o->t, DROP_unknown);
}

void inbound_datagram(struct outbox *o, const struct path *from, uint8_t *data, size_t len)
{
    int type = wireguard_type(data, len);
    if (type == 4)
        data_message(o, data, len);
    else if (type == 3 || is_disco(data, len) || (from->family && from->id == 0 && is_stun(data, len)))
        control_message(o->t, from, data, len);
    else if (type)
        handshake_message(o, from, data, len);
    else
        unwrap(o, from, data, len);
}

void inbound_relay_frame(void *context, struct relay *r, uint8_t type, uint8_t *payload, size_t len)
{
    struct outbox *o = context;
    if (type != RELAY_RECV_PACKET) {
        raise_frame(o->t, r->region, type, payload, len);
        return;
    }
    if (len < RELAY_KEY) {
        drop(o->t, DROP_malformed);
        return;
    }
    struct path from = {.family = 0, .id = r->region};
    memcpy(from.key, payload, RELAY_KEY);
    inbound_datagram(o, &from, payload + RELAY_KEY, len - RELAY_KEY);
}
