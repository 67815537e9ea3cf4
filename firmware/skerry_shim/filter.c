/* Evaluates the rules that skerry_core.filter.compile() lays out (its docstring has the layout and the order of the tests, which the Python
 * transport follows too): per rule 32 bytes of protocol bits, u32 n, u32 m, n sources and m destinations of 18 bytes (family, bits,
 * address), destinations with two u16 ports behind; big-endian, no padding. It knows no policy and changes nothing but flows. */
#include "filter.h"

#include <stdlib.h>
#include <string.h>

#include "map.h"

#define SOURCE_SIZE 18
#define DESTINATION_SIZE 22

struct rule {
    const uint8_t *protocols, *sources, *destinations;
    uint32_t n, m;
};
struct filter {
    size_t count, len;
    struct rule *rules;
    uint8_t bytes[];
};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int prefixes_valid(const uint8_t *at, uint32_t count, size_t size)
{
    for (uint32_t i = 0; i < count; i++, at += size) {
        if ((at[0] != 4 && at[0] != 6) || at[1] > (at[0] == 4 ? 32 : 128))
            return 0;
    }
    return 1;
}

/* Reads the rule at *at and moves behind it; 0 when it does not fit or is not valid. */
static int rule_read(struct rule *r, const uint8_t **at, const uint8_t *end)
{
    if (end - *at < 40)
        return 0;
    r->protocols = *at;
    r->n = be32(*at + 32);
    r->m = be32(*at + 36);
    r->sources = *at + 40;
    uint64_t need = (uint64_t)r->n * SOURCE_SIZE + (uint64_t)r->m * DESTINATION_SIZE;
    if (need > (uint64_t)(end - r->sources))
        return 0;
    r->destinations = r->sources + (size_t)r->n * SOURCE_SIZE;
    *at = r->destinations + (size_t)r->m * DESTINATION_SIZE;
    return prefixes_valid(r->sources, r->n, SOURCE_SIZE) && prefixes_valid(r->destinations, r->m, DESTINATION_SIZE);
}

struct filter *filter_new(const uint8_t *compiled, size_t len)
{
    struct filter *f = alloc_or_abort(sizeof *f + len);
    f->rules = alloc_or_abort((len / 40 + 1) * sizeof *f->rules);
    f->len = len;
    if (len)
        memcpy(f->bytes, compiled, len);
    for (const uint8_t *at = f->bytes; at < f->bytes + len; f->count++)
        if (!rule_read(&f->rules[f->count], &at, f->bytes + len)) {
            filter_free(f);
            return NULL;
        }
    return f;
}

const uint8_t *filter_bytes(const struct filter *f, size_t *len)
{
    *len = f ? f->len : 0;
    return f ? f->bytes : NULL;
}

void filter_free(struct filter *f)
{
    if (f)
        free(f->rules);
    free(f);
}

static int inside(const uint8_t *entry, int family, const uint8_t *address)
{
    int bits = entry[1], whole = bits / 8, rest = bits % 8;
    if (entry[0] != family || memcmp(entry + 2, address, (size_t)whole))
        return 0;
    return !rest || ((entry[2 + whole] ^ address[whole]) & (0xff << (8 - rest)) & 0xff) == 0;
}

static int from_source(const struct rule *r, const struct packet *p)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (inside(r->sources + (size_t)i * SOURCE_SIZE, p->family, p->source))
            return 1;
    return 0;
}

static int to_destination(const struct rule *r, const struct packet *p, int ports)
{
    for (uint32_t i = 0; i < r->m; i++) {
        const uint8_t *d = r->destinations + (size_t)i * DESTINATION_SIZE;
        if (!inside(d, p->family, p->destination))
            continue;
        int first = d[18] << 8 | d[19], last = d[20] << 8 | d[21];
        if (ports == 0 || (ports == 1 && first <= p->destination_port && p->destination_port <= last) ||
            (ports == 2 && first == 0 && last == 65535))
            return 1;
    }
    return 0;
}

/* ports: 0 ignored (and the protocol with them), 1 the packet's, 2 the destination must cover all. */
static int any_rule(const struct filter *f, const struct packet *p, int ports)
{
    for (size_t i = 0; f && i < f->count; i++) {
        const struct rule *r = &f->rules[i];
        if (ports && !(r->protocols[p->protocol >> 3] >> (p->protocol & 7) & 1))
            continue;
        if (from_source(r, p) && to_destination(r, p, ports))
            return 1;
    }
    return 0;
}

enum verdict filter_unfit(const struct packet *p)
{
    static const uint8_t metadata[4] = {169, 254, 169, 254};
    const uint8_t *d = p->destination;
    if (p->family == 4 ? d[0] >> 4 == 14 : d[0] == 0xff)
        return FILTER_MULTICAST;
    if (p->family == 4 ? d[0] == 169 && d[1] == 254 && memcmp(d, metadata, 4) : d[0] == 0xfe && d[1] >> 6 == 2)
        return FILTER_LINK_LOCAL;
    return FILTER_ACCEPT;
}

static int icmp_answer(const struct packet *p)
{
    int type = p->icmp >> 8;
    if (p->icmp < 0)
        return 0;
    if (p->family == 4) /* echo reply, unreachable, time exceeded, parameter problem */
        return p->icmp == 0 || type == 3 || type == 11 || type == 12;
    return p->icmp == 129 << 8 || (type >= 1 && type <= 4);
}

static int allowed(const struct filter *f, struct flows *flows, const struct packet *p)
{
    if (p->later_fragment)
        return 1;
    if (p->protocol == (p->family == 4 ? PROTO_ICMP : PROTO_ICMP6))
        return icmp_answer(p) || any_rule(f, p, 0);
    switch (p->protocol) {
    case PROTO_TCP:
        return (p->tcp_flags & 0x12) != 0x02 || any_rule(f, p, 1);
    case PROTO_UDP:
    case PROTO_SCTP:
        return flows_reply(flows, p) || any_rule(f, p, 1);
    default:
        return any_rule(f, p, 2);
    }
}

enum verdict filter_inbound(const struct filter *f, const struct allowedips *local, struct flows *flows, const struct packet *p)
{
    enum verdict v = filter_unfit(p);
    if (v != FILTER_ACCEPT)
        return v;
    if (!allowedips_lookup(local, p->family, p->destination))
        return FILTER_DESTINATION;
    if (p->protocol == PROTO_TSMP && !p->later_fragment)
        return FILTER_TSMP;
    return allowed(f, flows, p) ? FILTER_ACCEPT : FILTER_REFUSED;
}
