/* A packet from TUN to its peer: whose destination it is, the flow remembered for the filter, then cut where it is a super-packet, sealed and
 * sent, or kept for a session. */
#include "transport.h"

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
    struct peer *peer = allowedips_lookup(&o->t->allowed, p.family, p.destination);
    if (!peer) {
        drop(o->t, DROP_no_route);
        return;
    }
    if (!p.later_fragment && (p.protocol == PROTO_UDP || p.protocol == PROTO_SCTP))
        flows_outbound(&o->t->flows, &p);
    sealing_add(o, peer, &s);
}
