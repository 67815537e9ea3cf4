/* Cuts a super-packet (TCP segmentation offload, UDP segmentation offload) into packets with headers of their own.
 *
 * Each gets the headers of the whole with: IPv4 total length, identification counted up, header checksum; IPv6 payload length; TCP sequence
 * number moved on, FIN and PSH on the last alone, CWR on the first alone (RFC 3168, 6.1.2); UDP length; transport checksum made anew. A packet that is not
 * to be cut passes as it is, its checksum completed. The header from the kernel is not trusted: a type unlike the packet, a size of 0, a
 * place behind the end, fragments, IPv6 extension headers, more than 8192 segments: refused. */
#include "segments.h"

#include <string.h>

#include "checksum.h"
#include "packet.h"

enum { SEGMENTS_LIMIT = 8192 }; /* Linux sends no TCP segments of less than 8 bytes */
enum { FIN = 1, PSH = 8, CWR = 0x80 };

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* Where a checksum may be written: in the transport header, at its place, so that nothing that was judged before is changed. */
static int may_complete(const struct vnet_header *v, const uint8_t *packet, size_t len)
{
    int four = packet[0] >> 4 == 4;
    size_t ip = four ? 4u * (packet[0] & 15) : 40;
    uint8_t protocol = packet[four ? 9 : 6];
    if (v->csum_start < ip || (size_t)v->csum_start + v->csum_offset + 2 > len)
        return 0;
    return protocol == PROTO_TCP ? v->csum_offset == 16 : protocol == PROTO_UDP ? v->csum_offset == 6 : v->csum_offset >= 2;
}

static int complete(const struct vnet_header *v, uint8_t *packet, size_t len)
{
    size_t field = (size_t)v->csum_start + v->csum_offset;
    if (!(v->flags & VNET_NEEDS_CSUM))
        return 1;
    if (len < 20 || !may_complete(v, packet, len))
        return 0;
    uint32_t sum = checksum_add(0, packet + v->csum_start, len - v->csum_start);
    if (v->csum_offset == 6)
        checksum_put0(packet + field, sum);
    else
        checksum_put(packet + field, sum);
    return 1;
}

/* Where the headers end, for what is to be cut; 0 when it is not such a packet. */
static int find_headers(struct segments *s)
{
    const uint8_t *d = s->packet;
    if (s->len < 20)
        return 0;
    s->family = d[0] >> 4;
    s->ip = s->family == 4 ? 4u * (d[0] & 15) : 40;
    s->protocol = s->family == 4 ? d[9] : d[6];
    size_t least = s->protocol == PROTO_TCP ? 20 : 8;
    if ((s->family != 4 && s->family != 6) || s->ip < 20 || s->len < s->ip + least)
        return 0;
    if (s->family == 4 ? be16(d + 2) != s->len || be16(d + 6) & 0x3fff : be16(d + 4) + 40 != s->len)
        return 0;
    size_t transport = s->protocol == PROTO_TCP ? 4u * (d[s->ip + 12] >> 4) : 8;
    s->header = s->ip + transport;
    return transport >= least && s->header < s->len;
}

static int type_fits(const struct segments *s, int type)
{
    if (type == VNET_UDP)
        return s->protocol == PROTO_UDP;
    return s->protocol == PROTO_TCP && type == (s->family == 4 ? VNET_TCP4 : VNET_TCP6);
}

int segments_open(struct segments *s, const struct vnet_header *v, uint8_t *packet, size_t len)
{
    *s = (struct segments){.packet = packet, .len = len};
    if (v->gso_type == VNET_NONE)
        return len && len <= 65535 && complete(v, packet, len);
    s->size = v->gso_size;
    if (!s->size || !find_headers(s) || !type_fits(s, v->gso_type & ~VNET_ECN) || (len - s->header) / s->size > SEGMENTS_LIMIT)
        return 0;
    s->at = s->header;
    return 1;
}

size_t segments_length(const struct segments *s)
{
    size_t rest = s->len - s->at;
    if (!s->size || !rest)
        return rest;
    return s->header + (rest < s->size ? rest : s->size);
}

static void write_ip(const struct segments *s, uint8_t *out, size_t len)
{
    if (s->family == 6) {
        put16(out + 4, len - 40);
        return;
    }
    put16(out + 2, len);
    put16(out + 4, be16(out + 4) + s->index);
    put16(out + 10, 0);
    checksum_put(out + 10, checksum_add(0, out, s->ip));
}

static void write_tcp(const struct segments *s, uint8_t *tcp, int last)
{
    uint32_t sequence = be16(tcp + 4) << 16 | be16(tcp + 6);
    sequence += (uint32_t)(s->at - s->header);
    put16(tcp + 4, sequence >> 16);
    put16(tcp + 6, sequence);
    tcp[13] &= (uint8_t)~((last ? 0 : FIN | PSH) | (s->index ? CWR : 0));
    put16(tcp + 16, 0);
}

static void write_headers(const struct segments *s, uint8_t *out, size_t len)
{
    uint8_t *transport = out + s->ip;
    memcpy(out, s->packet, s->header);
    write_ip(s, out, len);
    if (s->protocol == PROTO_TCP) {
        write_tcp(s, transport, s->at + (len - s->header) == s->len);
    } else {
        put16(transport + 4, len - s->ip);
        put16(transport + 6, 0);
    }
    uint32_t sum = checksum_pseudo(s->family, out, s->protocol, len - s->ip);
    sum = checksum_add(sum, transport, s->header - s->ip);
    sum = checksum_add(sum, out + s->header, len - s->header);
    if (s->protocol == PROTO_TCP)
        checksum_put(transport + 16, sum);
    else
        checksum_put0(transport + 6, sum);
}

void segments_write(struct segments *s, uint8_t *out)
{
    size_t len = segments_length(s), payload = len - s->header;
    memcpy(out + s->header, s->packet + s->at, payload);
    if (s->size)
        write_headers(s, out, len);
    s->at += payload;
    s->index++;
}
