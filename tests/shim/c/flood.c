/* Floods of what anybody can send: forged handshakes with a good MAC1 from made-up sources, and disco. What reaches Python and what is
 * answered is bounded; who is known, or has proven its address, still gets through. */
#include "blake.h"
#include "check.h"
#include "transport.h"

enum { A_SECOND = 50000, RECORD = sizeof(struct record_head) };

static uint8_t mac1_key[32];
static const uint8_t OUR_KEY[32] = {7};
static const struct path FRIEND = {.family = 4, .port = 41641, .address = {192, 0, 2, 9}};

static transport *node(void)
{
    uint8_t change[5 + 32] = {1, 32};
    char error[256];
    transport *t = shim_transport_new();
    CHECK(t);
    memcpy(change + 5, OUR_KEY, 32);
    CHECK(shim_apply(t, change, sizeof change, error, sizeof error));
    blake2s_pair(mac1_key, "mac1----", 8, OUR_KEY, 32);
    shim_set_clock(t, 1000);
    return t;
}

static uint64_t counter(const transport *t, enum drop reason)
{
    return atomic_load(&t->drops[reason]);
}

static void initiation(uint8_t m[INITIATION_SIZE], const uint8_t *cookie)
{
    any_bytes(m, INITIATION_SIZE);
    memcpy(m, "\1\0\0\0", 4);
    shim_blake2s(m + 116, 16, mac1_key, 32, m, 116);
    if (cookie)
        shim_blake2s(m + 132, 16, cookie, 16, m, 132);
}

static struct path anybody(void)
{
    struct path p = {.family = 4, .port = (uint16_t)(1 + below(65000))};
    any_bytes(p.address, 4);
    return p;
}

/* Records that a queue holds; the last with `from`'s address stays in *last, of `size` bytes. */
static size_t taken(transport *t, int64_t (*take)(shim_transport *, uint8_t *, size_t), const struct path *from, uint8_t *last, size_t size)
{
    static uint8_t out[1 << 20];
    size_t count = 0;
    for (int64_t n; (n = take(t, out, sizeof out)) > 0;)
        for (int64_t at = 0; at < n; count++) {
            struct record_head head;
            memcpy(&head, out + at, sizeof head);
            if (from && !memcmp(head.path.address, from->address, 16) && head.len == size)
                memcpy(last, out + at + RECORD, size);
            at += RECORD + (int64_t)head.len;
        }
    return count;
}

static void offer(transport *t, const struct path *from, const void *data, size_t len)
{
    CHECK(shim_datagram(t, (const uint8_t *)from, data, len));
}

/* The cookie in a reply to m. */
static int unwrap(uint8_t cookie[16], const uint8_t reply[COOKIE_REPLY_SIZE], const uint8_t *m)
{
    uint8_t key[32];
    blake2s_pair(key, "cookie--", 8, OUR_KEY, 32);
    return shim_xopen(cookie, key, reply + 8, reply + 32, 32, m + 116, 16) == 1;
}

/* `count` forged initiations, A_SECOND a second, from this second of the transport's clock on: how many went up to Python. */
static size_t flood(transport *t, int count, int64_t second, size_t *replies)
{
    uint8_t m[INITIATION_SIZE];
    size_t python = 0;
    *replies = 0;
    for (int i = 0; i < count; i++) {
        struct path p = anybody();
        shim_set_clock(t, 1000 * second + i * 1000LL / A_SECOND);
        initiation(m, NULL);
        any_bytes(m + 132, 16); /* a made-up MAC2 has to be computed, too */
        offer(t, &p, m, sizeof m);
        if (i % 1000 == 999) {
            python += taken(t, shim_poll, NULL, NULL, 0);
            *replies += taken(t, shim_datagrams, NULL, NULL, 0);
        }
    }
    return python;
}

static void test_forged(void)
{
    transport *t = node();
    uint8_t m[INITIATION_SIZE], reply[COOKIE_REPLY_SIZE] = {0}, cookie[16];
    size_t replies;
    shim_send(t, (const uint8_t *)&FRIEND, (const uint8_t *)"ping", 4);
    taken(t, shim_datagrams, NULL, NULL, 0);
    CHECK(flood(t, A_SECOND, 10, &replies) == 100); /* what WireGuard takes before it is under load */
    CHECK(replies > 2000 && replies < 3000);         /* with the burst, and the friend's bucket */
    CHECK(flood(t, A_SECOND, 11, &replies) == 0 && replies > 1900 && replies < 2500);
    for (int attempt = 0; attempt < 20; attempt++) { /* the friend's handshakes, in the middle of it */
        CHECK(flood(t, A_SECOND / 10, 12 + attempt, &replies) == 0);
        initiation(m, NULL);
        memset(m + 132, 0, 16);
        offer(t, &FRIEND, m, sizeof m);
        taken(t, shim_datagrams, &FRIEND, reply, sizeof reply);
        CHECK(reply[0] == 3 && !memcmp(reply + 4, m + 4, 4) && unwrap(cookie, reply, m));
        memset(reply, 0, sizeof reply);
    }
    initiation(m, cookie);
    offer(t, &FRIEND, m, sizeof m);
    CHECK(taken(t, shim_poll, NULL, NULL, 0) == 1);
    struct path elsewhere = anybody();
    offer(t, &elsewhere, m, sizeof m); /* the cookie is bound to the address */
    CHECK(taken(t, shim_poll, NULL, NULL, 0) == 0);
    CHECK(counter(t, DROP_mac1) == 0 && counter(t, DROP_cookie) > 2 * A_SECOND);
    shim_transport_free(t);
}

/* Somebody who has a cookie for a real address sends without end: Python sees some, and others are not kept out. */
static void test_proven(void)
{
    transport *t = node();
    uint8_t m[INITIATION_SIZE], reply[COOKIE_REPLY_SIZE] = {0}, cookie[16];
    struct path p = {.family = 4, .port = 5, .address = {203, 0, 113, 7}}, other = {.family = 4, .port = 5, .address = {203, 0, 113, 8}};
    size_t replies;
    flood(t, 1000, 20, &replies);
    shim_set_clock(t, 20500); /* a stranger has a chance again */
    initiation(m, NULL);
    memset(m + 132, 0, 16);
    offer(t, &p, m, sizeof m);
    taken(t, shim_datagrams, &p, reply, sizeof reply);
    CHECK(unwrap(cookie, reply, m));
    taken(t, shim_poll, NULL, NULL, 0);
    for (int i = 0; i < 20000; i++) {
        initiation(m, cookie);
        offer(t, &p, m, sizeof m);
    }
    CHECK(taken(t, shim_poll, NULL, NULL, 0) == 512 && counter(t, DROP_rate) == 20000 - 512);
    offer(t, &other, m, sizeof m);
    CHECK(taken(t, shim_datagrams, &other, reply, sizeof reply) == 1);
    shim_transport_free(t);
}

static void test_disco(void)
{
    transport *t = node();
    uint8_t disco[124] = "TS\xf0\x9f\x92\xac";
    size_t python = 0;
    shim_send(t, (const uint8_t *)&FRIEND, disco, sizeof disco);
    for (int i = 0; i < A_SECOND; i++) {
        struct path p = anybody();
        shim_set_clock(t, 30000 + i * 1000LL / A_SECOND);
        offer(t, &p, disco, sizeof disco);
        if (i % 1000 == 999)
            python += taken(t, shim_poll, NULL, NULL, 0);
    }
    CHECK(python > 2000 && python < 4000 && counter(t, DROP_rate) == A_SECOND - python && counter(t, DROP_poll) == 0);
    for (int i = 0; i < 100; i++)
        offer(t, &FRIEND, disco, sizeof disco);
    CHECK(taken(t, shim_poll, NULL, NULL, 0) == 100);
    shim_transport_free(t);
}

static void test_sources(void)
{
    struct path a = {.family = 6, .port = 1, .address = {0x20, 1, 0xd, 0xb8, [15] = 1}}, b = a, relay = {.id = 900, .key = {1}};
    int shared = 0;
    b.port = 2; /* another port, another host of the same /64: the same source */
    b.address[15] = 2;
    CHECK(rate_source(&a, 5) == rate_source(&b, 5));
    for (uint64_t secret = 0; secret < 1000; secret++) {
        b.address[7] = 1;
        shared += (rate_source(&a, secret) == rate_source(&b, secret)) + (rate_source(&a, secret) == rate_source(&relay, secret));
    }
    CHECK(shared < 10);
}

int main(void)
{
    test_forged();
    test_proven();
    test_disco();
    test_sources();
    return 0;
}
