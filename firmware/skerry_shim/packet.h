/* The header fields of an IP packet that routing and filtering need; see packet.c. */
#ifndef SKERRY_PACKET_H
#define SKERRY_PACKET_H
#include <stddef.h>
#include <stdint.h>

enum { PROTO_ICMP = 1, PROTO_IGMP = 2, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMP6 = 58, PROTO_TSMP = 99, PROTO_SCTP = 132 };

struct packet {
    int family; /* 4 or 6 */
    const uint8_t *source, *destination;
    size_t length;      /* of the IP packet; what follows is padding */
    uint8_t protocol;
    int later_fragment; /* 1: offset of 80 bytes or more; no transport header */
    uint16_t source_port, destination_port; /* TCP, UDP, SCTP */
    uint8_t tcp_flags;
    int icmp; /* type * 256 + code, or -1 when cut before 8 bytes */
};

/* 1, or 0 for what cannot be judged: no whole IP packet, fragment offset of 1 to 79, transport header cut, IPv6 extension header. */
int packet_inspect(struct packet *p, const uint8_t *data, size_t len);
#endif
