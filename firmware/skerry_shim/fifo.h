/* Bounded queues of records: events for Python, packets that wait for a session, frames for a relay; see fifo.c. */
#ifndef SKERRY_FIFO_H
#define SKERRY_FIFO_H
#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "Python packs little-endian");

/* Where a packet goes or came from, 56 bytes, as Python packs it ("<BBHI16s32s"). */
struct path {
    uint8_t family;      /* 4, 6, or 0 for a relay */
    uint8_t uplink;
    uint16_t port;
    uint32_t id;         /* Geneve network id (0 = direct), or the relay's region */
    uint8_t address[16]; /* IPv4 in the first 4 */
    uint8_t key[32];     /* relay: the node key at the other end */
};
_Static_assert(sizeof(struct path) == 56, "Python packs 56 bytes");

/* What crosses to Python, 80 bytes and then len bytes of data ("<BBHIQ56sII"). */
struct record_head {
    uint8_t kind;
    uint8_t code;
    uint16_t zero;
    uint32_t region;
    uint64_t peer;
    struct path path;
    uint32_t len;
    uint32_t zero2;
};
_Static_assert(sizeof(struct record_head) == 80, "Python unpacks 80 bytes");

struct record {
    struct record *next;
    struct record_head head;
    uint8_t data[];
};

struct fifo {
    struct record *first, *last;
    size_t count, bytes;
};

/* A record with room for len bytes, zeroed head but for len; NULL without memory. */
struct record *record_new(size_t len);
void fifo_push(struct fifo *q, struct record *r);
struct record *fifo_pop(struct fifo *q); /* NULL when empty */
void fifo_clear(struct fifo *q);
/* Move whole records into out; the bytes written, or -needed when the first one does not fit. */
int64_t fifo_take(struct fifo *q, uint8_t *out, size_t cap, size_t max_records);
#endif
