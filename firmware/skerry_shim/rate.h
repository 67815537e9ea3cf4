/* Token buckets, alone and for sources; see rate.c. */
#ifndef SKERRY_RATE_H
#define SKERRY_RATE_H
#include <stdint.h>

#include "fifo.h"

struct rate { /* zeroed it is full */
    int64_t last_us, debt_us;
};
struct limit {
    int64_t interval_us;
    int burst;
};

enum { RATE_SOURCES = 4096 };

/* Which of RATE_SOURCES buckets a source has: an IPv4 address, an IPv6 /64 or the key behind a relay, each with its network id. */
unsigned rate_source(const struct path *from, uint64_t secret);
int rate_take(struct rate *rate, const struct limit *limit, int64_t now_us); /* 1, or 0: there is none left */
#endif
