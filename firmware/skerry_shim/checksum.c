/* The Internet checksum: the one's complement sum of 16-bit words (RFC 1071), pseudo-headers of RFC 9293 and RFC 8200. Words are added as
 * they lie in memory: the sum does not depend on the byte order as long as it is stored the same way. 64 bytes are added at once, in lanes
 * of 32 bits that cannot run over within 1 MiB. */
#include "checksum.h"

#include <string.h>

typedef uint32_t lanes __attribute__((vector_size(16)));

static uint32_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint32_t)sum;
}

static uint64_t across(lanes v)
{
    return (uint64_t)v[0] + v[1] + v[2] + v[3];
}

uint32_t checksum_add(uint32_t sum, const uint8_t *data, size_t len)
{
    lanes v[4], a = {0}, b = {0}, c = {0}, d = {0}; /* four sums, so that none waits for the one before */
    for (; len >= sizeof v; data += sizeof v, len -= sizeof v) {
        memcpy(v, data, sizeof v);
        a += (v[0] & 0xffff) + (v[1] & 0xffff);
        b += (v[0] >> 16) + (v[1] >> 16);
        c += (v[2] & 0xffff) + (v[3] & 0xffff);
        d += (v[2] >> 16) + (v[3] >> 16);
    }
    uint64_t total = sum + across(a) + across(b) + across(c) + across(d);
    uint16_t word;
    for (; len >= 2; data += 2, len -= 2) {
        memcpy(&word, data, 2);
        total += word;
    }
    if (len) {
        const uint8_t last[2] = {*data, 0};
        memcpy(&word, last, 2);
        total += word;
    }
    return fold(total);
}

uint32_t checksum_pseudo(int family, const uint8_t *ip, uint8_t protocol, size_t len)
{
    const uint8_t rest[4] = {0, protocol, (uint8_t)(len >> 8), (uint8_t)len};
    uint32_t sum = family == 4 ? checksum_add(0, ip + 12, 8) : checksum_add(0, ip + 8, 32);
    return checksum_add(sum, rest, 4);
}

void checksum_put_partial(uint8_t *field, uint32_t sum)
{
    uint16_t word = (uint16_t)sum;
    memcpy(field, &word, 2);
}

void checksum_put(uint8_t *field, uint32_t sum)
{
    checksum_put_partial(field, ~sum);
}

void checksum_put0(uint8_t *field, uint32_t sum)
{
    checksum_put_partial(field, sum == 0xffff ? 0xffff : ~sum);
}
