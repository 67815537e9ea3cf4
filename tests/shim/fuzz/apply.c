/* Transactions: carried out wholly or not at all, whatever their bytes; what stands afterwards can be used and taken down. */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned runs;
    static transport *t;
    struct path from = {.family = 4, .port = 7};
    uint8_t packet[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2}, *copy = malloc(size + 1);
    char error[256] = "";
    if (runs++ % 64 == 0) {
        shim_transport_free(t);
        t = world_new();
    }
    size_t peers = t->peers.used;
    memcpy(copy, data, size);
    int done = shim_apply(t, copy, size, error, sizeof error);
    if (done == (error[0] != 0) || (!done && t->peers.used != peers))
        abort();
    shim_packet(t, packet, sizeof packet);
    shim_datagram(t, (const uint8_t *)&from, packet, sizeof packet);
    world_drain(t);
    free(copy);
    return 0;
}
