/* Datagrams from anywhere: as they are, and as what an authentic peer has sealed. */
#include "world.h"

static void as_they_are(transport *t, const uint8_t *data, size_t size)
{
    struct path from = {.family = size % 2 ? 4 : 6, .port = 7};
    if (!shim_datagram(t, (const uint8_t *)&from, data, size))
        abort();
}

static void sealed(transport *t, const uint8_t *data, size_t size)
{
    static uint64_t counter;
    struct path from = {.family = 4, .port = 7};
    uint8_t *message = calloc(1, size + 32);
    struct aead_item item = {.data = message + 16, .len = size, .counter = ++counter, .ecn = 0};
    message[0] = 4;
    message[4] = LOCAL;
    memcpy(message + 8, &counter, 8);
    memcpy(message + 16, data, size);
    aead_seal_items(RECEIVE_KEY, &item, 1, 0);
    if (!item.ok || !shim_datagram(t, (const uint8_t *)&from, message, size + 32))
        abort();
    if (atomic_load(&t->drops[DROP_auth]))
        abort();
    free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static transport *raw, *known;
    if (!raw) {
        raw = world_new();
        known = world_new();
    }
    as_they_are(raw, data, size);
    sealed(known, data, size);
    world_drain(raw);
    world_drain(known);
    return 0;
}
