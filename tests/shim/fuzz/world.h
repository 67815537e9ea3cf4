/* A transport with one peer, a session whose keys are known, a filter that lets everything in, and a relay. Made anew when an input has changed it. */
#ifndef SKERRY_FUZZ_WORLD_H
#define SKERRY_FUZZ_WORLD_H
#include <stdlib.h>
#include <string.h>

#include "transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t SEND_KEY[32] = {1}, RECEIVE_KEY[32] = {2};
enum { LOCAL = 7, REMOTE = 9 };

static inline size_t put_change(uint8_t *at, uint8_t operation, const void *body, uint32_t len)
{
    at[0] = operation;
    memcpy(at + 1, &len, 4);
    memcpy(at + 5, body, len);
    return 5 + len;
}

/* Take out whatever came of an input. */
static inline void world_drain(transport *t)
{
    static uint8_t out[1 << 20];
    while (shim_poll(t, out, sizeof out) > 0 || shim_packets(t, out, sizeof out) > 0 || shim_datagrams(t, out, sizeof out) > 0)
        ;
    while (shim_relay_out(t, 1, out, sizeof out, sizeof out) > 0)
        ;
}

static inline transport *world_new(void)
{
    static const uint8_t everything[40 + 2 * 18 + 2 * 22] = {[0 ... 31] = 0xff, [35] = 2, [39] = 2, [40] = 4, [58] = 6, [76] = 4, [96] = 0xff,
                                                             [97] = 0xff,         [98] = 6, [118] = 0xff, [119] = 0xff};
    uint8_t all[2048], peer[8 + 32 + 2 * 18] = {1}, path[8 + sizeof(struct path)] = {1}, session[81] = {1}, prefixes[2 * 18] = {4};
    char error[256];
    size_t len = 0;
    struct path to = {.family = 4, .port = 9, .address = {192, 0, 2, 1}};
    transport *t = shim_transport_new();
    peer[8] = 5;
    peer[40] = 4; /* 0.0.0.0/0 and ::/0 */
    peer[58] = 6;
    prefixes[18] = 6;
    memcpy(path + 8, &to, sizeof to);
    session[9] = LOCAL;
    session[13] = REMOTE;
    memcpy(session + 17, SEND_KEY, 32);
    memcpy(session + 49, RECEIVE_KEY, 32);
    len += put_change(all + len, 1, peer + 8, 32);
    len += put_change(all + len, 3, prefixes, sizeof prefixes);
    len += put_change(all + len, 4, peer, sizeof peer);
    len += put_change(all + len, 6, path, sizeof path);
    len += put_change(all + len, 7, session, sizeof session);
    len += put_change(all + len, 11, everything, sizeof everything);
    len += put_change(all + len, 12, (uint8_t[]){1, 0, 0, 0, 1}, 5);
    if (!t || !shim_apply(t, all, len, error, sizeof error))
        abort();
    shim_set_clock(t, 1000);
    t->mtu = 1280;
    world_drain(t); /* the session began with an empty message */
    return t;
}

#endif
