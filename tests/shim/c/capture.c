/* Captures: what is copied and what is not, bounds, and taking while others put. Then the runs of one ECN value in an outbox. */
#include <pthread.h>

#include "check.h"
#include "transport.h"

static uint8_t taken[1 << 20];

static uint64_t records(transport *t, uint64_t *lost, int *in)
{
    uint64_t count = 0;
    for (int64_t len; (len = shim_capture_take(t, taken, sizeof taken, lost)) > 0;)
        for (int64_t at = 0; at < len; count++) {
            struct record_head head;
            memcpy(&head, taken + at, sizeof head);
            CHECK(head.len >= CAPTURE_HEADER && at + (int64_t)sizeof head + head.len <= len);
            *in += head.code == CAPTURE_IN;
            at += (int64_t)sizeof head + head.len;
        }
    return count;
}

static uint32_t whole_of_first(transport *t)
{
    uint64_t lost;
    uint32_t whole;
    CHECK(shim_capture_take(t, taken, sizeof taken, &lost) > (int64_t)sizeof(struct record_head));
    memcpy(&whole, taken + sizeof(struct record_head) + 8, 4);
    return whole;
}

static void test_inside(void)
{
    transport *t = shim_transport_new();
    struct peer p = {.id = 7}, other = {.id = 8};
    uint8_t packet[64] = {0x45, 0, 0, 50}; /* padded */
    struct aead_item items[3] = {{.data = packet, .len = 64}, {.data = packet}, {.data = packet, .len = 8}};
    uint64_t lost;
    int in = 0;
    CHECK(!capture_is(&t->capture, CAPTURE_INNER));
    CHECK(shim_capture_start(t, CAPTURE_INNER, 7, 20) == 0 && shim_capture_start(t, CAPTURE_OUTER, -1, 20) < 0);
    capture_items(t, &other, items, 3, CAPTURE_IN);
    CHECK(records(t, &lost, &in) == 0 && lost == 0);
    capture_items(t, &p, items, 1, CAPTURE_OUT);
    CHECK(whole_of_first(t) == 50);
    capture_items(t, &p, items, 3, CAPTURE_IN); /* a keepalive is no packet; what is no IP packet is shown as it is */
    CHECK(records(t, &lost, &in) == 2 && in == 2);
    shim_capture_stop(t);
    capture_items(t, &p, items, 3, CAPTURE_IN); /* who saw it on just before */
    CHECK(records(t, &lost, &in) == 0 && shim_capture_start(t, CAPTURE_OUTER, -1, 20) == 0);
    shim_transport_free(t);
}

static void test_outside(void)
{
    static uint8_t data[3000];
    transport *t = shim_transport_new();
    struct path from = {.family = 4, .port = 9};
    struct outbox_item items[2] = {{.path = from, .data = data, .len = 250, .size = 100, .messages = 3},
                                   {.path = from, .front = 1, .data = data, .len = 50, .size = 50, .messages = 1}};
    uint64_t lost;
    int in = 0;
    CHECK(shim_capture_start(t, CAPTURE_OUTER, -1, CAPTURE_MAX) == 0);
    capture_received(t, &from, data, 3000, 1400);
    CHECK(records(t, &lost, &in) == 3 && in == 3);
    capture_sent(t, items, 1);
    CHECK(records(t, &lost, &in) == 3 && in == 3);
    capture_sent(t, items + 1, 1);
    CHECK(whole_of_first(t) == 58);
    shim_capture_stop(t);
    CHECK(shim_capture_start(t, CAPTURE_OUTER, 5, CAPTURE_MAX) == 0); /* no such peer */
    capture_received(t, &from, data, 3000, 1400);
    CHECK(records(t, &lost, &in) == 0 && lost == 0);
    shim_transport_free(t);
}

static transport *shared;
static atomic_int running = 1;

static void *put(void *context)
{
    static uint8_t packet[1280] = {0x45, 0, 5, 0};
    struct peer p = {.id = 1};
    struct aead_item items[32];
    for (int i = 0; i < 32; i++)
        items[i] = (struct aead_item){.data = packet, .len = sizeof packet};
    for (int i = 0; i < 400; i++)
        capture_items(shared, &p, items, 32, context ? CAPTURE_IN : CAPTURE_OUT);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void test_bounds_and_threads(void)
{
    pthread_t threads[2];
    uint64_t lost = 0, count = 0;
    int in = 0;
    shared = shim_transport_new();
    CHECK(shim_capture_start(shared, CAPTURE_INNER, -1, CAPTURE_MAX) == 0);
    put(NULL);
    CHECK(shared->capture.ring.bytes <= CAPTURE_BYTES);
    count = records(shared, &lost, &in);
    CHECK(count + lost == 12800 && lost > 0);
    shim_capture_stop(shared);
    CHECK(shim_capture_start(shared, CAPTURE_INNER, -1, CAPTURE_MAX) == 0);
    atomic_store(&running, 2);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, put, i ? &threads : NULL) == 0);
    count = 0;
    while (atomic_load(&running))
        count += records(shared, &lost, &in);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    count += records(shared, &lost, &in);
    CHECK(count + lost == 25600);
    shim_transport_free(shared);
}

static void test_runs_of_one_ecn(void)
{
    static uint8_t wire[1000];
    transport *t = shim_transport_new();
    struct path to = {.family = 4, .port = 9};
    struct outbox o = {.t = t};
    static const uint8_t ecn[10] = {0, 0, 2, 2, 2, 3, 0, 0, 1, 1};
    for (size_t i = 0; i < 10; i++)
        outbox_add(&o, &to, wire + 100 * i, 100, ecn[i]);
    static const int runs[5][2] = {{2, 0}, {3, 2}, {1, 3}, {2, 0}, {2, 1}};
    CHECK(o.count == 5);
    for (int i = 0; i < 5; i++)
        CHECK(o.items[i].messages == runs[i][0] && o.items[i].ecn == runs[i][1]);
    shim_transport_free(t);
}

int main(void)
{
    test_inside();
    test_outside();
    test_bounds_and_threads();
    test_runs_of_one_ecn();
    return 0;
}
