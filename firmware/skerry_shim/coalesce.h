/* Packets for TUN that belong together, written as one super-packet; see coalesce.c. */
#ifndef SKERRY_COALESCE_H
#define SKERRY_COALESCE_H
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { MERGE_FLOWS = 16, MERGE_PIECES = 64, MERGE_HEADER = 40 + 60, MERGE_LIMIT = 65535 };

struct shim_transport;

struct merge {
    uint8_t header[MERGE_HEADER]; /* of the first packet, with the last one's PSH */
    size_t header_size, ip;
    int family, closed; /* closed: nothing may follow the last one */
    uint8_t protocol;
    uint32_t next; /* TCP: sequence number of what comes next */
    size_t size, total; /* payload of the first, of all */
    int count;
    struct iovec parts[2 + MERGE_PIECES]; /* vnet header, headers, payloads where they were received */
};

struct coalescer {
    struct shim_transport *t;
    int count, oldest;
    struct merge flows[MERGE_FLOWS];
};

/* The packet's bytes must stay until the flush. The table is locked for reading during both. */
void coalesce_add(struct coalescer *c, const uint8_t *packet, size_t len);
void coalesce_flush(struct coalescer *c);
#endif
