/* What is changed in headers on their way: ECN through the tunnel, the MSS of SYNs, and the answer to packets that are too big. */
#include "check.h"
#include "checksum.h"
#include "ecn.h"
#include "mss.h"
#include "toobig.h"
#include "transport.h"

static int ip_right(const uint8_t *d)
{
    return d[0] >> 4 == 6 || checksum_add(0, d, 4u * (d[0] & 15)) == 0xffff;
}

static int sum_right(const uint8_t *d, size_t ip, size_t len, uint8_t protocol)
{
    uint32_t pseudo = checksum_pseudo(d[0] >> 4, d, protocol, len - ip);
    return checksum_add(protocol == PROTO_ICMP ? 0 : pseudo, d + ip, len - ip) == 0xffff;
}

/* A header with these bytes behind it; the length. */
static size_t make(uint8_t *out, int family, uint8_t protocol, size_t body)
{
    size_t ip = family == 4 ? 20 : 40, len = ip + body;
    memset(out, 0, ip);
    if (family == 4) {
        const uint8_t head[12] = {0x45, 0, (uint8_t)(len >> 8), (uint8_t)len, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0};
        memcpy(out, head, 12);
        memcpy(out + 12, "\x64\x40\x00\x01\x64\x40\x00\x02", 8);
        checksum_put(out + 10, checksum_add(0, out, 20));
    } else {
        const uint8_t head[8] = {0x60, 0, 0, 0, (uint8_t)(body >> 8), (uint8_t)body, protocol, 64};
        memcpy(out, head, 8);
        out[8] = out[24] = 0xfd;
        out[23] = 1;
        out[39] = 2;
    }
    return len;
}

/* RFC 6040, figure 4: outer by row, inner by column; -1: dropped. */
static void test_ecn(void)
{
    static const int expected[4][4] = {
        [ECN_NONE] = {ECN_NONE, ECN_ECT1, ECN_ECT0, ECN_CE},
        [ECN_ECT1] = {ECN_NONE, ECN_ECT1, ECN_ECT1, ECN_CE},
        [ECN_ECT0] = {ECN_NONE, ECN_ECT1, ECN_ECT0, ECN_CE},
        [ECN_CE] = {-1, ECN_CE, ECN_CE, ECN_CE},
    };
    uint8_t packet[64];
    for (int family = 4; family <= 6; family += 2)
        for (int outer = 0; outer < 4; outer++)
            for (int inner = 0; inner < 4; inner++)
                for (int dscp = 0; dscp < 64; dscp++) {
                    make(packet, family, PROTO_UDP, 8);
                    int class = dscp << 2 | inner;
                    packet[1] = family == 4 ? (uint8_t)class : (uint8_t)(class << 4 | 5);
                    packet[0] = family == 4 ? packet[0] : (uint8_t)(0x60 | class >> 4);
                    if (family == 4) {
                        packet[10] = packet[11] = 0;
                        checksum_put(packet + 10, checksum_add(0, packet, 20));
                    }
                    CHECK(ecn_of(packet) == inner);
                    CHECK(ecn_combine(packet, outer) == (expected[outer][inner] >= 0) && ip_right(packet));
                    if (expected[outer][inner] < 0)
                        continue;
                    CHECK(ecn_of(packet) == expected[outer][inner]);
                    CHECK(family == 4 ? packet[1] >> 2 == dscp : ((packet[0] & 15) << 2 | packet[1] >> 6) == dscp && (packet[1] & 15) == 5);
                }
}

static size_t syn(uint8_t *out, int family, const uint8_t *options, size_t len, uint8_t flags)
{
    size_t size = 20 + (len + 3) / 4 * 4, ip = family == 4 ? 20 : 40, whole = make(out, family, PROTO_TCP, size);
    uint8_t *tcp = out + ip;
    memset(tcp, 0, size);
    memcpy(tcp, "\x12\x34\x00\x50\x01\x02\x03\x04", 8);
    tcp[12] = (uint8_t)(size / 4 << 4);
    tcp[13] = flags;
    memcpy(tcp + 20, options, len);
    checksum_put(tcp + 16, checksum_add(checksum_pseudo(family, out, PROTO_TCP, size), tcp, size));
    return whole;
}

static void clamp(const uint8_t *options, size_t len, uint8_t flags, int at, unsigned fresh4, unsigned fresh6)
{
    uint8_t packet[128], before[128];
    struct packet p;
    for (int family = 4; family <= 6; family += 2) {
        size_t ip = family == 4 ? 20 : 40, size = syn(packet, family, options, len, flags);
        unsigned fresh = family == 4 ? fresh4 : fresh6;
        memcpy(before, packet, size);
        CHECK(packet_inspect(&p, packet, size) && mss_clamp(&p, packet, 1280) == (fresh != 0));
        if (!fresh)
            CHECK(!memcmp(before, packet, size));
        else
            CHECK((unsigned)(packet[ip + 20 + at] << 8 | packet[ip + 21 + at]) == fresh);
        CHECK(ip_right(packet) && sum_right(packet, ip, size, PROTO_TCP));
        CHECK(!mss_clamp(&p, packet, 1280) && !mss_clamp(&p, before, 0) && !mss_clamp(&p, before, 40));
    }
}

static void test_mss(void)
{
    clamp((const uint8_t *)"\x02\x04\x05\xb4", 4, 2, 2, 1240, 1220);
    clamp((const uint8_t *)"\x02\x04\x05\xb4\x01\x01\x04\x02", 8, 0x12, 2, 1240, 1220);
    clamp((const uint8_t *)"\x01\x02\x04\xff\xff\x00\x00\x00", 8, 2, 3, 1240, 1220); /* at an odd place */
    clamp((const uint8_t *)"\x03\x03\x07\x02\x04\x05\xb4\x00", 8, 2, 5, 1240, 1220);
    clamp((const uint8_t *)"\x02\x04\x04\xcc", 4, 2, 2, 0, 1220); /* 1228 fits IPv4 */
    clamp((const uint8_t *)"\x02\x04\x02\x18", 4, 2, 0, 0, 0);
    clamp((const uint8_t *)"\x02\x04\x05\xb4", 4, 0x10, 0, 0, 0); /* no SYN */
    clamp((const uint8_t *)"\x02\x03\x05\xb4", 4, 2, 0, 0, 0);
    clamp((const uint8_t *)"\x00\x02\x04\x05\xb4\x00\x00\x00", 8, 2, 0, 0, 0);
    clamp((const uint8_t *)"\x08\x00\x02\x04", 4, 2, 0, 0, 0);
    clamp((const uint8_t *)"\x08\x22\x02\x04", 4, 2, 0, 0, 0);
    clamp((const uint8_t *)"\x01\x01\x01\x02", 4, 2, 0, 0, 0);
    clamp((const uint8_t *)"", 0, 2, 0, 0, 0);
}

/* Whatever the options are, the checksum stays right and nothing outside is touched. */
static void test_any_options(void)
{
    struct packet p;
    for (int i = 0; i < 100000; i++) {
        uint8_t options[40];
        size_t len = below(11) * 4;
        any_bytes(options, sizeof options);
        for (size_t k = 0; k < len; k += 1 + below(6))
            options[k] = (uint8_t)below(5);
        uint8_t *packet = malloc(100);
        size_t size = syn(packet, below(2) ? 4 : 6, options, len, 2), ip = packet[0] >> 4 == 4 ? 20 : 40;
        packet = realloc(packet, size);
        if (packet_inspect(&p, packet, size))
            mss_clamp(&p, packet, 1280);
        CHECK(sum_right(packet, ip, size, PROTO_TCP));
        packet[ip + 12] = (uint8_t)(below(16) << 4); /* a header length that is a lie */
        if (packet_inspect(&p, packet, size))
            mss_clamp(&p, packet, 1280);
        free(packet);
    }
}

static void check_answer(const uint8_t *answer, size_t len, const uint8_t *packet)
{
    int family = packet[0] >> 4;
    size_t ip = family == 4 ? 20 : 40, width = family == 4 ? 4 : 16;
    CHECK(len == (family == 4 ? 576u : 1280u) && answer[0] >> 4 == family && ip_right(answer));
    CHECK(sum_right(answer, ip, len, family == 4 ? PROTO_ICMP : PROTO_ICMP6));
    CHECK(!memcmp(answer + ip - width, packet + ip - 2 * width, width) && !memcmp(answer + ip - 2 * width, packet + ip - width, width) && !memcmp(answer + ip + 8, packet, len - ip - 8));
    CHECK(!memcmp(answer + ip, family == 4 ? "\x03\x04" : "\x02\x00", 2) && answer[ip + 6] == 1280 >> 8 && answer[ip + 7] == (1280 & 255));
}

/* Through the transport: answered to where packets for the system go, a hundred times a second at most. */
static void test_too_big(void)
{
    static uint8_t packet[2000], out[8192];
    transport *t = shim_transport_new();
    shim_set_clock(t, 1000);
    t->mtu = 1280;
    for (int family = 4; family <= 6; family += 2) {
        size_t len = make(packet, family, PROTO_UDP, 1281);
        shim_set_clock(t, 1000 * family);
        CHECK(shim_packet(t, packet, len) && shim_packet(t, packet, len));
        int64_t n = shim_packets(t, out, sizeof out);
        CHECK(n > 80 && (size_t)n == 80 + (family == 4 ? 576u : 1280u)); /* the second within 10 ms is not answered */
        check_answer(out + 80, (size_t)n - 80, packet);
    }
    size_t len = make(packet, 4, PROTO_UDP, 1281);
    packet[6] = 0; /* may be cut */
    shim_set_clock(t, 9000);
    CHECK(shim_packet(t, packet, len) && shim_packets(t, out, sizeof out) == 0);
    len = make(packet, 4, PROTO_ICMP, 1281);
    packet[20] = 3; /* an error */
    CHECK(shim_packet(t, packet, len) && shim_packets(t, out, sizeof out) == 0);
    len = make(packet, 4, PROTO_UDP, 1260); /* just fits: there is no peer for it */
    CHECK(shim_packet(t, packet, len) && t->drops[DROP_too_big] == 6 && t->drops[DROP_no_route] == 1);
    shim_transport_free(t);
}

int main(void)
{
    test_ecn();
    test_mss();
    test_any_options();
    test_too_big();
    return 0;
}
