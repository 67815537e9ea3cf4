/* A relay's stream, cut where the input says: the first byte is the size of the pieces. Any cut gives the same frames. */
#include "relay.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    size_t frames, bytes;
    uint32_t sum;
};

static void note(void *context, struct relay *r, uint8_t type, uint8_t *payload, size_t len)
{
    struct seen *s = context;
    (void)r;
    s->frames++;
    s->bytes += len;
    s->sum = s->sum * 31 + type;
    for (size_t i = 0; i < len; i++)
        s->sum = s->sum * 31 + payload[i];
}

static int feed(struct seen *s, const uint8_t *data, size_t size, size_t piece)
{
    struct relay r = {.region = 1};
    int bad = 0;
    for (size_t at = 0; at < size && !bad; at += piece) {
        bad = relay_feed(&r, data + at, size - at < piece ? size - at : piece, note, s) != NULL;
        relay_settle(&r);
    }
    relay_reset(&r);
    return bad;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole = {0}, cut = {0};
    if (!size)
        return 0;
    int bad = feed(&whole, data + 1, size - 1, size);
    if (feed(&cut, data + 1, size - 1, 1u + data[0]) != bad || memcmp(&whole, &cut, sizeof whole))
        abort();
    return 0;
}
