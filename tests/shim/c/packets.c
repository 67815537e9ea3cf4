/* Packet headers, the filter and its flows: edges by hand, then random bytes in exactly-sized buffers. */
#include "check.h"
#include "filter.h"
#include "map.h"

static size_t make4(uint8_t *d, uint8_t protocol, size_t payload)
{
    size_t len = 20 + payload;
    memset(d, 0, len);
    d[0] = 0x45;
    d[2] = (uint8_t)(len >> 8);
    d[3] = (uint8_t)len;
    d[9] = protocol;
    memcpy(d + 12, "\x64\x40\0\2", 4);
    memcpy(d + 16, "\x64\x40\0\1", 4);
    return len;
}

static size_t make6(uint8_t *d, uint8_t next, size_t payload)
{
    memset(d, 0, 40 + payload);
    d[0] = 0x60;
    d[4] = (uint8_t)(payload >> 8);
    d[5] = (uint8_t)payload;
    d[6] = next;
    d[8] = d[24] = 0xfd;
    return 40 + payload;
}

static int inspect(struct packet *p, const uint8_t *d, size_t len)
{
    return packet_inspect(p, d, len);
}

static void test_edges4(void)
{
    uint8_t d[200];
    struct packet p;
    size_t len = make4(d, PROTO_TCP, 20);
    CHECK(inspect(&p, d, len) && p.length == 40 && inspect(&p, d, len + 8) && p.length == 40 && !inspect(&p, d, len - 1));
    d[0] = 0x44;
    CHECK(!inspect(&p, d, len)); /* header of 16 bytes */
    d[0] = 0x4f;
    CHECK(!inspect(&p, d, len)); /* header longer than the packet */
    d[0] = 0x35;
    CHECK(!inspect(&p, d, len));
    CHECK(!inspect(&p, d, 0));
    len = make4(d, PROTO_TCP, 19);
    CHECK(!inspect(&p, d, len));
    len = make4(d, PROTO_UDP, 7);
    CHECK(!inspect(&p, d, len));
    d[7] = 9; /* a fragment at 72 bytes would overwrite a header */
    CHECK(!inspect(&p, d, len));
    d[7] = 10;
    CHECK(inspect(&p, d, len) && p.later_fragment);
    len = make4(d, PROTO_ICMP, 4);
    CHECK(inspect(&p, d, len) && p.icmp == -1);
    len = make4(d, PROTO_TSMP, 7);
    CHECK(inspect(&p, d, len));
    d[6] = 0x20;
    CHECK(!inspect(&p, d, len));
}

static void test_edges6(void)
{
    uint8_t d[200];
    struct packet p;
    size_t len = make6(d, PROTO_UDP, 8);
    CHECK(inspect(&p, d, len) && !inspect(&p, d, len - 1) && !inspect(&p, d, 39));
    len = make6(d, 0, 8);
    CHECK(!inspect(&p, d, len)); /* hop-by-hop options */
    len = make6(d, 44, 7);
    CHECK(!inspect(&p, d, len));
    len = make6(d, 44, 16);
    d[40] = PROTO_UDP;
    d[48 + 3] = 53;
    CHECK(inspect(&p, d, len) && p.protocol == PROTO_UDP && p.destination_port == 53 && !p.later_fragment);
    d[43] = 8;
    CHECK(!inspect(&p, d, len));
    d[43] = 80;
    CHECK(inspect(&p, d, len) && p.later_fragment);
}

/* One rule: protocol, any IPv4 source, our address, ports first-last. */
static size_t make_rule(uint8_t *r, uint8_t protocol, uint16_t first, uint16_t last)
{
    memset(r, 0, 80);
    r[protocol >> 3] = (uint8_t)(1 << (protocol & 7));
    r[35] = r[39] = 1;
    r[40] = 4;
    memcpy(r + 58, "\4\x20\x64\x40\0\1", 6);
    r[76] = (uint8_t)(first >> 8);
    r[77] = (uint8_t)first;
    r[78] = (uint8_t)(last >> 8);
    r[79] = (uint8_t)last;
    return 80;
}

static enum verdict judge(const struct filter *f, const struct allowedips *local, struct flows *flows, const uint8_t *d, size_t len)
{
    struct packet p;
    return packet_inspect(&p, d, len) ? filter_inbound(f, local, flows, &p) : FILTER_MALFORMED;
}

static void test_filter(void)
{
    static struct flows flows;
    uint8_t r[80], d[100];
    struct allowedips local = {0};
    struct prefix ours = {.family = 4, .bits = 32, .address = {0x64, 0x40, 0, 1}};
    flows_init(&flows);
    allowedips_insert(&local, &ours, &local);
    struct filter *f = filter_new(r, make_rule(r, PROTO_UDP, 50, 60));
    CHECK(f);
    size_t len = make4(d, PROTO_UDP, 8);
    for (int port = 49; port <= 61; port++) {
        d[23] = (uint8_t)port;
        CHECK(judge(f, &local, &flows, d, len) == (port >= 50 && port <= 60 ? FILTER_ACCEPT : FILTER_REFUSED));
        CHECK(judge(NULL, &local, &flows, d, len) == FILTER_REFUSED);
    }
    d[19] = 9;
    CHECK(judge(f, &local, &flows, d, len) == FILTER_DESTINATION);
    d[16] = 224;
    CHECK(judge(f, &local, &flows, d, len) == FILTER_MULTICAST);
    memcpy(d + 16, "\xa9\xfe\1\1", 4);
    CHECK(judge(f, &local, &flows, d, len) == FILTER_LINK_LOCAL);
    memcpy(d + 16, "\xa9\xfe\xa9\xfe", 4);
    CHECK(judge(f, &local, &flows, d, len) == FILTER_DESTINATION);
    len = make4(d, PROTO_TCP, 20);
    d[33] = 2;
    CHECK(judge(f, &local, &flows, d, len) == FILTER_REFUSED);
    d[33] = 0x12;
    CHECK(judge(f, &local, &flows, d, len) == FILTER_ACCEPT);
    len = make4(d, PROTO_ICMP, 8);
    d[20] = 8;
    CHECK(judge(f, &local, &flows, d, len) == FILTER_ACCEPT && judge(NULL, &local, &flows, d, len) == FILTER_REFUSED);
    d[20] = 0;
    CHECK(judge(NULL, &local, &flows, d, len) == FILTER_ACCEPT);
    len = make4(d, 47, 8);
    CHECK(judge(f, &local, &flows, d, len) == FILTER_REFUSED);
    filter_free(f);
    f = filter_new(r, make_rule(r, 47, 0, 65535));
    CHECK(judge(f, &local, &flows, d, len) == FILTER_ACCEPT);
    filter_free(f);
    f = filter_new(r, make_rule(r, 47, 0, 65534));
    CHECK(judge(f, &local, &flows, d, len) == FILTER_REFUSED);
    filter_free(f);
    allowedips_free(&local);
}

static void test_flows(void)
{
    static struct flows f;
    uint8_t d[40], back[40];
    struct packet p;
    flows_init(&f);
    for (int i = 0; i < 1000; i++) {
        size_t len = make4(d, PROTO_UDP, 8);
        d[20] = (uint8_t)(i >> 8);
        d[21] = (uint8_t)i;
        CHECK(packet_inspect(&p, d, len));
        flows_outbound(&f, &p);
    }
    int known = 0;
    for (int i = 999; i >= 0; i--) {
        size_t len = make4(back, PROTO_UDP, 8);
        memcpy(back + 12, "\x64\x40\0\1", 4);
        memcpy(back + 16, "\x64\x40\0\2", 4);
        back[22] = (uint8_t)(i >> 8);
        back[23] = (uint8_t)i;
        CHECK(packet_inspect(&p, back, len));
        int found = flows_reply(&f, &p);
        CHECK(found || i < 1000 - FLOW_GENERATION);
        known += found;
    }
    CHECK(known >= FLOW_GENERATION && known <= 2 * FLOW_GENERATION);
    back[9] = PROTO_SCTP;
    CHECK(!packet_inspect(&p, back, 28)); /* SCTP needs 12 */
}

static void outbound(struct flows *f, int port)
{
    uint8_t d[40];
    struct packet p;
    size_t len = make4(d, PROTO_UDP, 8);
    d[20] = (uint8_t)(port >> 8);
    d[21] = (uint8_t)port;
    CHECK(packet_inspect(&p, d, len));
    flows_outbound(f, &p);
}

static int replied(struct flows *f, int port)
{
    uint8_t d[40];
    struct packet p;
    size_t len = make4(d, PROTO_UDP, 8);
    memcpy(d + 12, "\x64\x40\0\1\x64\x40\0\2", 8);
    d[22] = (uint8_t)(port >> 8);
    d[23] = (uint8_t)port;
    CHECK(packet_inspect(&p, d, len));
    return flows_reply(f, &p);
}

/* What a thread met last spares it the lock, but lives no longer than the flow and belongs to one table. */
static void test_flow_met_last(void)
{
    static struct flows f, other;
    flows_init(&f);
    flows_init(&other);
    outbound(&f, 5);
    CHECK(replied(&f, 5) && replied(&f, 5) && !replied(&other, 5) && replied(&f, 5) && !replied(&f, 6));
    for (int i = 0; i < 2 * FLOW_GENERATION; i++) {
        outbound(&f, 1000 + i);
        outbound(&f, 1000 + i);
    }
    CHECK(!replied(&f, 5));
    outbound(&f, 5);
    CHECK(replied(&f, 5));
    flows_init(&f); /* another table in the same place */
    CHECK(!replied(&f, 5));
    outbound(&f, 7);
    CHECK(replied(&f, 7) && !replied(&f, 5));
}

static void test_rubbish(void)
{
    static struct flows flows;
    struct allowedips local = {0};
    struct prefix all4 = {.family = 4}, all6 = {.family = 6};
    flows_init(&flows);
    allowedips_insert(&local, &all4, &local);
    allowedips_insert(&local, &all6, &local);
    for (int i = 0; i < 300000; i++) {
        size_t len = below(90);
        uint8_t *d = malloc(len + (len == 0)); /* exactly as long: the sanitizer sees one byte too many */
        any_bytes(d, len);
        if (len)
            d[0] = (uint8_t)(below(2) ? 0x45 : 0x60);
        if (len > 5)
            d[2] = d[4] = 0, d[3] = (uint8_t)below(100), d[5] = (uint8_t)below(60);
        if (len > 6 && below(4) == 0)
            d[6] = 44; /* an IPv6 fragment header */
        judge(NULL, &local, &flows, d, len);
        struct filter *f = filter_new(d, len);
        filter_free(f);
        free(d);
    }
    uint8_t r[81];
    size_t len = make_rule(r, 6, 0, 1);
    for (size_t cut = 1; cut < len; cut++)
        CHECK(!filter_new(r, cut));
    r[32] = 0xff; /* 4 billion sources */
    CHECK(!filter_new(r, len));
    make_rule(r, 6, 0, 1);
    r[41] = 33;
    CHECK(!filter_new(r, len));
    allowedips_free(&local);
}

int main(void)
{
    test_edges4();
    test_edges6();
    test_filter();
    test_flows();
    test_flow_met_last();
    test_rubbish();
    return 0;
}
