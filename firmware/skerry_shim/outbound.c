/* A packet from TUN to its peer: whose destination it is, the flow remembered for the filter, then cut where it is a super-packet, sealed and
 * sent, or kept for a session. One that is larger than the tunnel carries is answered. */
#include "mss.h"
#include "toobig.h"
#include "transport.h"

enum { ANSWER_EVERY_MS = 10 };

static int too_big(size_t mtu, const struct vnet_header *v, const struct segments *s)
{
    size_t len = v->gso_type == VNET_NONE ? s->len : segments_length(s);
    return mtu && len > mtu;
}

/* No router cuts IPv6, and this host only when one has told it. An inner IPv6 packet is not answered: a host sends 1280 bytes all the same. */
static int too_big_for_path(const struct peer *peer, const struct packet *p, const uint8_t *data)
{
    return peer->mtu && peer->path_count && peer->paths[0].family == 6 && p->family == 4 && (data[6] & 0x40);
}

/* Tell the sender, a hundred times a second at most. */
static void answer(struct outbox *o, const struct packet *p, const uint8_t *data, size_t mtu)
{
    uint8_t message[TOOBIG_ROOM];
    long long now = now_ms(o->t), last = atomic_load(&o->t->answered);
    if (now - last < ANSWER_EVERY_MS || !atomic_compare_exchange_strong(&o->t->answered, &last, now))
        return;
    size_t len = toobig_answer(message, p, data, mtu);
    if (len)
        tun_deliver(o, message, len);
}

void outbound_packet(struct outbox *o, const struct vnet_header *v, uint8_t *data, size_t len)
{
    struct packet p;
    struct segments s;
    if (!packet_inspect(&p, data, len) || !segments_open(&s, v, data, p.length)) {
        drop(o->t, DROP_malformed);
        return;
    }
    enum verdict verdict = filter_unfit(&p);
    if (verdict != FILTER_ACCEPT) {
        drop(o->t, verdict == FILTER_MULTICAST ? DROP_multicast : DROP_link_local);
        return;
    }
    if (too_big((size_t)o->t->mtu, v, &s)) {
        answer(o, &p, data, (size_t)o->t->mtu);
        drop(o->t, DROP_too_big);
        return;
    }
    struct peer *peer = allowedips_lookup(&o->t->allowed, p.family, p.destination);
    if (!peer) {
        drop(o->t, DROP_no_route);
        return;
    }
    if (too_big_for_path(peer, &p, data) && too_big(peer_mtu(o->t, peer), v, &s)) {
        answer(o, &p, data, peer_mtu(o->t, peer));
        drop(o->t, DROP_too_big);
        return;
    }
    mss_clamp(&p, data, peer_mtu(o->t, peer));
    if (!p.later_fragment && (p.protocol == PROTO_UDP || p.protocol == PROTO_SCTP))
        flows_outbound(&o->t->flows, &p);
    sealing_add(o, peer, &s);
}
