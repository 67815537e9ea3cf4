/* What the drivers share: a check that ends the run with its place, and numbers that look random but come from a fixed seed. */
#ifndef SKERRY_CHECK_H
#define SKERRY_CHECK_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

static uint64_t seed = 0x9e3779b97f4a7c15ULL;

static inline uint64_t any_number(void) /* xorshift64* */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545f4914f6cdd1dULL;
}

static inline uint32_t below(uint32_t limit)
{
    return (uint32_t)((any_number() >> 32) % limit);
}

static inline void any_bytes(void *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)p)[i] = (uint8_t)(any_number() >> 40);
}
#endif
