/* DERP frames (u8 type | u32 big-endian length | payload) in a byte stream: cut it anywhere, and bounded queues the other way.
 *
 * SendPacket (04): 32 bytes destination key | packet. RecvPacket (05): 32 bytes source key | packet. A frame over 65568
 * bytes ends the stream. The buffer grows with what arrived, never with what a header promises, and goes when nothing of a frame is left. No
 * type is interpreted here. */
#include "relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void relay_reset(struct relay *r)
{
    free(r->bytes);
    fifo_clear(&r->out);
    *r = (struct relay){.region = r->region};
}

static int append(struct relay *r, const uint8_t *data, size_t len)
{
    size_t need = r->have + len, capacity = r->capacity ? r->capacity : 2048;
    while (capacity < need)
        capacity *= 2;
    uint8_t *grown = capacity == r->capacity ? r->bytes : realloc(r->bytes, capacity);
    if (!grown)
        return 0;
    r->bytes = grown;
    r->capacity = capacity;
    memcpy(r->bytes + r->have, data, len);
    r->have = need;
    return 1;
}

/* The payload's length, or SIZE_MAX when it is too long. */
static size_t check_header(struct relay *r, const uint8_t *h)
{
    size_t len = (size_t)h[1] << 24 | (size_t)h[2] << 16 | (size_t)h[3] << 8 | h[4];
    if (len <= RELAY_MAX_FRAME)
        return len;
    snprintf(r->error, sizeof r->error, "relay frame 0x%02x: %zu bytes, at most %u", h[0], len, RELAY_MAX_FRAME);
    return SIZE_MAX;
}

const char *relay_feed(struct relay *r, const uint8_t *data, size_t len, relay_frame_fn *frame, void *context)
{
    if (r->bad)
        return NULL;
    if (!append(r, data, len)) {
        r->bad = 1;
        return "out of memory";
    }
    for (size_t size; r->have - r->done >= RELAY_HEADER; r->done += RELAY_HEADER + size) {
        uint8_t *at = r->bytes + r->done;
        size = check_header(r, at);
        if (size == SIZE_MAX) {
            r->bad = 1;
            return r->error;
        }
        if (r->have - r->done < RELAY_HEADER + size)
            break;
        frame(context, r, at[0], at + RELAY_HEADER, size);
    }
    return NULL;
}

void relay_settle(struct relay *r)
{
    r->have = r->bad ? 0 : r->have - r->done;
    if (r->have && r->done)
        memmove(r->bytes, r->bytes + r->done, r->have);
    r->done = 0;
    if (r->have)
        return;
    free(r->bytes);
    r->bytes = NULL;
    r->capacity = 0;
}

int relay_queue(struct relay *r, const uint8_t *dst, const uint8_t *data, size_t len)
{
    size_t body = RELAY_KEY + len;
    int dropped = 0;
    struct record *frame = record_new(RELAY_HEADER + body);
    if (!frame)
        return -1;
    uint8_t head[RELAY_HEADER] = {RELAY_SEND_PACKET, (uint8_t)(body >> 24), (uint8_t)(body >> 16), (uint8_t)(body >> 8), (uint8_t)body};
    memcpy(frame->data, head, RELAY_HEADER);
    memcpy(frame->data + RELAY_HEADER, dst, RELAY_KEY);
    memcpy(frame->data + RELAY_HEADER + RELAY_KEY, data, len);
    fifo_push(&r->out, frame);
    for (; r->out.count > RELAY_OUT_FRAMES || r->out.bytes > RELAY_OUT_BYTES; dropped++)
        free(fifo_pop(&r->out));
    return dropped;
}

int64_t relay_take(struct relay *r, uint8_t *out, size_t cap, size_t limit)
{
    size_t done = 0;
    while (r->out.first) {
        size_t need = r->out.first->head.len;
        if (done && done + need > limit)
            break;
        if (done + need > cap)
            return done ? (int64_t)done : -(int64_t)need;
        struct record *frame = fifo_pop(&r->out);
        memcpy(out + done, frame->data, need);
        done += need;
        free(frame);
    }
    return (int64_t)done;
}
