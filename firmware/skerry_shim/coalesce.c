/* Merges neighbouring packets of a TCP or UDP flow into one write to TUN with a virtio header, which cuts the cost of the stack behind it to that
 * of one packet (what the kernel does as GRO).
 *
 * Merged are packets of one flow in order, without IPv4 options, fragments and IPv6 extension headers, with equal TOS, TTL, flow label and DF;
 * TCP: plain ACKs with payload, equal acknowledgement, window and options, sequence numbers that follow each other; UDP: with a checksum.
 * All but the last have the same payload size; PSH or a shorter one ends it. Checksums (IPv4 header, transport) are verified first, because
 * the merged packet gets new ones that would hide an error. Whatever else comes of a flow goes behind what was gathered of it, alone and
 * untouched. Nothing is held beyond the flush at the end of a batch. */
#include "coalesce.h"

#include <errno.h>
#include <string.h>

#include "checksum.h"
#include "packet.h"
#include "segments.h"
#include "transport.h"

enum { PSH = 8, ACK = 16 };

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* -- what a packet is */

/* 1 when the flow can be told: IP header of a known size, then TCP or UDP ports. */
static int find_flow(struct merge *m, const uint8_t *d, size_t len)
{
    m->family = d[0] >> 4;
    m->ip = m->family == 4 ? 20 : 40;
    if (len < m->ip + 8 || (m->family == 4 && d[0] != 0x45))
        return 0;
    m->protocol = m->family == 4 ? d[9] : d[6];
    if (m->family == 4 && be16(d + 6) & 0xbfff)
        return 0;
    return m->protocol == PROTO_TCP || m->protocol == PROTO_UDP;
}

static int sums_right(const struct merge *m, const uint8_t *d, size_t len)
{
    if (m->family == 4 && checksum_add(0, d, 20) != 0xffff)
        return 0;
    uint32_t sum = checksum_pseudo(m->family, d, m->protocol, len - m->ip);
    return checksum_add(sum, d + m->ip, len - m->ip) == 0xffff;
}

static int tcp_fits(struct merge *m, const uint8_t *tcp, size_t len)
{
    size_t size = len < 20 ? 0 : 4u * (tcp[12] >> 4);
    if (size < 20 || size >= len || tcp[12] & 15 || (tcp[13] & ~PSH) != ACK)
        return 0;
    m->header_size = m->ip + size;
    m->next = be32(tcp + 4) + (uint32_t)(len - size);
    m->closed = (tcp[13] & PSH) != 0;
    return 1;
}

static int udp_fits(struct merge *m, const uint8_t *udp, size_t len)
{
    m->header_size = m->ip + 8;
    return be16(udp + 4) == len && len > 8 && be16(udp + 6) != 0;
}

/* Fills in m for a packet that may be merged; its flow is known. */
static int mergeable(const transport *t, struct merge *m, const uint8_t *d, size_t len)
{
    int tcp = m->protocol == PROTO_TCP;
    if (!(tun_features(t) & (tcp ? FEATURE_MERGE_TCP : FEATURE_MERGE_UDP)))
        return 0;
    m->closed = 0;
    if (tcp ? !tcp_fits(m, d + m->ip, len - m->ip) : !udp_fits(m, d + m->ip, len - m->ip))
        return 0;
    m->size = m->total = len - m->header_size;
    return sums_right(m, d, len);
}

/* -- what belongs together */

static int same_flow(const struct merge *m, const struct merge *other, const uint8_t *d)
{
    const uint8_t *h = m->header;
    size_t from = m->family == 4 ? 12 : 8; /* addresses and ports lie side by side */
    return m->family == other->family && m->protocol == other->protocol && !memcmp(h + from, d + from, m->ip - from + 4);
}

static int same_header(const struct merge *m, const uint8_t *d)
{
    const uint8_t *h = m->header, *a = h + m->ip, *b = d + m->ip;
    if (m->family == 4 ? h[1] != d[1] || memcmp(h + 6, d + 6, 3) : memcmp(h, d, 4) || h[7] != d[7])
        return 0;
    return m->protocol == PROTO_UDP ||
           (!memcmp(a + 8, b + 8, 5) && !memcmp(a + 14, b + 14, 2) && !memcmp(a + 18, b + 18, m->header_size - m->ip - 18));
}

static int follows(const struct merge *m, const struct merge *fresh, const uint8_t *d)
{
    if (m->closed || m->count == MERGE_PIECES || fresh->size > m->size || m->header_size != fresh->header_size)
        return 0;
    if (m->header_size + m->total + fresh->size > MERGE_LIMIT)
        return 0;
    if (m->protocol == PROTO_TCP && be32(d + m->ip + 4) != m->next)
        return 0;
    return same_header(m, d);
}

static void append(struct merge *m, const struct merge *fresh, const uint8_t *d)
{
    m->parts[2 + m->count++] = (struct iovec){(void *)(d + m->header_size), fresh->size};
    m->total += fresh->size;
    m->next = fresh->next;
    m->closed = fresh->closed || fresh->size < m->size;
    if (m->protocol == PROTO_TCP)
        m->header[m->ip + 13] |= d[m->ip + 13] & PSH;
}

/* -- writing */

static void write_one(transport *t, const uint8_t *d, size_t len)
{
    if (!tun_write_packet(t, d, len))
        drop(t, DROP_tun);
}

static void write_each(transport *t, struct merge *m)
{
    for (int i = 0; i < m->count; i++) {
        const struct iovec *part = &m->parts[2 + i];
        write_one(t, (const uint8_t *)part->iov_base - m->header_size, part->iov_len + m->header_size);
    }
}

static void prepare(struct merge *m, struct vnet_header *v)
{
    int tcp = m->protocol == PROTO_TCP;
    uint8_t *h = m->header;
    size_t len = m->header_size + m->total;
    *v = (struct vnet_header){VNET_NEEDS_CSUM, tcp ? m->family == 4 ? VNET_TCP4 : VNET_TCP6 : VNET_UDP, (uint16_t)m->header_size,
                              (uint16_t)m->size, (uint16_t)m->ip, tcp ? 16 : 6};
    if (m->family == 4) {
        put16(h + 2, len);
        put16(h + 10, 0);
        checksum_put(h + 10, checksum_add(0, h, 20));
    } else {
        put16(h + 4, len - 40);
    }
    if (!tcp)
        put16(h + m->ip + 4, len - m->ip);
    checksum_put_partial(h + m->ip + v->csum_offset, checksum_pseudo(m->family, h, m->protocol, len - m->ip));
}

static void write_super(transport *t, struct merge *m)
{
    struct vnet_header v;
    prepare(m, &v);
    m->parts[0] = (struct iovec){&v, sizeof v};
    m->parts[1] = (struct iovec){m->header, m->header_size};
    int error = tun_write(t, m->parts, 2 + m->count);
    if (error == EINVAL) { /* a kernel that does not know the type: one by one, from now on */
        atomic_fetch_and(&t->tun_features, m->protocol == PROTO_TCP ? ~FEATURE_MERGE_TCP : ~FEATURE_MERGE_UDP);
        write_each(t, m);
    } else if (error) {
        for (int i = 0; i < m->count; i++)
            drop(t, DROP_tun);
    }
}

static void write_merge(transport *t, struct merge *m)
{
    if (m->count > 1)
        write_super(t, m);
    else
        write_each(t, m);
    m->count = 0;
}

/* -- a batch */

static struct merge *find(struct coalescer *c, const struct merge *fresh, const uint8_t *d)
{
    for (int i = 0; i < c->count; i++)
        if (c->flows[i].count && same_flow(&c->flows[i], fresh, d))
            return &c->flows[i];
    return NULL;
}

static struct merge *room(struct coalescer *c)
{
    if (c->count < MERGE_FLOWS)
        return &c->flows[c->count++];
    struct merge *m = &c->flows[c->oldest++ % MERGE_FLOWS];
    write_merge(c->t, m);
    return m;
}

static void begin(struct merge *m, const struct merge *fresh, const uint8_t *d)
{
    memcpy(m, fresh, offsetof(struct merge, parts));
    memcpy(m->header, d, m->header_size);
    m->parts[2] = (struct iovec){(void *)(d + m->header_size), m->size};
    m->count = 1;
}

void coalesce_flush(struct coalescer *c)
{
    for (int i = 0; i < c->count; i++)
        if (c->flows[i].count)
            write_merge(c->t, &c->flows[i]);
    c->count = 0;
}

void coalesce_add(struct coalescer *c, const uint8_t *packet, size_t len)
{
    struct merge fresh;
    if (!find_flow(&fresh, packet, len)) { /* fragments: of whatever flow */
        coalesce_flush(c);
        write_one(c->t, packet, len);
        return;
    }
    struct merge *m = find(c, &fresh, packet);
    int fits = mergeable(c->t, &fresh, packet, len);
    if (m && fits && follows(m, &fresh, packet)) {
        append(m, &fresh, packet);
        return;
    }
    if (m)
        write_merge(c->t, m);
    if (!fits)
        write_one(c->t, packet, len);
    else
        begin(m ? m : room(c), &fresh, packet);
}
