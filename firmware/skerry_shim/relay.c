/* DERP frames (u8 type | u32 big-endian length | payload) in a byte stream: cut it anywhere, and bounded queues the other way.
 *
 * SendPacket (04): 32 bytes destination key | packet. RecvPacket (05): 32 bytes source key | packet. A frame over 65568
 * bytes ends the stream. The payload's buffer grows with what arrived, never with what a header promises. No type is interpreted here. */
#include "relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void relay_reset(struct relay *r)
{
    free(r->payload);
    fifo_clear(&r->out);
    *r = (struct relay){.region = r->region};
}

static const char *check_header(struct relay *r)
{
    const uint8_t *h = r->header;
    r->need = (size_t)h[1] << 24 | (size_t)h[2] << 16 | (size_t)h[3] << 8 | h[4];
    if (r->need <= RELAY_MAX_FRAME)
        return NULL;
    snprintf(r->error, sizeof r->error, "relay frame 0x%02x: %zu bytes, at most %u", h[0], r->need, RELAY_MAX_FRAME);
    return r->error;
}

static int reserve(struct relay *r, size_t size)
{
    if (size <= r->capacity)
        return 1;
    size_t capacity = r->capacity ? r->capacity : 2048;
    while (capacity < size)
        capacity *= 2;
    uint8_t *grown = realloc(r->payload, capacity);
    if (grown) {
        r->payload = grown;
        r->capacity = capacity;
    }
    return grown != NULL;
}

/* Takes what belongs to the current frame; *error is set when the stream is bad. */
static size_t take(struct relay *r, const uint8_t *data, size_t len, const char **error)
{
    if (r->have < RELAY_HEADER) {
        size_t n = RELAY_HEADER - r->have < len ? RELAY_HEADER - r->have : len;
        memcpy(r->header + r->have, data, n);
        r->have += n;
        if (r->have == RELAY_HEADER)
            *error = check_header(r);
        return n;
    }
    size_t had = r->have - RELAY_HEADER, n = r->need - had < len ? r->need - had : len;
    if (!reserve(r, had + n)) {
        *error = "out of memory";
        return n;
    }
    memcpy(r->payload + had, data, n);
    r->have += n;
    return n;
}

const char *relay_feed(struct relay *r, const uint8_t *data, size_t len, relay_frame_fn *frame, void *context)
{
    const char *error = NULL;
    if (r->bad)
        return NULL;
    while (len) {
        size_t n = take(r, data, len, &error);
        data += n;
        len -= n;
        if (error) {
            r->bad = 1;
            return error;
        }
        if (r->have >= RELAY_HEADER && r->have == RELAY_HEADER + r->need) {
            if (!r->payload && !reserve(r, 1)) /* an empty frame still has an address */
                return "out of memory";
            r->have = 0;
            frame(context, r, r->header[0], r->payload, r->need);
        }
    }
    return NULL;
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
