/* Token buckets: one token each interval, at most a burst of them. A bucket holds what it owes instead of what it has, so that a zeroed one is
 * full. Sources that meet in a hash with a secret share a bucket: they may be limited together, never let through. */
#include "rate.h"

#include <string.h>

int rate_take(struct rate *rate, const struct limit *limit, int64_t now_us)
{
    int64_t passed = now_us > rate->last_us ? now_us - rate->last_us : 0; /* threads read the clock before they come here */
    rate->last_us += passed;
    rate->debt_us = rate->debt_us > passed ? rate->debt_us - passed : 0;
    if (rate->debt_us > limit->interval_us * (limit->burst - 1))
        return 0;
    rate->debt_us += limit->interval_us;
    return 1;
}

static uint64_t mix(uint64_t h)
{
    h *= 0xff51afd7ed558ccdULL;
    return (h ^ h >> 32) * 0xc4ceb9fe1a85ec53ULL;
}

unsigned rate_source(const struct path *from, uint64_t secret)
{
    uint64_t h = 0;
    memcpy(&h, from->family ? from->address : from->key, from->family == 4 ? 4 : 8);
    h = mix(mix(h ^ secret) ^ ((uint64_t)from->id << 8 | from->family));
    return (unsigned)(h >> 32) % RATE_SOURCES;
}
