/* The UDP relay: what is let up to Python and how much of it, and a relay on the loopback between an IPv4 and an IPv6 client: singles, runs and
 * mixtures of them come out unchanged and in order, with every feature on and off; strangers and rubbish do not; what comes before its pair is bound waits for that; pairs
 * change under load. */
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "peerrelay.h"
#include "sockets.h"

enum { HANDSHAKE = 160 + 8, PING = 124, VNI = 0x123456, OTHER = 7 };

static const uint8_t keys[2][32] = {{1}, {2}};

static uint64_t counter(peerrelay *r, const char *name)
{
    uint64_t all[32];
    int count = shim_peerrelay_counters(r, all, 32);
    for (int i = 0; i < count; i++)
        if (!strcmp(shim_peerrelay_counter_name(i), name))
            return all[i];
    CHECK(!"no such counter");
    return 0;
}

/* -- admit */

static size_t handshake(uint8_t *out, uint32_t vni, const uint8_t *key)
{
    const uint8_t head[14] = {0, 0x80, 0x7a, 0x11, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8), (uint8_t)vni, 0, 'T', 'S', 0xf0, 0x9f, 0x92, 0xac};
    memset(out, 0, 2000);
    memcpy(out, head, sizeof head);
    memcpy(out + 14, key, 32);
    return 8 + 62 + 16 + 2 + 72;
}

static void test_rate(void)
{
    struct rate rate = {0};
    const struct limit limit = {1000, 5};
    int64_t now = 1000000;
    int taken = 0;
    for (int i = 0; i < 100; i++)
        taken += rate_take(&rate, &limit, now);
    CHECK(taken == 5);
    CHECK(!rate_take(&rate, &limit, now + 999) && rate_take(&rate, &limit, now + 1000) && !rate_take(&rate, &limit, now + 1001));
    for (taken = 0, now += 1000000; now < 2100000; now += 10)
        taken += rate_take(&rate, &limit, now);
    CHECK(taken >= 100 && taken <= 106);
}

static void test_admit(void)
{
    static uint8_t data[2000];
    const uint8_t stun[40] = {0, 1, 0, 20, 0x21, 0x12, 0xa4, 0x42};
    peerrelay *r = shim_peerrelay_new();
    struct path from = {.family = 4, .port = 1, .address = {192, 0, 2, 1}}, nowhere = from;
    int64_t now = 1000000000;
    nowhere.port = 0;
    CHECK(shim_peerrelay_open(r, VNI, keys[0], keys[1]) && !shim_peerrelay_open(r, VNI, keys[0], keys[1]));
    CHECK(!shim_peerrelay_open(r, 0, keys[0], keys[1]) && !shim_peerrelay_open(r, MAX_VNI + 1, keys[0], keys[1]));

    size_t len = handshake(data, VNI, keys[1]);
    CHECK(admit(r, &from, data, len, now) && !admit(r, &nowhere, data, len, now));
    CHECK(!admit(r, &from, data, len - 1, now) && !admit(r, &from, data, 1500, now));
    for (size_t i = 0; i < 46; i++) { /* every byte of the headers counts; the number's and the key's are told apart */
        data[i] ^= 0x55;
        CHECK(!admit(r, &from, data, len, now));
        data[i] ^= 0x55;
    }
    CHECK(counter(r, "drop_unknown") == 3 && counter(r, "drop_key") == 32 && counter(r, "drop_malformed") == 14);

    int up = 0;
    for (int i = 0; i < 1000; i++)
        up += admit(r, &from, data, len, now);
    CHECK(up == 63 && counter(r, "drop_rate") == 937); /* one went before */
    CHECK(shim_peerrelay_open(r, OTHER, keys[0], keys[1]) && admit(r, &from, data, handshake(data, OTHER, keys[0]), now)); /* and no other pair's */
    CHECK(shim_peerrelay_close(r, OTHER) && !shim_peerrelay_close(r, OTHER) && !admit(r, &from, data, handshake(data, OTHER, keys[0]), now));

    CHECK(admit(r, &from, stun, 40, now) && !admit(r, &from, stun, 39, now));
    memcpy(data, "TS\xf0\x9f\x92\xac", 6);
    CHECK(admit(r, &from, data, PING, now) && !admit(r, &from, data, PING - 1, now) && !admit(r, &from, data, 1501, now));
    for (int i = up = 0; i < 1000; i++)
        up += admit(r, &from, stun, 40, now);
    CHECK(up == 62);
    for (uint32_t i = up = 0; i < 100000; i++) { /* a flood of forged sources */
        memcpy(from.address, &i, 4);
        up += admit(r, &from, stun, 40, now);
    }
    CHECK(up > 300 && up <= 500);
    for (int i = 0; i < 100000; i++) {
        uint8_t rubbish[256];
        size_t n = below(sizeof rubbish);
        any_bytes(rubbish, n);
        if (n > 8 && below(2))
            memcpy(rubbish, data, below(8));
        uint8_t *exact = malloc(n ? n : 1); /* so that a read past the end is seen */
        memcpy(exact, rubbish, n);
        admit(r, &from, exact, n, now += 10);
        free(exact);
    }
    shim_peerrelay_free(r);
}

static void test_ring(void)
{
    static uint8_t out[4096], data[1500];
    peerrelay *r = shim_peerrelay_new();
    struct path from = {.family = 4, .port = 1};
    for (int i = 0; i < PLACE_RING + 500; i++)
        peerrelay_raise(r, &from, data, sizeof data);
    CHECK(counter(r, "to_python") + counter(r, "drop_ring") == PLACE_RING + 500 && counter(r, "drop_ring") >= 500);
    uint64_t taken = 0;
    for (int64_t n; (n = shim_peerrelay_poll(r, out, sizeof out)) > 0;)
        taken += (uint64_t)n / (80 + sizeof data);
    CHECK(taken == counter(r, "to_python") && shim_peerrelay_poll(r, out, 10) == 0);
    peerrelay_raise(r, &from, data, 5);
    CHECK(shim_peerrelay_poll(r, out, 10) == -85 && shim_peerrelay_poll(r, out, 85) == 85);
    shim_peerrelay_free(r);
}

/* -- on the loopback */

struct end {
    int fd;
    union any_address address; /* its own */
    struct path path;          /* as the relay sees it */
};

static union any_address loopback(int family, uint16_t port, socklen_t *len)
{
    union any_address a;
    const uint8_t v4[4] = {127, 0, 0, 1}, v6[16] = {[15] = 1};
    *len = socket_address(&a, family, family == 4 ? v4 : v6, port);
    return a;
}

static struct end open_end(int family)
{
    struct end e;
    socklen_t len;
    int size = 4 << 20;
    e.fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    e.address = loopback(family, 0, &len);
    CHECK(e.fd >= 0 && bind(e.fd, &e.address.plain, len) == 0 && getsockname(e.fd, &e.address.plain, &len) == 0);
    setsockopt(e.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    socket_path(&e.path, &e.address, family == 6); /* the relay's sockets: 0 is IPv4, 1 is IPv6 */
    return e;
}

struct lab {
    peerrelay *r;
    struct end clients[2], stranger;
    union any_address relay[2];
    socklen_t lens[2];
};

static struct lab lab_open(unsigned features)
{
    struct lab l = {.r = shim_peerrelay_new(), .clients = {open_end(4), open_end(6)}, .stranger = open_end(4)};
    for (int i = 0; i < 2; i++) {
        struct end e = open_end(i ? 6 : 4);
        CHECK(shim_peerrelay_adopt(l.r, e.fd) == i);
        l.relay[i] = e.address;
        l.lens[i] = i ? sizeof e.address.v6 : sizeof e.address.v4;
    }
    shim_peerrelay_set_features(l.r, features);
    CHECK(shim_peerrelay_open(l.r, VNI, keys[0], keys[1]) && shim_peerrelay_open(l.r, OTHER, keys[0], keys[1]));
    CHECK(shim_peerrelay_start(l.r) == 0 && shim_peerrelay_start(l.r) == 0);
    return l;
}

static void lab_close(struct lab *l)
{
    shim_peerrelay_free(l->r);
    close(l->clients[0].fd);
    close(l->clients[1].fd);
    close(l->stranger.fd);
}

static int pair_up(struct lab *l, uint32_t vni)
{
    return shim_peerrelay_bind(l->r, vni, (const uint8_t *)&l->clients[0].path, (const uint8_t *)&l->clients[1].path);
}

static void data_message(uint8_t *out, size_t len, uint32_t vni, uint32_t number)
{
    const uint8_t head[8] = {0, 0, 0x7a, 0x12, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8), (uint8_t)vni, 0};
    memcpy(out, head, 8);
    for (size_t i = 8; i < len; i++)
        out[i] = (uint8_t)(number * 31 + i);
    memcpy(out + 8, &number, 4);
}

static void send_from(struct lab *l, const struct end *e, const void *data, size_t len, size_t size)
{
    int side = e->path.family == 6;
    struct iovec v = {(void *)data, len};
    union control control;
    struct msghdr m = {.msg_name = &l->relay[side], .msg_namelen = l->lens[side], .msg_iov = &v, .msg_iovlen = 1};
    memset(&control, 0, sizeof control);
    if (size)
        socket_put_size(&m, &control, size);
    CHECK(sendmsg(e->fd, &m, 0) == (ssize_t)len);
}

/* The next datagram, or -1 when none comes. */
static ssize_t next(const struct end *e, uint8_t *out, size_t room, int wait_ms)
{
    struct pollfd p = {e->fd, POLLIN, 0};
    return poll(&p, 1, wait_ms) > 0 ? recv(e->fd, out, room, 0) : -1;
}

static void expect(const struct end *e, size_t len, uint32_t vni, uint32_t number)
{
    static uint8_t got[70000], wanted[70000];
    data_message(wanted, len, vni, number);
    ssize_t n = next(e, got, sizeof got, 5000);
    CHECK(n == (ssize_t)len && memcmp(got, wanted, len) == 0);
}

static void test_forward(unsigned features)
{
    static uint8_t run[64 * 1000];
    struct lab l = lab_open(features);
    uint8_t one[1500];
    data_message(one, 100, VNI, 1);
    send_from(&l, &l.clients[0], one, 100, 0); /* not bound yet */
    while (counter(l.r, "drop_unbound") == 0)
        usleep(1000);
    struct path unknown = l.clients[0].path;
    unknown.uplink = 2;
    CHECK(!shim_peerrelay_bind(l.r, VNI, (uint8_t *)&unknown, (uint8_t *)&l.clients[1].path) && !pair_up(&l, 99));
    CHECK(pair_up(&l, VNI));

    for (uint32_t i = 0; i < 200; i++) { /* both ways, any length */
        size_t len = 12 + below(1400);
        data_message(one, len, VNI, i);
        send_from(&l, &l.clients[i & 1], one, len, 0);
        expect(&l.clients[!(i & 1)], len, VNI, i);
    }
    for (uint32_t number = 0; number < 50 * 40; number += 40) { /* a run with a short end, as one send */
        for (uint32_t i = 0; i < 40; i++)
            data_message(run + (size_t)i * 1000, i == 39 ? 300 : 1000, VNI, number + i);
        send_from(&l, &l.clients[0], run, 39 * 1000 + 300, 1000);
        for (uint32_t i = 0; i < 40; i++)
            expect(&l.clients[1], i == 39 ? 300 : 1000, VNI, number + i);
    }
    CHECK(pair_up(&l, OTHER));
    for (uint32_t i = 0; i < 40; i++) /* a run of two pairs, mixed */
        data_message(run + (size_t)i * 1000, 1000, i % 3 ? VNI : OTHER, i);
    send_from(&l, &l.clients[1], run, 40 * 1000, 1000);
    for (uint32_t i = 0; i < 40; i++)
        expect(&l.clients[0], 1000, i % 3 ? VNI : OTHER, i);

    data_message(one, 100, VNI, 5); /* a stranger, and the right client's words from a wrong place */
    uint64_t before = counter(l.r, "drop_source");
    send_from(&l, &l.stranger, one, 100, 0);
    while (counter(l.r, "drop_source") == before)
        usleep(1000);
    CHECK(next(&l.clients[1], one, sizeof one, 0) < 0 && next(&l.clients[0], one, sizeof one, 0) < 0);

    uint64_t stats[6];
    CHECK(shim_peerrelay_stats(l.r, VNI, stats) && stats[0] == 100 + 2000 && stats[1] > 50 * 39300 && stats[2] && stats[5]);
    CHECK(counter(l.r, "packets") == 200 + 2000 + 40 && counter(l.r, "drop_send") == 0);
    CHECK(shim_peerrelay_close(l.r, VNI) && !shim_peerrelay_stats(l.r, VNI, stats));
    data_message(one, 100, VNI, 6);
    before = counter(l.r, "drop_unknown");
    send_from(&l, &l.clients[0], one, 100, 0);
    while (counter(l.r, "drop_unknown") == before)
        usleep(1000);
    CHECK(next(&l.clients[1], one, sizeof one, 0) < 0);
    lab_close(&l);
}

static void test_to_python(void)
{
    struct lab l = lab_open(3);
    uint8_t data[2000], out[4096];
    struct pollfd p = {shim_peerrelay_fileno(l.r), POLLIN, 0};
    size_t len = handshake(data, VNI, keys[0]);
    send_from(&l, &l.clients[1], data, len, 0);
    CHECK(poll(&p, 1, 5000) == 1 && shim_peerrelay_poll(l.r, out, sizeof out) == (int64_t)(80 + len));
    CHECK(memcmp(out + 16, &l.clients[1].path, sizeof(struct path)) == 0 && memcmp(out + 80, data, len) == 0);
    CHECK(poll(&p, 1, 0) == 0);
    shim_peerrelay_send(l.r, out + 16, data, 50); /* back to where it came from */
    CHECK(next(&l.clients[1], out, sizeof out, 5000) == 50);
    struct path nowhere = {.family = 4, .uplink = 9, .port = 9};
    shim_peerrelay_send(l.r, (uint8_t *)&nowhere, data, 50);
    CHECK(counter(l.r, "drop_send") == 1);
    lab_close(&l);
}

static size_t question(uint8_t *out, uint32_t vni, const uint8_t *key, uint8_t mark)
{
    const uint8_t head[14] = {0, 0, 0x7a, 0x11, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8), (uint8_t)vni, 0, 'T', 'S', 0xf0, 0x9f, 0x92, 0xac};
    memset(out, mark, 132);
    memcpy(out, head, sizeof head);
    memcpy(out + 14, key, 32);
    return 132;
}

static void ask(struct lab *l, const struct end *from, const uint8_t *key, uint8_t mark)
{
    uint8_t data[132];
    send_from(l, from, data, question(data, VNI, key, mark), 0);
}

static void expect_question(const struct end *e, uint8_t mark)
{
    uint8_t got[2000];
    CHECK(next(e, got, sizeof got, 5000) == 132 && got[131] == mark);
}

static void wait_for(peerrelay *r, const char *name, uint64_t value)
{
    for (int i = 0; counter(r, name) != value; i++) {
        CHECK(i < 5000);
        usleep(1000);
    }
}

static int held(peerrelay *r)
{
    pthread_rwlock_wrlock(&r->table);
    int count = r->held;
    pthread_rwlock_unlock(&r->table);
    return count;
}

/* What clients ask each other before both are bound, and from a new address before that is bound. */
static void test_hold(void)
{
    struct lab l = lab_open(3);
    uint8_t data[2000];
    for (uint8_t mark = 1; mark <= 3; mark++) /* of three the newest two */
        ask(&l, &l.clients[0], keys[0], mark);
    ask(&l, &l.clients[1], keys[1], 4);
    wait_for(l.r, "drop_unbound", 1);
    ask(&l, &l.stranger, keys[1], 5); /* says that it is the second, and is not */
    ask(&l, &l.stranger, (const uint8_t[32]){3}, 6);
    send_from(&l, &l.clients[0], data, question(data, VNI, keys[0], 7) - 60, 0);
    data_message(data, 132, VNI, 8);
    send_from(&l, &l.clients[0], data, 132, 0);
    wait_for(l.r, "drop_unbound", 4);
    CHECK(held(l.r) == 4);
    CHECK(pair_up(&l, VNI) && held(l.r) == 0);
    expect_question(&l.clients[1], 2);
    expect_question(&l.clients[1], 3);
    expect_question(&l.clients[0], 4);
    wait_for(l.r, "drop_unbound", 5);
    CHECK(counter(l.r, "packets") == 3 && counter(l.r, "bytes") == 3 * 132);
    CHECK(next(&l.clients[1], data, sizeof data, 0) < 0 && next(&l.clients[0], data, sizeof data, 0) < 0);

    ask(&l, &l.stranger, keys[0], 9); /* this time it is the first, which moved */
    while (held(l.r) == 0)
        usleep(1000);
    CHECK(shim_peerrelay_bind(l.r, VNI, (const uint8_t *)&l.stranger.path, (const uint8_t *)&l.clients[1].path));
    expect_question(&l.clients[1], 9);
    ask(&l, &l.clients[0], keys[0], 10);
    while (held(l.r) == 0)
        usleep(1000);
    CHECK(shim_peerrelay_close(l.r, VNI) && held(l.r) == 0 && counter(l.r, "drop_unbound") == 6);
    lab_close(&l);
}

/* Bounds in number and time, without sockets. */
static void test_hold_bounds(void)
{
    peerrelay *r = shim_peerrelay_new();
    struct path from = {.family = 4, .port = 1};
    uint8_t data[132];
    int taken = 0;
    for (uint32_t vni = 1; vni <= 3000; vni++) {
        CHECK(shim_peerrelay_open(r, vni, keys[0], keys[1]));
        for (int i = 0; i < 2; i++)
            taken += hold(r, place_of(r, (const uint8_t[]){0, 0, 0, 0, 0, (uint8_t)(vni >> 8), (uint8_t)vni, 0}), &from, data, question(data, vni, keys[i], 1), 1000);
    }
    CHECK(taken == PLACE_HELD_ALL && r->held == PLACE_HELD_ALL);
    struct place *place = map_get(&r->places, 1);
    place->sides[0].path = place->sides[1].path = from;
    hold_release(r, place, 1000 + 5001); /* nobody waits for the answer any more */
    CHECK(r->held == PLACE_HELD_ALL - 2 && counter(r, "drop_unbound") == 2 && counter(r, "packets") == 0);
    CHECK(hold(r, place, &from, data, question(data, 1, keys[0], 1), 1) == 1);
    shim_peerrelay_free(r);
}

/* Rubbish from everybody while pairs come and go; what is right still passes. */
static void test_hostile(void)
{
    struct lab l = lab_open(3);
    uint8_t data[4096], one[100];
    for (uint32_t round = 0; round < 6000; round++) {
        size_t len = 1 + below(round % 10 ? 200 : sizeof data);
        any_bytes(data, len);
        if (below(4))
            data_message(data, 12, below(2) ? VNI : below(16), round);
        if (below(4) == 0)
            len = question(data, below(16), keys[below(2)], 1);
        data[below(8) % len] ^= (uint8_t)below(256);
        send_from(&l, below(2) ? &l.stranger : &l.clients[below(2)], data, len, len > 100 && below(2) ? 9 + len / 8 : 0);
        if (round % 7 == 0) {
            uint32_t vni = 1 + below(16);
            shim_peerrelay_open(l.r, vni, keys[0], keys[1]);
            pair_up(&l, vni);
            shim_peerrelay_close(l.r, 1 + below(16));
        }
        if (round % 100 == 0)
            shim_peerrelay_set_features(l.r, below(4));
        while (shim_peerrelay_poll(l.r, data, sizeof data) > 0)
            continue;
        while (next(&l.clients[0], data, sizeof data, 0) >= 0 || next(&l.clients[1], data, sizeof data, 0) >= 0)
            continue;
    }
    shim_peerrelay_open(l.r, 77, keys[0], keys[1]);
    CHECK(pair_up(&l, 77));
    data_message(one, sizeof one, 77, 4);
    send_from(&l, &l.clients[1], one, sizeof one, 0);
    for (int i = 0;; i++) {
        ssize_t n = next(&l.clients[0], data, sizeof data, 5000);
        CHECK(n >= 0);
        if (n == sizeof one && memcmp(data, one, sizeof one) == 0)
            break;
    }
    shim_peerrelay_stop(l.r);
    shim_peerrelay_stop(l.r);
    lab_close(&l);
}

int main(void)
{
    test_rate();
    test_admit();
    test_ring();
    for (unsigned features = 0; features < 4; features++)
        test_forward(features);
    test_to_python();
    test_hold();
    test_hold_bounds();
    test_hostile();
    return 0;
}
