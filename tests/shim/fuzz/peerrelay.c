/* What comes to a UDP relay's port, while pairs are opened, bound and closed. An input is a sequence of
 *
 *     u8 what: bits 0-1 who sends (both clients, a stranger, port 0), 2-3 then: nothing, bind, close, open | u8 size of a datagram
 *     | u16 LE length | that many bytes, which begin with a right header when bit 4 is set, and with a right question when bit 5 is
 *
 * What goes out is refused by the kernel: there is no socket. Whatever is held is within its bounds, and goes when its pair does. */
#include <stdlib.h>
#include <string.h>

#include "peerrelay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t keys[2][32] = {{1}, {2}};
static const struct path paths[4] = {
    {.family = 4, .port = 1, .address = {192, 0, 2, 1}}, {.family = 4, .port = 2, .address = {192, 0, 2, 2}}, {.family = 4, .port = 3}, {.family = 4}};
enum { VNI = 5, HEAD = 14, LONGEST = 4096 };

static void change(peerrelay *r, int what)
{
    static uint8_t out[1 << 16];
    if (what == 1)
        shim_peerrelay_bind(r, VNI, (const uint8_t *)&paths[0], (const uint8_t *)&paths[1]);
    else if (what == 2)
        shim_peerrelay_close(r, VNI);
    else if (what == 3)
        shim_peerrelay_open(r, VNI, keys[0], keys[1]);
    while (shim_peerrelay_poll(r, out, sizeof out) > 0)
        continue;
}

static void put_head(uint8_t *at, size_t len, int what)
{
    static const uint8_t head[HEAD] = {0, 0, 0x7a, 0x11, 0, 0, VNI, 0, 'T', 'S', 0xf0, 0x9f, 0x92, 0xac};
    memcpy(at, head, len < 8 ? len : 8);
    if ((what & 0x20) && len >= HEAD + 32) {
        memcpy(at, head, HEAD);
        memcpy(at + HEAD, keys[what & 1], 32);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    peerrelay *r = shim_peerrelay_new();
    int64_t now = 1000000000;
    if (!r)
        abort();
    r->fds[0] = -1;
    r->families[0] = 4;
    r->socket_count = 1; /* of no use to anybody; taken back before it would be closed */
    change(r, 3);
    while (size >= 4) {
        int what = data[0];
        size_t each = 1 + data[1], len = data[2] | (size_t)data[3] << 8;
        data += 4, size -= 4;
        len = len % LONGEST < size ? len % LONGEST : size;
        uint8_t *exact = malloc(len ? len : 1);
        memcpy(exact, data, len);
        if (what & 0x10)
            put_head(exact, len, what);
        forward_one(r, &paths[what & 3], now += 100000, exact, len, what & 0x40 ? each * 8 : LONGEST);
        free(exact);
        data += len, size -= len;
        if (r->held > 2 * PLACE_HELD)
            abort();
        change(r, what >> 2 & 3);
    }
    change(r, 2);
    if (r->held)
        abort();
    r->socket_count = 0;
    shim_peerrelay_free(r);
    return 0;
}
