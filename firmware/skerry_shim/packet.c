/* IPv4 (RFC 791): version and header length, total length at 2, fragment flags and offset at 6, protocol at 9, addresses at 12 and 16.
 * IPv6 (RFC 8200): payload length at 4, next header at 6, addresses at 8 and 24; only a fragment header directly behind is followed, other
 * extension headers stay as the "protocol". Ports are the first 4 bytes of TCP, UDP and SCTP; TCP's flags are at 13. Checksums are not
 * looked at. */
#include "packet.h"

#include <string.h>

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static int outer4(struct packet *p, const uint8_t *data, size_t len)
{
    size_t header = 4u * (data[0] & 15);
    if (len < 20 || header < 20)
        return 0;
    p->family = 4;
    p->length = be16(data + 2);
    p->source = data + 12;
    p->destination = data + 16;
    return p->length >= header && p->length <= len;
}

static int outer6(struct packet *p, const uint8_t *data, size_t len)
{
    if (len < 40)
        return 0;
    p->family = 6;
    p->length = 40u + be16(data + 4);
    p->source = data + 8;
    p->destination = data + 24;
    return p->length <= len;
}

static int outer(struct packet *p, const uint8_t *data, size_t len)
{
    memset(p, 0, sizeof *p);
    if (!len)
        return 0;
    return data[0] >> 4 == 4 ? outer4(p, data, len) : data[0] >> 4 == 6 ? outer6(p, data, len) : 0;
}

static size_t transport_size(uint8_t protocol)
{
    switch (protocol) {
    case PROTO_TCP:
        return 20;
    case PROTO_UDP:
    case PROTO_IGMP:
        return 8;
    case PROTO_ICMP:
    case PROTO_ICMP6:
        return 4;
    case PROTO_SCTP:
        return 12;
    case PROTO_TSMP:
        return 7;
    default:
        return 0;
    }
}

static int is_extension(uint8_t protocol)
{
    static const uint8_t extensions[] = {0, 43, 44, 50, 51, 60, 135, 139, 140};
    return memchr(extensions, protocol, sizeof extensions) != NULL;
}

struct place {
    size_t start, offset; /* of the transport header; of the fragment, in bytes */
    int more;             /* other fragments follow */
};

static int locate(struct packet *p, const uint8_t *data, struct place *at)
{
    if (p->family == 4) {
        uint16_t field = be16(data + 6);
        p->protocol = data[9];
        *at = (struct place){4u * (data[0] & 15), 8u * (field & 0x1fff), (field & 0x2000) != 0};
        return 1;
    }
    p->protocol = data[6];
    *at = (struct place){40, 0, 0};
    if (p->protocol != 44)
        return !is_extension(p->protocol);
    if (p->length < 48)
        return 0;
    p->protocol = data[40];
    *at = (struct place){48, be16(data + 42) & 0xfff8, data[43] & 1};
    return at->offset || !is_extension(p->protocol);
}

static int inner(struct packet *p, const uint8_t *data)
{
    struct place at;
    if (!locate(p, data, &at))
        return 0;
    if (at.offset) {
        p->later_fragment = at.offset >= 80;
        return p->later_fragment;
    }
    if (p->length < at.start + transport_size(p->protocol) || (p->protocol == PROTO_TSMP && at.more))
        return 0;
    const uint8_t *t = data + at.start;
    if (p->protocol == PROTO_ICMP || p->protocol == PROTO_ICMP6)
        p->icmp = p->length >= at.start + 8 ? t[0] << 8 | t[1] : -1;
    if (p->protocol == PROTO_TCP || p->protocol == PROTO_UDP || p->protocol == PROTO_SCTP) {
        p->source_port = be16(t);
        p->destination_port = be16(t + 2);
    }
    if (p->protocol == PROTO_TCP)
        p->tcp_flags = t[13];
    return 1;
}

int packet_inspect(struct packet *p, const uint8_t *data, size_t len)
{
    return outer(p, data, len) && inner(p, data);
}
