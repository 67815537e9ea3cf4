/* BLAKE2s (RFC 7693), HMAC-BLAKE2s (RFC 2104, block 64 bytes) and Noise's HKDF (Noise specification, section 4.3).
 *
 * Written out instead of asked of libcrypto, whose MAC objects cost several times the hash of a handshake message, which under a flood is
 * what a forged one costs, and which lacks unkeyed digests of other sizes. Checked against libcrypto's in tests/shim/c/primitives.c.
 * Additions, rotations and XOR only: no branch and no index depends on a secret. */
#include "blake.h"

#include <openssl/crypto.h>
#include <string.h>

#include "shim.h"

static const uint32_t IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint8_t SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint32_t rotate(uint32_t v, int n)
{
    return v >> n | v << (32 - n);
}

static inline void quarter(uint32_t *v, int a, int b, int c, int d, uint32_t x, uint32_t y)
{
    v[a] += v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 12);
    v[a] += v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 7);
}

static void compress(struct blake2s *b, const uint8_t *block, int last)
{
    uint32_t v[16], m[16];
    for (int i = 0; i < 16; i++)
        m[i] = load32(block + 4 * i);
    memcpy(v, b->h, sizeof b->h);
    memcpy(v + 8, IV, sizeof IV);
    v[12] ^= (uint32_t)b->length;
    v[13] ^= (uint32_t)(b->length >> 32);
    v[14] ^= last ? 0xffffffff : 0;
#pragma GCC unroll 10 /* then the schedule is known at compile time: half the time */
    for (int round = 0; round < 10; round++) {
        const uint8_t *s = SIGMA[round];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            quarter(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            quarter(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
    }
    for (int i = 0; i < 8; i++)
        b->h[i] ^= v[i] ^ v[8 + i];
}

void blake2s_start(struct blake2s *b, size_t size, const uint8_t *key, size_t key_len)
{
    memset(b, 0, sizeof *b);
    memcpy(b->h, IV, sizeof IV);
    b->h[0] ^= 0x01010000 ^ (uint32_t)key_len << 8 ^ (uint32_t)size;
    b->size = size;
    if (key_len) {
        memcpy(b->block, key, key_len);
        b->waiting = sizeof b->block;
    }
}

void blake2s_add(struct blake2s *b, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len) {
        if (b->waiting == sizeof b->block) { /* there is more behind it */
            b->length += sizeof b->block;
            compress(b, b->block, 0);
            b->waiting = 0;
        }
        size_t n = sizeof b->block - b->waiting < len ? sizeof b->block - b->waiting : len;
        memcpy(b->block + b->waiting, at, n);
        b->waiting += n;
        at += n;
        len -= n;
    }
}

void blake2s_end(struct blake2s *b, uint8_t *out)
{
    memset(b->block + b->waiting, 0, sizeof b->block - b->waiting);
    b->length += b->waiting;
    compress(b, b->block, 1);
    for (size_t i = 0; i < b->size; i++)
        out[i] = (uint8_t)(b->h[i / 4] >> 8 * (i % 4));
    OPENSSL_cleanse(b, sizeof *b);
}

void blake2s_prepare(struct blake2s *b, size_t size, const uint8_t *key, size_t key_len)
{
    blake2s_start(b, size, key, key_len);
    b->length = sizeof b->block;
    compress(b, b->block, 0);
    b->waiting = 0;
}

void blake2s_keyed(const struct blake2s *key_state, uint8_t *out, const void *data, size_t len) /* len > 0 */
{
    struct blake2s b = *key_state;
    blake2s_add(&b, data, len);
    blake2s_end(&b, out);
}

void blake2s_pair(uint8_t *out, const void *a, size_t a_len, const void *b, size_t b_len)
{
    struct blake2s s;
    blake2s_start(&s, 32, NULL, 0);
    blake2s_add(&s, a, a_len);
    blake2s_add(&s, b, b_len);
    blake2s_end(&s, out);
}

void shim_blake2s(uint8_t *out, size_t size, const uint8_t *key, size_t key_len, const uint8_t *in, size_t len)
{
    struct blake2s b;
    blake2s_start(&b, size, key, key_len);
    blake2s_add(&b, in, len);
    blake2s_end(&b, out);
}

void shim_hmac(uint8_t *out, const uint8_t *key, size_t key_len, const uint8_t *in, size_t len)
{
    uint8_t block[64] = {0}, inner[32];
    if (key_len > 64)
        blake2s_pair(block, key, key_len, "", 0);
    else
        memcpy(block, key, key_len);
    for (int i = 0; i < 64; i++)
        block[i] ^= 0x36;
    blake2s_pair(inner, block, 64, in, len);
    for (int i = 0; i < 64; i++)
        block[i] ^= 0x36 ^ 0x5c;
    blake2s_pair(out, block, 64, inner, 32);
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(inner, sizeof inner);
}

void shim_hkdf(uint8_t *out, size_t n, const uint8_t *chaining_key, const uint8_t *in, size_t len)
{
    uint8_t temporary[32], input[33];
    shim_hmac(temporary, chaining_key, 32, in, len);
    for (size_t i = 0; i < n; i++) {
        size_t used = i ? 32 : 0;
        if (i)
            memcpy(input, out + 32 * (i - 1), 32);
        input[used] = (uint8_t)(i + 1);
        shim_hmac(out + 32 * i, temporary, 32, input, used + 1);
    }
    OPENSSL_cleanse(temporary, sizeof temporary);
    OPENSSL_cleanse(input, sizeof input);
}
