/* Super-packets: cut apart, merged, and both against each other; hostile headers; what a kernel refuses. The checksums here are a slow model's. */
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "checksum.h"
#include "sockets.h"
#include "transport.h"

static uint32_t slow_sum(uint32_t sum, const uint8_t *d, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += i & 1 ? d[i] : (uint32_t)d[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static size_t get16(const uint8_t *p)
{
    return (size_t)p[0] << 8 | p[1];
}

static uint32_t transport_sum(const uint8_t *d, size_t len)
{
    int v4 = d[0] >> 4 == 4;
    size_t ip = v4 ? 20 : 40;
    uint32_t sum = slow_sum(0, d + (v4 ? 12 : 8), v4 ? 8 : 32) + (v4 ? d[9] : d[6]) + (uint32_t)(len - ip);
    return slow_sum(sum, d + ip, len - ip);
}

static int sums_right(const uint8_t *d, size_t len)
{
    return (d[0] >> 4 == 6 || slow_sum(0, d, 20) == 0xffff) && transport_sum(d, len) == 0xffff;
}

static size_t field(const uint8_t *d)
{
    size_t ip = d[0] >> 4 == 4 ? 20 : 40;
    return ip + ((d[0] >> 4 == 4 ? d[9] : d[6]) == 6 ? 16 : 6);
}

static void finish(uint8_t *d, size_t len) /* lengths and checksums */
{
    int v4 = d[0] >> 4 == 4;
    size_t at = field(d), ip = v4 ? 20 : 40;
    put16(d + (v4 ? 2 : 4), v4 ? len : len - 40);
    if (v4) {
        put16(d + 10, 0);
        put16(d + 10, ~slow_sum(0, d, 20) & 0xffff);
    }
    if (at == ip + 6)
        put16(d + ip + 4, len - ip);
    put16(d + at, 0);
    uint32_t sum = ~transport_sum(d, len) & 0xffff;
    put16(d + at, at == ip + 6 && !sum ? 0xffff : sum);
}

/* A packet of flow `flow` (the port); TCP has 12 bytes of options when flow is odd. */
static size_t make(uint8_t *d, int family, int tcp, uint16_t flow, uint32_t sequence, size_t payload)
{
    size_t ip = family == 4 ? 20 : 40, header = ip + (tcp ? flow & 1 ? 32 : 20 : 8), len = header + payload;
    uint8_t *t = d + ip;
    memset(d, 0, header);
    if (family == 4) {
        d[0] = 0x45;
        d[6] = 0x40;
        d[8] = 64;
        d[9] = tcp ? 6 : 17;
        memcpy(d + 12, "\x64\x40\0\2\x64\x40\0\1", 8);
    } else {
        d[0] = 0x60;
        d[6] = tcp ? 6 : 17;
        d[7] = 64;
        d[8] = d[24] = 0xfd;
        d[23] = 2;
        d[39] = 1;
    }
    put16(t, flow);
    put16(t + 2, 80);
    if (tcp) {
        put16(t + 4, sequence >> 16);
        put16(t + 6, sequence);
        t[12] = flow & 1 ? 0x80 : 0x50;
        t[13] = 0x10;
        t[15] = 77;
    }
    any_bytes(d + header, payload);
    finish(d, len);
    return len;
}

static struct vnet_header header_of(const uint8_t *d, size_t size)
{
    int v4 = d[0] >> 4 == 4;
    uint16_t ip = v4 ? 20 : 40, at = (uint16_t)field(d);
    uint8_t type = at - ip == 6 ? VNET_UDP : v4 ? VNET_TCP4 : VNET_TCP6;
    return (struct vnet_header){VNET_NEEDS_CSUM, type, ip, (uint16_t)size, ip, (uint16_t)(at - ip)};
}

static void test_checksum(void)
{
    static uint8_t bytes[70000];
    any_bytes(bytes, sizeof bytes);
    for (int i = 0; i < 3000; i++) {
        size_t from = below(64), len = i % 10 ? below(300) : below(65536), cut = below((uint32_t)len + 1) & ~1u;
        uint8_t stored[2];
        checksum_put_partial(stored, checksum_add(checksum_add(0, bytes + from, cut), bytes + from + cut, len - cut));
        CHECK(get16(stored) % 0xffff == slow_sum(0, bytes + from, len) % 0xffff);
    }
    memset(bytes, 0xff, sizeof bytes);
    CHECK(checksum_add(0, bytes, 65536) == 0xffff && checksum_add(0xffff, bytes, 65535) > 0);
}

/* -- cutting */

static void check_segments(int family, int tcp, uint16_t flow, size_t payload, size_t size)
{
    static uint8_t whole[70000], out[70000];
    struct segments s;
    uint32_t sequence = 0xffffff00u; /* runs over */
    size_t len = make(whole, family, tcp, flow, sequence, payload), at = 0, n, ip = family == 4 ? 20 : 40, header = len - payload;
    int index = 0;
    if (tcp)
        whole[ip + 13] |= 0x80 | 8 | 1;
    put16(whole + 4 + 2 * (family == 6), family == 4 ? 65530 : get16(whole + 6)); /* the identification runs over */
    struct vnet_header v = header_of(whole, size);
    CHECK(segments_open(&s, &v, whole, len));
    for (; (n = segments_length(&s)) != 0; at += n - header, index++) {
        segments_write(&s, out);
        CHECK(n == header + (payload - at < size ? payload - at : size) && sums_right(out, n));
        CHECK(!memcmp(out + header, whole + header + at, n - header));
        CHECK(get16(out + (family == 4 ? 2 : 4)) == (family == 4 ? n : n - 40));
        if (family == 4)
            CHECK(get16(out + 4) == (size_t)((65530 + index) & 0xffff));
        if (tcp)
            CHECK((uint32_t)(get16(out + ip + 4) << 16 | get16(out + ip + 6)) == sequence + (uint32_t)at &&
                  out[ip + 13] == (0x10 | (index ? 0 : 0x80) | (at + n - header == payload ? 9 : 0)));
        else
            CHECK(get16(out + ip + 4) == n - ip);
    }
    CHECK(at == payload);
}

static void test_cutting(void)
{
    for (int i = 0; i < 400; i++) {
        int family = below(2) ? 4 : 6, tcp = (int)below(2);
        size_t payload = 1 + (i % 8 ? below(9000) : below(65400)), size = 1 + (i % 3 ? below(1500) : below(65535));
        check_segments(family, tcp, (uint16_t)below(100), payload, payload / size > 3000 ? 1000 : size);
    }
    check_segments(4, 1, 1, 65535 - 52, 1228);
    check_segments(4, 0, 1, 2, 1);
    check_segments(6, 0, 1, 65535 - 8, 1232);
}

/* 1 when it is taken; then all that comes of it must stay within its bounds (the sanitizers watch: exact buffers). */
static int run(const struct vnet_header *v, const uint8_t *packet, size_t len)
{
    uint8_t *exact = malloc(len ? len : 1);
    struct segments s;
    size_t n, total = 0;
    memcpy(exact, packet, len);
    int ok = segments_open(&s, v, exact, len);
    while (ok && (n = segments_length(&s)) != 0) {
        uint8_t *out = malloc(n);
        CHECK(n <= len);
        segments_write(&s, out);
        total += n;
        free(out);
    }
    CHECK(!ok || total >= len || v->gso_type == 0);
    free(exact);
    return ok;
}

static void test_hostile_headers(void)
{
    static uint8_t d[70000];
    size_t len = make(d, 4, 1, 1, 5, 3000);
    struct vnet_header good = header_of(d, 1000), v = good;
    CHECK(run(&v, d, len));
    v.hdr_len = 65535; /* a hint: no influence */
    CHECK(run(&v, d, len));
    v = good, v.gso_size = 0;
    CHECK(!run(&v, d, len));
    v = good, v.gso_type = VNET_TCP6;
    CHECK(!run(&v, d, len));
    v.gso_type = VNET_UDP;
    CHECK(!run(&v, d, len));
    v.gso_type = 3; /* UFO, never offered */
    CHECK(!run(&v, d, len));
    v.gso_type = VNET_TCP4 | VNET_ECN;
    CHECK(run(&v, d, len));
    v = header_of(d, 8);
    CHECK(run(&v, d, make(d, 4, 1, 1, 5, 65535 - 52)));
    v.gso_size = 7;
    CHECK(!run(&v, d, 65535));
    len = make(d, 4, 1, 1, 5, 3000);
    CHECK(!run(&good, d, len - 1) && !run(&good, d, 52) && !run(&good, d, 39) && !run(&good, d, 19) && !run(&good, d, 0));
    d[6] = 0x20; /* more fragments */
    CHECK(!run(&good, d, len));
    d[6] = 0, d[7] = 1; /* and a later one, over the header of the first */
    CHECK(!run(&good, d, len));
    d[7] = 0, d[0] = 0x4f; /* IPv4 options up to the middle of TCP */
    CHECK(!run(&good, d, 60 + 19));
    d[0] = 0x44;
    CHECK(!run(&good, d, len));
    d[0] = 0x45, d[32] = 0x40; /* TCP header of 16 bytes */
    CHECK(!run(&good, d, len));
    d[32] = 0xf0;
    put16(d + 2, 80);
    CHECK(!run(&good, d, 80)); /* headers and nothing else */
    v = (struct vnet_header){.flags = VNET_NEEDS_CSUM, .csum_start = 20, .csum_offset = 6};
    CHECK(!run(&v, d, 80)); /* not where TCP has it: that would change what was judged */
    d[9] = 17;
    CHECK(run(&v, d, 28) && !run(&v, d, 27));
    v.csum_start = 19;
    CHECK(!run(&v, d, 80));
    v.csum_start = 0, v.csum_offset = 0;
    CHECK(!run(&v, d, 80));
    d[9] = 6;
    v.csum_start = 65535, v.csum_offset = 65535;
    CHECK(!run(&v, d, 65535));
    v.flags = 0;
    CHECK(run(&v, d, 65535) && !run(&v, d, 65536) && !run(&v, d, 0));
    for (int i = 0; i < 60000; i++) {
        size_t n = below(400);
        struct vnet_header any;
        any_bytes(&any, sizeof any);
        if (below(2))
            n = make(d, below(2) ? 4 : 6, (int)below(2), (uint16_t)below(9), 1, below(300)), any = header_of(d, below(300));
        else
            any_bytes(d, n);
        if (below(2) && n)
            d[below((uint32_t)(n < 80 ? n : 80))] = (uint8_t)any_number();
        if (below(4) == 0)
            ((uint8_t *)&any)[below(10)] = (uint8_t)any_number();
        run(&any, d, n);
    }
}

/* -- merging: TUN is a socket that keeps what was written apart */

struct device {
    transport *t;
    int peer;
    struct coalescer c;
};

static void device_open(struct device *dev)
{
    int ends[2], size = 8 << 20;
    memset(dev, 0, sizeof *dev);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) == 0 ||
          setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    dev->t = dev->c.t = shim_transport_new();
    shim_attach_tun(dev->t, ends[0], 1280);
    CHECK(dev->t->tun_features == 0); /* no TUN, no header */
    dev->t->tun_features = FEATURE_VNET | FEATURE_MERGE_TCP | FEATURE_MERGE_UDP;
    dev->peer = ends[1];
}

static void device_close(struct device *dev)
{
    close(dev->peer);
    shim_transport_free(dev->t);
}

/* The next write: 0 when there is none. */
static size_t device_next(struct device *dev, struct vnet_header *v, uint8_t *packet)
{
    static uint8_t buffer[70000];
    ssize_t len = recv(dev->peer, buffer, sizeof buffer, 0);
    if (len < 0)
        return 0;
    CHECK((size_t)len > sizeof *v && len <= (ssize_t)sizeof *v + 65535);
    memcpy(v, buffer, sizeof *v);
    memcpy(packet, buffer + sizeof *v, (size_t)len - sizeof *v);
    return (size_t)len - sizeof *v;
}

static uint8_t made[600][1500], taken[70000];
static size_t sizes[600];

static void put(struct device *dev, int i, size_t len)
{
    sizes[i] = len;
    coalesce_add(&dev->c, made[i], len);
}

/* How many writes come of it; each cut apart again must give the packets of its flow, byte for byte. */
static int writes(struct device *dev, int count)
{
    static uint8_t out[2000];
    struct vnet_header v;
    struct segments s;
    int done[600] = {0}, n = 0, back = 0;
    coalesce_flush(&dev->c);
    for (size_t len; (len = device_next(dev, &v, taken)) != 0; n++) {
        CHECK(segments_open(&s, &v, taken, len));
        CHECK(v.gso_type == 0 || (v.hdr_len <= len && v.csum_start < v.hdr_len));
        for (size_t size; (size = segments_length(&s)) != 0; back++) {
            segments_write(&s, out);
            int i = 0;
            while (i < count && (done[i] || sizes[i] != size || memcmp(made[i], out, size)))
                i++;
            CHECK(i < count);
            done[i] = 1;
            for (int j = 0; j < i; j++) /* none of its flow was overtaken */
                CHECK(done[j] || memcmp(made[i] + (out[0] >> 4 == 4 ? 12 : 8), made[j] + (out[0] >> 4 == 4 ? 12 : 8),
                                        out[0] >> 4 == 4 ? 12 : 36));
        }
    }
    CHECK(back == count);
    return n;
}

static size_t numbered(int i, int family, int tcp, uint16_t flow, uint32_t sequence, size_t payload)
{
    size_t len = make(made[i], family, tcp, flow, sequence, payload);
    if (family == 4) {
        put16(made[i] + 4, (size_t)i);
        finish(made[i], len);
    }
    return len;
}

static void test_merging(void)
{
    struct device dev;
    device_open(&dev);
    for (int kind = 0; kind < 4; kind++) {
        int family = kind & 1 ? 4 : 6, tcp = kind & 2;
        for (int i = 0; i < 50; i++)
            put(&dev, i, numbered(i, family, tcp, 7, (uint32_t)i * 1000, 1000));
        CHECK(writes(&dev, 50) == 1);
        for (int i = 0; i < 500; i++) /* at most 64 at once, however small */
            put(&dev, i, numbered(i, family, tcp, 7, (uint32_t)i, 1));
        CHECK(writes(&dev, 500) == 8);
        for (int i = 0; i < 64; i++) /* at most 65535 bytes */
            put(&dev, i, numbered(i, family, tcp, 7, (uint32_t)i * 1400, 1400));
        CHECK(writes(&dev, 64) == 2);
        for (int i = 0; i < 10; i++) /* a short one is the last; then a longer one starts anew */
            put(&dev, i, numbered(i, family, tcp, 7, (uint32_t)i * 100 - (i > 4), i == 4 ? 99 : 100));
        CHECK(writes(&dev, 10) == 2);
        for (int i = 0; i < 400; i++) /* 20 flows in turn: some are flushed for others */
            put(&dev, i, numbered(i, 6, tcp, (uint16_t)(i % 20), (uint32_t)(i / 20) * 100, 100));
        CHECK(writes(&dev, 400) <= 400);
        for (int i = 0; i < 400; i++)
            put(&dev, i, numbered(i, 6, tcp, (uint16_t)(i % 16), (uint32_t)(i / 16) * 100, 100));
        CHECK(writes(&dev, 400) == 16);
    }
    device_close(&dev);
}

/* Two packets that would be merged but for one byte. */
static int merged_with(struct device *dev, int family, int tcp, size_t at, uint8_t flip, int fix)
{
    put(dev, 0, numbered(0, family, tcp, 7, 0, 100));
    size_t len = numbered(1, family, tcp, 7, 100, 100);
    made[1][at] ^= flip;
    if (fix)
        finish(made[1], len);
    put(dev, 1, len);
    int n = writes(dev, 2);
    CHECK(n == 1 || n == 2);
    return n == 1;
}

static void test_what_keeps_apart(void)
{
    struct device dev;
    device_open(&dev);
    for (size_t i = 0; i < 52; i++) { /* IPv4, TCP with options: identification, lengths and checksums are made anew by finish() */
        int free = i == 2 || i == 3 || i == 10 || i == 11 || i == 36 || i == 37 || i >= 52;
        if (i == 4 || i == 5 || i == 0 || i == 9) /* identification: not looked at, not restored */
            continue;
        if (i != 32)
            CHECK(merged_with(&dev, 4, 1, i, 0x40, 1) == free);
    }
    for (size_t i = 0; i < 152; i++) /* without the checksums made anew, any flipped bit keeps them apart */
        if (i != 0 && i != 9 && i != 32)
            CHECK(!merged_with(&dev, 4, 1, i, 0x40, 0));
    for (size_t i = 40; i < 148; i++)
        CHECK(!merged_with(&dev, 6, 0, i, 1, 0));
    CHECK(merged_with(&dev, 4, 1, 33, 8, 1));                                             /* PSH */
    CHECK(!merged_with(&dev, 4, 1, 33, 1, 1) && !merged_with(&dev, 4, 1, 33, 2, 1));       /* FIN, SYN */
    CHECK(!merged_with(&dev, 4, 1, 33, 4, 1) && !merged_with(&dev, 4, 1, 33, 0x80, 1));    /* RST, CWR */
    CHECK(!merged_with(&dev, 4, 1, 1, 1, 1) && !merged_with(&dev, 6, 1, 1, 0x10, 1));      /* ECN */
    CHECK(!merged_with(&dev, 6, 1, 3, 1, 1) && !merged_with(&dev, 6, 1, 7, 1, 1));         /* flow label, hop limit */
    put(&dev, 0, numbered(0, 4, 1, 7, 0, 100));
    put(&dev, 1, numbered(1, 4, 1, 7, 101, 100)); /* a gap */
    put(&dev, 2, numbered(2, 4, 1, 7, 0, 100));   /* a repetition */
    CHECK(writes(&dev, 3) == 3);
    for (int i = 0; i < 4; i++) { /* UDP without a checksum stays as it is */
        size_t len = numbered(i, 4, 0, 7, 0, 100);
        put16(made[i] + 26, 0);
        put(&dev, i, len);
    }
    CHECK(writes(&dev, 4) == 4);
    shim_set_features(dev.t, FEATURES_ALL & ~FEATURE_MERGE_TCP);
    CHECK(dev.t->tun_features == 0);
    dev.t->tun_features = FEATURE_VNET | FEATURE_MERGE_TCP | FEATURE_MERGE_UDP;
    CHECK(!merged_with(&dev, 4, 1, 33, 8, 1) && merged_with(&dev, 4, 0, 30, 8, 1));
    device_close(&dev);
}

static void test_rubbish_between(void)
{
    struct device dev;
    device_open(&dev);
    for (int round = 0; round < 400; round++) {
        uint32_t sequence[4] = {0};
        int count = 1 + (int)below(60);
        for (int i = 0; i < count; i++) {
            uint16_t flow = (uint16_t)below(4);
            size_t payload = 1 + (below(8) ? 99 : below(100)), len;
            len = numbered(i, below(9) ? 6 : 4, (int)below(4), flow, sequence[flow], payload);
            sequence[flow] += (uint32_t)payload;
            if (below(20) == 0)
                made[i][28 + below((uint32_t)len - 28)] ^= (uint8_t)(1 << below(8));
            if (below(30) == 0)
                len = 28 + below((uint32_t)len - 28);
            uint8_t *exact = malloc(len); /* what is read must be within */
            memcpy(exact, made[i], len);
            coalesce_add(&dev.c, exact, len);
            coalesce_flush(&dev.c);
            free(exact);
            while (device_next(&dev, &(struct vnet_header){0}, taken)) {
            }
        }
        for (int i = 0; i < count; i++)
            coalesce_add(&dev.c, made[i], 48);
        coalesce_flush(&dev.c);
        while (device_next(&dev, &(struct vnet_header){0}, taken)) {
        }
    }
    CHECK(dev.t->drops[DROP_tun] == 0);
    device_close(&dev);
}

/* An epoll descriptor answers each write with EINVAL, as a kernel does that does not know the type. */
static void test_device_refuses(void)
{
    struct device dev;
    device_open(&dev);
    int epoll = epoll_create1(0), kept = dev.t->tun_fd;
    dev.t->tun_fd = epoll;
    for (int i = 0; i < 3; i++)
        coalesce_add(&dev.c, made[i], numbered(i, 4, 0, 7, 0, 100));
    coalesce_flush(&dev.c);
    CHECK(!(dev.t->tun_features & FEATURE_MERGE_UDP) && (dev.t->tun_features & FEATURE_MERGE_TCP));
    CHECK(dev.t->drops[DROP_tun] == 3); /* each was tried */
    dev.t->tun_fd = kept;
    for (int i = 0; i < 3; i++)
        put(&dev, i, numbered(i, 4, 0, 7, 0, 100));
    CHECK(writes(&dev, 3) == 3);
    close(epoll);
    device_close(&dev);
}

/* -- runs */

static uint8_t log_of_sends[200000];

static void test_runs(void)
{
    transport *t = shim_transport_new();
    struct path to = {.family = 4, .address = {127, 0, 0, 1}};
    int port = shim_bind(t, 0, 4, 0), sink = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1, size = 4 << 20;
    union any_address a;
    socklen_t len = socket_address(&a, 4, to.address, 0);
    CHECK(port > 0 && sink >= 0 && bind(sink, &a.plain, len) == 0 && getsockname(sink, &a.plain, &len) == 0);
    setsockopt(sink, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    to.port = ntohs(a.v4.sin_port);
    any_bytes(log_of_sends, sizeof log_of_sends);
    for (int round = 0; round < 3; round++) {
        struct outbox o = {.t = t};
        size_t at = 0, got = 0;
        int n = 0, messages = 0;
        for (int i = 0; i < 49; i++, at += 1312)
            outbox_add(&o, &to, log_of_sends + at, 1312, 0);
        CHECK(o.count == 1); /* 64,288 bytes; one more would be over 65,507 */
        for (int i = 0; i < 10; i++, at += 1312)
            outbox_add(&o, &to, log_of_sends + at, 1312, 0);
        CHECK(o.count == 2);
        for (int i = 0; i < 3; i++, at += 100)
            outbox_add(&o, &to, log_of_sends + at, 100, 0); /* the first ends the run */
        CHECK(o.count == 3 && o.items[1].messages == 11);
        for (int i = 0; i < 100; i++, at += 20)
            outbox_add(&o, &to, log_of_sends + at, 20, 0); /* 64 a run; the first ends the run of 100 bytes */
        CHECK(o.count == 5 && o.items[3].messages == 64);
        outbox_add(&o, &to, log_of_sends, 0, 0);
        outbox_add(&o, &to, log_of_sends, 0, 0);
        CHECK(o.count == 7);
        outbox_flush(&o);
        uint8_t *in = malloc(70000);
        for (ssize_t r; (r = recv(sink, in, 70000, 0)) >= 0; n++, got += (size_t)r) {
            CHECK(r <= 1312 && !memcmp(in, log_of_sends + got, (size_t)r));
            messages++;
        }
        free(in);
        CHECK(messages == 49 + 10 + 3 + 100 + 2 && got == at && t->drops[DROP_send] == 0);
        if (round == 0) { /* refused as on a kernel that cannot: the run arrives all the same, and the last was tried */
            CHECK(shim_features(t) & FEATURE_SEGMENT);
            CHECK(setsockopt(t->sockets[0].fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on) == 0);
        } else {
            CHECK(!(shim_features(t) & FEATURE_SEGMENT));
            shim_set_features(t, round == 1 ? 0 : FEATURES_ALL);
        }
    }
    CHECK((shim_features(t) & ~(unsigned)FEATURE_LANES) == (FEATURE_SEGMENT | FEATURE_GRO));
    close(sink);
    shim_transport_free(t);
}

int main(void)
{
    test_checksum();
    test_cutting();
    test_hostile_headers();
    test_merging();
    test_what_keeps_apart();
    test_rubbish_between();
    test_device_refuses();
    test_runs();
    return 0;
}
