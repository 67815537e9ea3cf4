/* The relay's framing: every cut, hostile lengths, bounds of what waits. */
#include "check.h"
#include "relay.h"

/* Frames are not needed beyond their call here. */
static const char *feed(struct relay *r, const uint8_t *data, size_t len, relay_frame_fn *frame, void *context)
{
    const char *error = relay_feed(r, data, len, frame, context);
    relay_settle(r);
    return error;
}

struct seen {
    int count;
    size_t bytes;
    uint32_t sum;
};

static void on_frame(void *context, struct relay *r, uint8_t type, uint8_t *payload, size_t len)
{
    struct seen *s = context;
    (void)r;
    s->count++;
    s->bytes += len;
    s->sum = s->sum * 31 + type;
    for (size_t i = 0; i < len; i++)
        s->sum = s->sum * 31 + payload[i]++; /* it may be written to */
}

static size_t put_frame(uint8_t *at, uint8_t type, size_t len)
{
    uint8_t head[5] = {type, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
    memcpy(at, head, 5);
    any_bytes(at + 5, len);
    return 5 + len;
}

static void test_cuts(void)
{
    static uint8_t stream[400000];
    struct seen whole = {0};
    struct relay r = {.region = 1};
    size_t len = 0;
    const size_t sizes[] = {0, 1, 31, 32, 33, 1300, 65568, 0, 0, 5000, 65567};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        len += put_frame(stream + len, (uint8_t)i, sizes[i]);
    CHECK(!feed(&r, stream, len, on_frame, &whole) && whole.count == 11);
    for (int round = 0; round < 200; round++) {
        struct seen cut = {0};
        for (size_t at = 0; at < len;) {
            size_t n = 1 + below(round < 100 ? 7000 : 100000);
            n = n < len - at ? n : len - at;
            uint8_t *piece = malloc(n);
            memcpy(piece, stream + at, n);
            CHECK(!feed(&r, piece, n, on_frame, &cut));
            free(piece);
            at += n;
        }
        CHECK(cut.count == whole.count && cut.bytes == whole.bytes && cut.sum == whole.sum);
    }
    relay_reset(&r);
}

static void test_hostile(void)
{
    struct seen s = {0};
    struct relay r = {.region = 1};
    const uint8_t good[] = {6, 0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 6, 0, 0, 0, 0};
    const char *error = feed(&r, good, sizeof good, on_frame, &s);
    CHECK(error && strstr(error, "4294967295") && s.count == 1 && r.bad);
    CHECK(!feed(&r, good, 5, on_frame, &s) && s.count == 1); /* told once, then silent */
    relay_reset(&r);
    CHECK(r.region == 1 && !r.bad);
    const uint8_t one_over[] = {5, 0, 1, 0, 0x21};
    CHECK(feed(&r, one_over, 5, on_frame, &s));
    relay_reset(&r);
    for (int i = 0; i < 20000; i++) {
        uint8_t rubbish[64];
        any_bytes(rubbish, sizeof rubbish);
        if (below(2))
            rubbish[1] = rubbish[2] = rubbish[3] = 0;
        if (feed(&r, rubbish, 1 + below(64), on_frame, &s))
            relay_reset(&r);
    }
    relay_reset(&r);
}

static void test_out(void)
{
    static uint8_t data[70000], out[70000];
    struct relay r = {.region = 1};
    uint8_t key[32] = {7};
    CHECK(relay_queue(&r, key, data, 100) == 0 && relay_queue(&r, key, data, 0) == 0);
    CHECK(relay_take(&r, out, 10, 10) == -137 && r.out.count == 2);
    CHECK(relay_take(&r, out, sizeof out, 10) == 137 && out[0] == 4 && out[4] == 132 && out[5] == 7);
    CHECK(relay_take(&r, out, sizeof out, 65536) == 37 && relay_take(&r, out, sizeof out, 65536) == 0);
    int dropped = 0;
    for (int i = 0; i < 100; i++)
        dropped += relay_queue(&r, key, data, 65536);
    CHECK(dropped == 85 && r.out.bytes <= RELAY_OUT_BYTES);
    for (int i = 0; i < 3000; i++)
        dropped += relay_queue(&r, key, data, 1);
    CHECK(r.out.count == RELAY_OUT_FRAMES && dropped == 3100 - RELAY_OUT_FRAMES);
    relay_reset(&r);
}

int main(void)
{
    test_cuts();
    test_hostile();
    test_out();
    return 0;
}
