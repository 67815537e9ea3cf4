/* The whole packet path: two transports with a session, then rubbish in every entrance, and threads beside transactions. */
#include <pthread.h>
#include <unistd.h>

#include "check.h"
#include "transport.h"

static uint8_t buffer[1 << 20];
static size_t filled;

static void change(uint8_t operation, const void *body, size_t len)
{
    uint32_t size = (uint32_t)len;
    buffer[filled] = operation;
    memcpy(buffer + filled + 1, &size, 4);
    memcpy(buffer + filled + 5, body, len);
    filled += 5 + len;
}

static int commit(transport *t)
{
    char error[256] = "";
    int ok = shim_apply(t, buffer, filled, error, sizeof error);
    CHECK(ok || error[0]);
    filled = 0;
    return ok;
}

static void peer_change(uint64_t id, uint8_t key, uint8_t last)
{
    uint8_t body[58] = {0};
    memcpy(body, &id, 8);
    memset(body + 8, key, 32);
    memcpy(body + 40, "\4\x20\x64\x40\0", 5);
    body[45] = last;
    change(4, body, sizeof body);
}

static void paths_change(uint64_t id, int count)
{
    uint8_t body[8 + 2 * sizeof(struct path)];
    struct path p = {.family = 4, .port = 1, .address = {127, 0, 0, 1}};
    memcpy(body, &id, 8);
    memcpy(body + 8, &p, sizeof p);
    p.family = 0;
    p.id = 900;
    memcpy(body + 8 + sizeof p, &p, sizeof p);
    change(6, body, 8 + (size_t)count * sizeof p);
}

static void session_change(uint64_t id, uint8_t slot, uint32_t local, uint32_t remote, uint8_t send, uint8_t receive)
{
    uint8_t body[81];
    memcpy(body, &id, 8);
    body[8] = slot;
    memcpy(body + 9, &local, 4);
    memcpy(body + 13, &remote, 4);
    memset(body + 17, send, 32);
    memset(body + 49, receive, 32);
    change(7, body, sizeof body);
}

static void number_change(uint8_t operation, uint64_t id)
{
    change(operation, &id, 8);
}

static void addresses_change(uint8_t last)
{
    uint8_t prefix[18] = {4, 32, 0x64, 0x40, 0, last};
    change(2, prefix, sizeof prefix);
}

static size_t udp_packet(uint8_t *d, uint8_t from, uint8_t to, size_t payload)
{
    size_t len = 28 + payload;
    memset(d, 0, len);
    d[0] = 0x45;
    d[2] = (uint8_t)(len >> 8);
    d[3] = (uint8_t)len;
    d[9] = 17;
    memcpy(d + 12, "\x64\x40\0", 3);
    memcpy(d + 16, "\x64\x40\0", 3);
    d[15] = from;
    d[19] = to;
    return len;
}

static uint64_t counter(transport *t, enum drop reason)
{
    return atomic_load(&t->drops[reason]);
}

static transport *endpoint(uint8_t own, uint8_t other)
{
    transport *t = shim_transport_new();
    uint8_t all[80] = {0}, key[32] = {own}, up[5] = {0x84, 3, 0, 0, 1};
    memset(all, 0xff, 32);
    all[35] = all[39] = 1;
    all[40] = all[58] = 4;
    all[78] = all[79] = 0xff;
    CHECK(t);
    change(1, key, sizeof key);
    addresses_change(own);
    change(11, all, sizeof all);
    change(12, up, sizeof up);
    peer_change(1, other, other);
    paths_change(1, 2);
    CHECK(commit(t));
    return t;
}

static int64_t carry(transport *from, transport *to)
{
    static uint8_t records[1 << 17];
    int64_t len = shim_datagrams(from, records, sizeof records);
    for (int64_t at = 0; at < len;) {
        struct record_head head;
        memcpy(&head, records + at, sizeof head);
        CHECK(shim_datagram(to, (uint8_t *)&head.path, records + at + sizeof head, head.len));
        at += (int64_t)sizeof head + head.len;
    }
    return len;
}

static void test_session(void)
{
    static uint8_t packet[2000], out[1 << 17];
    transport *a = endpoint(1, 2), *b = endpoint(2, 1);
    for (int i = 0; i < 130; i++)
        CHECK(shim_packet(a, packet, udp_packet(packet, 1, 2, 10)));
    CHECK(counter(a, DROP_queue) == 2);
    session_change(1, 1, 22, 11, 2, 1);
    CHECK(commit(b));
    session_change(1, 0, 11, 22, 1, 2);
    CHECK(commit(a));
    carry(a, b);
    CHECK(shim_packets(b, out, sizeof out) == 128 * (80 + 38));
    CHECK(shim_relay_out(a, 900, out, sizeof out, 65536) == 128 * (5 + 32 + 32 + 48));
    CHECK(shim_relay_out(a, 900, out, sizeof out, 65536) == 0);
    CHECK(shim_packet(b, packet, udp_packet(packet, 2, 1, 1000)));
    CHECK(shim_packet(b, packet, udp_packet(packet, 2, 9, 10)) && counter(b, DROP_no_route) == 1);
    carry(b, a);
    CHECK(shim_packets(a, out, sizeof out) == 80 + 1028);
    CHECK(shim_poll(a, out, 79) == -80 && shim_poll(a, out, sizeof out) > 0 && shim_poll(a, out, sizeof out) == 0);
    number_change(5, 1);
    CHECK(commit(a));
    CHECK(shim_packet(b, packet, udp_packet(packet, 2, 1, 10)) && carry(b, a) > 0);
    CHECK(shim_packets(a, out, sizeof out) == 0 && counter(a, DROP_index) == 1);
    shim_transport_free(a);
    shim_transport_free(b);
}

/* Messages that a peer really sealed, their counters out of order, twice, and around 2^60: each is delivered once, or is too old. */
static void test_counters(void)
{
    enum { SPAN = 20000, WINDOW = 8128, COUNT = 30000 };
    static uint8_t seen[SPAN], out[1 << 17], key[32];
    uint8_t message[16 + 48 + 16];
    struct path from = {.family = 4, .port = 1, .address = {127, 0, 0, 1}};
    for (int high = 0; high < 2; high++) {
        const uint64_t base = high ? (1ULL << 60) - SPAN / 2 : 0;
        transport *b = endpoint(2, 1);
        uint64_t newest = 0, accepted = 0, replayed = 0;
        memset(seen, 0, sizeof seen);
        memset(key, 1, sizeof key);
        session_change(1, 0, 22, 11, 2, 1);
        CHECK(commit(b));
        for (int i = 0; i < COUNT; i++) {
            uint64_t step = below(100) ? below(8) : below(SPAN), number = newest + 2 > step ? newest + 2 - step : 0;
            if (number >= SPAN)
                break;
            struct aead_item item = {.data = message + 16, .len = 48, .counter = base + number};
            memset(message, 0, sizeof message);
            udp_packet(message + 16, 1, 2, 10);
            memcpy(message, "\4\0\0\0\x16\0\0\0", 8);
            memcpy(message + 8, &item.counter, 8);
            aead_seal_items(key, &item, 1, 0);
            int fresh = !seen[number] && (number > newest || newest - number <= WINDOW);
            CHECK(item.ok && shim_datagram(b, (uint8_t *)&from, message, sizeof message));
            accepted += (uint64_t)fresh;
            replayed += (uint64_t)!fresh;
            seen[number] = 1;
            newest = number > newest ? number : newest;
            if (i % 512 == 511)
                shim_packets(b, out, sizeof out);
        }
        uint64_t stats[4];
        CHECK(shim_peer_stats(b, 1, stats) && stats[3] == accepted && counter(b, DROP_replay) == replayed);
        CHECK(accepted > 1000 && replayed > 1000 && counter(b, DROP_auth) == 0);
        shim_transport_free(b);
    }
}

static void test_atomic(void)
{
    transport *t = endpoint(1, 2);
    session_change(1, 0, 5, 6, 1, 2);
    number_change(10, 77); /* no such peer: nothing of the transaction stays, nothing leaks */
    CHECK(!commit(t) && t->sessions.used == 0);
    session_change(1, 0, 5, 6, 1, 2);
    session_change(1, 1, 5, 6, 1, 2); /* the same index twice */
    CHECK(!commit(t) && t->sessions.used == 0);
    number_change(5, 1);
    peer_change(3, 2, 2); /* the key is free again within the transaction */
    session_change(3, 0, 5, 6, 1, 2);
    CHECK(commit(t) && t->sessions.used == 1);
    peer_change(3, 9, 2);
    CHECK(!commit(t));
    number_change(5, 3);
    CHECK(commit(t) && t->sessions.used == 0 && t->peers.used == 0);
    for (uint32_t i = 0; i < 50; i++) { /* slots push old sessions out; their indices go with them */
        if (i == 0)
            peer_change(3, 9, 2);
        session_change(3, i & 1, i, i, 1, 2);
    }
    CHECK(commit(t) && t->sessions.used == 3);
    shim_transport_free(t);
}

static void test_rubbish(void)
{
    static uint8_t out[1 << 17];
    transport *t = endpoint(1, 2);
    session_change(1, 0, 11, 22, 1, 2);
    CHECK(commit(t));
    for (int i = 0; i < 60000; i++) {
        size_t len = below(200);
        uint8_t *d = malloc(len + 1);
        struct path p = {.family = below(2) ? 4 : 6, .port = 9};
        char error[256];
        any_bytes(d, len);
        if (below(2) && len >= 16)
            memcpy(d, "\4\0\0\0\x0b\0\0\0", 8);
        if (below(4) == 0 && len >= 8)
            memcpy(d, "\0\0\x7a\x12\0\0\1\0", 8);
        if (below(4) == 0 && len >= 16)
            memcpy(d + 8, "\4\0\0\0\x0b\0\0\0", 8);
        CHECK(shim_datagram(t, (uint8_t *)&p, d, len) && shim_packet(t, d, len));
        shim_relay_in(t, 1 + below(3), d, len);
        if (len > 5) { /* a transaction that has at least its frame right, half of the time */
            d[0] = (uint8_t)below(14);
            uint32_t size = (uint32_t)len - 5;
            if (below(2))
                memcpy(d + 1, &size, 4);
            if (below(2) && len > 13)
                memset(d + 5, 0, 8), d[5] = 1;
        }
        shim_apply(t, d, len, error, sizeof error);
        if (i % 64 == 0) {
            shim_poll(t, out, sizeof out);
            shim_datagrams(t, out, sizeof out);
            shim_packets(t, out, sizeof out);
            number_change(5, 1);
            commit(t);
            peer_change(1, 2, 2);
            paths_change(1, 2);
            commit(t);
            session_change(1, 0, 11, 22, 1, 2);
            commit(t);
        }
        free(d);
    }
    shim_transport_free(t);
}

static void *keep_sending(void *context)
{
    static const struct path to = {.family = 4, .address = {127, 0, 0, 1}};
    transport **both = context;
    uint8_t packet[1400];
    struct path p = to;
    p.port = (uint16_t)(uintptr_t)both[1];
    for (int i = 0; i < 3000; i++) {
        shim_packet(both[0], packet, udp_packet(packet, 1, 2, 1000));
        if (i % 50 == 0)
            shim_send(both[0], (uint8_t *)&p, packet, 60);
    }
    return NULL;
}

static void point_at(transport *t, int port)
{
    uint8_t body[8 + sizeof(struct path)] = {1};
    struct path p = {.family = 4, .port = (uint16_t)port, .address = {127, 0, 0, 1}};
    memcpy(body + 8, &p, sizeof p);
    change(6, body, sizeof body);
    CHECK(commit(t));
}

static void test_threads(void)
{
    static uint8_t out[1 << 17];
    transport *a = endpoint(1, 2), *b = endpoint(2, 1);
    int port_a = shim_bind(a, 0, 4, 0), port_b = shim_bind(b, 0, 4, 0);
    CHECK(port_a > 0 && port_b > 0 && shim_bind(b, 1, 4, (uint16_t)port_b) < 0);
    point_at(a, port_b);
    point_at(b, port_a);
    session_change(1, 1, 500, 400, 2, 1);
    CHECK(commit(b));
    session_change(1, 0, 400, 500, 1, 2);
    CHECK(shim_start(a, 0) == 0 && shim_start(b, 6) == 0 && commit(a));
    transport *both[2] = {a, (transport *)(uintptr_t)port_b};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, keep_sending, both) == 0);
    for (uint32_t i = 1; i < 200; i++) { /* rekeys, refilters and rebinds beside the traffic */
        session_change(1, 1, 500 + i, 400 + i, 2, 1);
        addresses_change(2);
        CHECK(commit(b));
        session_change(1, 0, 400 + i, 500 + i, 1, 2);
        CHECK(commit(a));
        if (i % 20 == 0)
            CHECK(shim_bind(b, 0, 4, (uint16_t)port_b) == port_b && shim_bind(b, 1, 4, 0) > 0 && shim_bind(b, 1, 6, 0) > 0);
        shim_poll(a, out, sizeof out);
        shim_poll(b, out, sizeof out);
        usleep(500);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    number_change(5, 1);
    CHECK(commit(a));
    uint64_t stats[4];
    CHECK(!shim_peer_stats(a, 1, stats) && shim_peer_stats(b, 1, stats) && stats[3] > 0);
    CHECK(counter(b, DROP_auth) == 0 && counter(b, DROP_malformed) == 0);
    shim_stop(a);
    CHECK(shim_start(a, 0) == 0);
    shim_transport_free(a); /* stops by itself */
    shim_transport_free(b);
}

/* A UDP super-packet over the peer's paths: a direct one, two, one behind a Geneve header, a relay's; and while there is no session. */
static void super_over(const struct path *paths, size_t count, int relayed, int before_session)
{
    static uint8_t packet[65535], wire[WIRE], out[1 << 17], body[8 + 2 * sizeof(struct path)], expected[2000];
    transport *a = endpoint(1, 2), *b = endpoint(2, 1);
    size_t len = udp_packet(packet, 1, 2, 60 * 1200 - 900 - 7000), n;
    struct sealing sealing = {.groups = 0};
    struct outbox o = {.t = a, .wire = wire, .wire_size = 10000, .sealing = &sealing}; /* it has to be flushed in between */
    struct vnet_header v = {VNET_NEEDS_CSUM, VNET_UDP, 28, 1200, 20, 6};
    struct segments s;
    any_bytes(packet + 28, len - 28);
    session_change(1, 1, 22, 11, 2, 1);
    CHECK(commit(b));
    body[0] = 1;
    memcpy(body + 8, paths, count * sizeof *paths);
    change(6, body, 8 + count * sizeof *paths);
    if (!before_session)
        session_change(1, 0, 11, 22, 1, 2);
    CHECK(commit(a));
    outbound_packet(&o, &v, packet, len);
    v.gso_size = 0;
    outbound_packet(&o, &v, packet, len);
    CHECK(counter(a, DROP_malformed) == 1);
    outbox_flush(&o);
    if (before_session) {
        session_change(1, 0, 11, 22, 1, 2);
        CHECK(commit(a));
    }
    if (relayed) { /* SendPacket for Alice is RecvPacket for Bob */
        int64_t size = shim_relay_out(a, 900, out, sizeof out, sizeof out);
        for (int64_t at = 0; at < size; at += 5 + (int64_t)(out[at + 3] << 8 | out[at + 4]))
            out[at] = 5;
        CHECK(size > 60000);
        shim_relay_in(b, 900, out, (size_t)size);
    }
    while (carry(a, b) > 0) {
    }
    CHECK(counter(b, DROP_replay) == (count < 2 ? 0 : before_session ? 54 : 55) && /* with the keepalive */
          counter(b, DROP_unknown) == 0);
    int64_t size = shim_packets(b, out, sizeof out), at = 0;
    v.gso_size = 1200;
    CHECK(segments_open(&s, &v, packet, len));
    for (; (n = segments_length(&s)) != 0; at += 80 + (int64_t)n) {
        segments_write(&s, expected);
        CHECK(at + 80 + (int64_t)n <= size && !memcmp(out + at + 80, expected, n));
    }
    CHECK(at == size);
    uint64_t stats[4];
    CHECK(shim_peer_stats(a, 1, stats) && stats[0] == (uint64_t)size - 54 * 80 && stats[2] == 54);
    shim_transport_free(a);
    shim_transport_free(b);
}

static void test_super(void)
{
    struct path direct = {.family = 4, .port = 1, .address = {127, 0, 0, 1}}, other = direct, behind = direct, relay = {.id = 900};
    struct path both[2] = {direct, direct}, mixed[2] = {direct, direct};
    other.port = 2;
    both[1] = other;
    behind.id = 0x123456;
    mixed[1] = behind;
    for (int before = 0; before < 2; before++) {
        super_over(&direct, 1, 0, before);
        super_over(both, 2, 0, before);
        super_over(&behind, 1, 0, before);
        super_over(mixed, 2, 0, before);
        super_over(&relay, 1, 1, before);
    }
}

int main(void)
{
    test_session();
    test_super();
    test_counters();
    test_atomic();
    test_rubbish();
    test_threads();
    return 0;
}
