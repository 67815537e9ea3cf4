/* What the tests and the fuzzers compare with: slow, and plainly right. */
#ifndef SKERRY_SLOW_H
#define SKERRY_SLOW_H
#include "allowedips.h"

static inline int slow_covers(const struct prefix *p, int family, const uint8_t *address)
{
    if (p->family != family)
        return 0;
    for (int i = 0; i < p->bits; i++)
        if ((p->address[i / 8] ^ address[i / 8]) >> (7 - i % 8) & 1)
            return 0;
    return 1;
}
#endif
