/* ICMP "fragmentation needed" (RFC 792 type 3 code 4, RFC 1191: the MTU in bytes 6 and 7) and ICMPv6 "packet too big" (RFC 4443, type 2, the MTU
 * in bytes 4 to 7): header, then as much of the packet as fits 576 (1280) bytes.
 *
 * It comes from where the packet was for: Linux takes a packet from outside with one of our own IPv4 addresses for forged.
 *
 * No answer to errors, to fragments but the first, to senders that are no single host, and to IPv4 packets that may be cut on their way: the
 * kernel cuts those before they come here. How often is the caller's business. */
#include "toobig.h"

#include <string.h>

#include "checksum.h"

static int may_be_answered(const struct packet *p, const uint8_t *packet)
{
    const uint8_t *s = p->source;
    int type = p->icmp >> 8;
    if (p->later_fragment)
        return 0;
    if (p->family == 4)
        return (packet[6] & 0x40) && !(packet[6] & 0x1f) && !packet[7] && s[0] != 0 && s[0] != 127 && s[0] < 224 &&
               (p->protocol != PROTO_ICMP || type == 0 || type == 8);
    return s[0] != 0xff && (s[0] | s[15]) != 0 && (p->protocol != PROTO_ICMP6 || type >= 128);
}

static size_t answer4(uint8_t *out, const struct packet *p, const uint8_t *packet, size_t mtu)
{
    size_t quoted = p->length < 576 - 28 ? p->length : 576 - 28, len = 28 + quoted;
    const uint8_t head[20] = {0x45, 0xc0, (uint8_t)(len >> 8), (uint8_t)len, 0, 0, 0, 0, 64, PROTO_ICMP};
    const uint8_t icmp[8] = {3, 4, 0, 0, 0, 0, (uint8_t)(mtu >> 8), (uint8_t)mtu};
    memcpy(out, head, 20);
    memcpy(out + 12, p->destination, 4);
    memcpy(out + 16, p->source, 4);
    memcpy(out + 20, icmp, 8);
    memcpy(out + 28, packet, quoted);
    checksum_put(out + 10, checksum_add(0, out, 20));
    checksum_put(out + 22, checksum_add(0, out + 20, 8 + quoted));
    return len;
}

static size_t answer6(uint8_t *out, const struct packet *p, const uint8_t *packet, size_t mtu)
{
    size_t quoted = p->length < TOOBIG_ROOM - 48 ? p->length : TOOBIG_ROOM - 48, body = 8 + quoted;
    const uint8_t head[8] = {0x60, 0, 0, 0, (uint8_t)(body >> 8), (uint8_t)body, PROTO_ICMP6, 64};
    const uint8_t icmp[8] = {2, 0, 0, 0, 0, 0, (uint8_t)(mtu >> 8), (uint8_t)mtu};
    memcpy(out, head, 8);
    memcpy(out + 8, p->destination, 16);
    memcpy(out + 24, p->source, 16);
    memcpy(out + 40, icmp, 8);
    memcpy(out + 48, packet, quoted);
    uint32_t sum = checksum_pseudo(6, out, PROTO_ICMP6, body);
    checksum_put(out + 42, checksum_add(sum, out + 40, body));
    return 40 + body;
}

size_t toobig_answer(uint8_t out[TOOBIG_ROOM], const struct packet *p, const uint8_t *packet, size_t mtu)
{
    if (!may_be_answered(p, packet))
        return 0;
    return p->family == 4 ? answer4(out, p, packet, mtu) : answer6(out, p, packet, mtu);
}
