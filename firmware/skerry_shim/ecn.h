/* Explicit congestion notification through the tunnel (RFC 6040, normal mode): the outer header gets what the inner one says, and what happened to
 * the outer one on its way is told to the inner one. DSCP is not carried: it would tell the network what is inside.
 *
 * Codes: 0 not capable, 1 ECT(1), 2 ECT(0), 3 congestion experienced. IPv4 has them in the low bits of byte 1, IPv6 in bits 4 and 5 of byte 1. */
#ifndef SKERRY_ECN_H
#define SKERRY_ECN_H
#include <stdint.h>

enum { ECN_NONE = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3 };

static inline int ecn_of(const uint8_t *packet)
{
    return packet[0] >> 4 == 4 ? packet[1] & 3 : packet[1] >> 4 & 3;
}

/* Changes the code, and with it the checksum of an IPv4 header (RFC 1624). */
static inline void ecn_set(uint8_t *packet, int code)
{
    if (packet[0] >> 4 == 6) {
        packet[1] = (uint8_t)((packet[1] & ~0x30) | code << 4);
        return;
    }
    uint32_t old = (uint32_t)packet[0] << 8 | packet[1], sum = (uint32_t)packet[10] << 8 | packet[11];
    packet[1] = (uint8_t)((packet[1] & ~3) | code);
    sum = (~sum & 0xffff) + (~old & 0xffff) + ((uint32_t)packet[0] << 8 | packet[1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    packet[10] = (uint8_t)(sum >> 8);
    packet[11] = (uint8_t)sum;
}

/* 1, or 0: the network reports congestion to a packet whose ends know nothing of it, so it must be dropped. */
static inline int ecn_combine(uint8_t *packet, int outer)
{
    int inner = ecn_of(packet);
    if (outer == ECN_CE && inner == ECN_NONE)
        return 0;
    if ((outer == ECN_CE && inner != ECN_CE) || (outer == ECN_ECT1 && inner == ECN_ECT0))
        ecn_set(packet, outer);
    return 1;
}
#endif
