/* One relay connection's framing, both ways; see relay.c. */
#ifndef SKERRY_RELAY_H
#define SKERRY_RELAY_H
#include "fifo.h"

enum { RELAY_SEND_PACKET = 4, RELAY_RECV_PACKET = 5, RELAY_HEADER = 5, RELAY_KEY = 32 };
#define RELAY_MAX_PACKET 65536u
#define RELAY_MAX_FRAME (RELAY_KEY + RELAY_MAX_PACKET)
#define RELAY_OUT_BYTES (1u << 20) /* frames waiting for one relay; beyond, the oldest is dropped */
#define RELAY_OUT_FRAMES 1024

struct relay {
    uint32_t region;
    int up, bad;        /* frames to it are kept; its stream was given up */
    char error[80];
    uint8_t *bytes;     /* what arrived and was not settled: frames handed on, the beginning of the next */
    size_t have, done;  /* all of it; of that handed on */
    size_t capacity;
    struct fifo out;    /* whole frames */
    int announced;      /* Python knows that out has something */
};

/* A whole frame; payload may be changed by the callee, and stays until relay_settle. */
typedef void relay_frame_fn(void *context, struct relay *r, uint8_t type, uint8_t *payload, size_t len);

void relay_reset(struct relay *r); /* forget everything but the region */
/* Deframe any cut of bytes. NULL, or what is wrong; then the stream is bad and what follows is ignored. */
const char *relay_feed(struct relay *r, const uint8_t *data, size_t len, relay_frame_fn *frame, void *context);
void relay_settle(struct relay *r); /* after each feed, when the frames are no longer needed */
/* Queue SendPacket(dst, [head], data); the number of old frames dropped for it, or -1 without memory. */
int relay_queue(struct relay *r, const uint8_t *dst, const uint8_t *data, size_t len);
/* Whole frames into out: as many as fit limit, at least one when cap has room for it; -needed when not even the first fits cap. */
int64_t relay_take(struct relay *r, uint8_t *out, size_t cap, size_t limit);
#endif
