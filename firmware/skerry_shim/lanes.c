/* ChaCha20-Poly1305 (RFC 8439) of up to 16 messages of one length at a time, for AVX-512 with IFMA. It needs a run of at least 4 such messages;
 * one alone is done faster by libcrypto.
 *
 * ChaCha20: 16 lanes of 32 bits, each a (message, block) pair, so that none stays empty whatever the length. Block 0 of every message comes first:
 * its 32 bytes are the one-time key. Poly1305: 8 lanes of 64 bits, each a message with a key of its own, hence no powers of r; numbers in
 * limbs of 44, 44 and 42 bits, whose products the 52-bit multiplier takes; 16 messages go in two halves that take turns, because each waits for
 * itself. What is written depends on the lengths alone: no branch and no address depends on a key, a message or a tag. */
#include "lanes.h"

#include <openssl/crypto.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

enum { LANES = 16, HALF = 8, LEAST = 4, BLOCK = 64 };
#define KERNEL __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512ifma")))
#define INLINE KERNEL static inline __attribute__((always_inline))
#define MASK44 ((1ULL << 44) - 1)
#define MASK42 ((1ULL << 42) - 1)

typedef __m512i vector;

int lanes_available(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma");
}

/* -- ChaCha20 */

/* Sixteen blocks: what distinguishes them. */
struct blocks {
    uint32_t index[LANES], low[LANES], high[LANES]; /* block counter; message counter, which is the end of the nonce */
} __attribute__((aligned(64)));

#define QUARTER(a, b, c, d)                                                                                                                 \
    a = _mm512_add_epi32(a, b), d = _mm512_rol_epi32(_mm512_xor_si512(d, a), 16), c = _mm512_add_epi32(c, d),                               \
    b = _mm512_rol_epi32(_mm512_xor_si512(b, c), 12), a = _mm512_add_epi32(a, b), d = _mm512_rol_epi32(_mm512_xor_si512(d, a), 8),          \
    c = _mm512_add_epi32(c, d), b = _mm512_rol_epi32(_mm512_xor_si512(b, c), 7)

INLINE void double_round(vector x[16])
{
    QUARTER(x[0], x[4], x[8], x[12]);
    QUARTER(x[1], x[5], x[9], x[13]);
    QUARTER(x[2], x[6], x[10], x[14]);
    QUARTER(x[3], x[7], x[11], x[15]);
    QUARTER(x[0], x[5], x[10], x[15]);
    QUARTER(x[1], x[6], x[11], x[12]);
    QUARTER(x[2], x[7], x[8], x[13]);
    QUARTER(x[3], x[4], x[9], x[14]);
}

/* The four 128-bit parts of four vectors, across. */
INLINE void across(vector *a, vector *b, vector *c, vector *d)
{
    vector ab_low = _mm512_shuffle_i32x4(*a, *b, 0x44), ab_high = _mm512_shuffle_i32x4(*a, *b, 0xee);
    vector cd_low = _mm512_shuffle_i32x4(*c, *d, 0x44), cd_high = _mm512_shuffle_i32x4(*c, *d, 0xee);
    *a = _mm512_shuffle_i32x4(ab_low, cd_low, 0x88);
    *b = _mm512_shuffle_i32x4(ab_low, cd_low, 0xdd);
    *c = _mm512_shuffle_i32x4(ab_high, cd_high, 0x88);
    *d = _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd);
}

/* From word by word to block by block. */
INLINE void transpose(vector x[16])
{
    for (int i = 0; i < 16; i += 4) {
        vector a = _mm512_unpacklo_epi32(x[i], x[i + 1]), b = _mm512_unpackhi_epi32(x[i], x[i + 1]);
        vector c = _mm512_unpacklo_epi32(x[i + 2], x[i + 3]), d = _mm512_unpackhi_epi32(x[i + 2], x[i + 3]);
        x[i] = _mm512_unpacklo_epi64(a, c);
        x[i + 1] = _mm512_unpackhi_epi64(a, c);
        x[i + 2] = _mm512_unpacklo_epi64(b, d);
        x[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4; i++)
        across(&x[i], &x[i + 4], &x[i + 8], &x[i + 12]);
}

/* The key stream of 16 blocks, one after the other. */
INLINE void key_stream(vector x[16], const uint32_t key[8], const struct blocks *b)
{
    static const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    vector start[16];
    for (int i = 0; i < 4; i++)
        start[i] = _mm512_set1_epi32((int)constants[i]);
    for (int i = 0; i < 8; i++)
        start[4 + i] = _mm512_set1_epi32((int)key[i]);
    start[12] = _mm512_load_si512(b->index);
    start[13] = _mm512_setzero_si512();
    start[14] = _mm512_load_si512(b->low);
    start[15] = _mm512_load_si512(b->high);
    for (int i = 0; i < 16; i++)
        x[i] = start[i];
    for (int i = 0; i < 10; i++)
        double_round(x);
    for (int i = 0; i < 16; i++)
        x[i] = _mm512_add_epi32(x[i], start[i]);
    transpose(x);
}

INLINE void name_block(struct blocks *b, int lane, uint64_t counter, uint32_t index)
{
    b->index[lane] = index;
    b->low[lane] = (uint32_t)counter;
    b->high[lane] = (uint32_t)(counter >> 32);
}

INLINE void xor_block(uint8_t *data, size_t len, vector stream)
{
    __mmask64 mask = len >= BLOCK ? ~0ULL : (1ULL << len) - 1;
    _mm512_mask_storeu_epi8(data, mask, _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, data), stream));
}

/* All messages whose ok is not 0. */
KERNEL static void encrypt(const uint32_t key[8], struct aead_item *items, int count)
{
    struct blocks b = {{0}, {0}, {0}};
    uint8_t *data[LANES];
    size_t rest[LANES];
    vector x[16];
    int lanes = 0;
    for (int i = 0; i < count; i++)
        for (size_t at = 0; at < items[i].len && items[i].ok; at += BLOCK) {
            name_block(&b, lanes, items[i].counter, (uint32_t)(1 + at / BLOCK));
            data[lanes] = items[i].data + at;
            rest[lanes++] = items[i].len - at;
            if (lanes < LANES)
                continue;
            key_stream(x, key, &b);
            for (int k = 0; k < LANES; k++)
                xor_block(data[k], rest[k], x[k]);
            lanes = 0;
        }
    if (lanes)
        key_stream(x, key, &b);
    for (int k = 0; k < lanes; k++)
        xor_block(data[k], rest[k], x[k]);
}

/* -- Poly1305 */

/* One-time keys as they come: r (16 bytes), then what is added at the end. */
struct one_time {
    uint64_t r[2][LANES], s[2][LANES];
};

KERNEL static void one_time_keys(const uint32_t key[8], const struct aead_item *items, int count, struct one_time *k)
{
    struct blocks b;
    uint64_t block[8];
    vector x[16];
    for (int i = 0; i < LANES; i++) /* lanes beyond the last message repeat the first one */
        name_block(&b, i, items[i < count ? i : 0].counter, 0);
    key_stream(x, key, &b);
    for (int i = 0; i < LANES; i++) {
        _mm512_storeu_si512(block, x[i]);
        k->r[0][i] = block[0] & 0x0ffffffc0fffffff;
        k->r[1][i] = block[1] & 0x0ffffffc0ffffffc;
        k->s[0][i] = block[2];
        k->s[1][i] = block[3];
    }
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(x, sizeof x);
}

/* Eight sums under way: h, and what it is multiplied by; times20 because 2^132 = 20 (mod 2^130 - 5). */
struct sums {
    vector h[3], r[3], times20[2]; /* of r[1], r[2] */
};

INLINE void split(vector limb[3], vector low, vector high)
{
    const vector mask = _mm512_set1_epi64((long long)MASK44);
    limb[0] = _mm512_and_si512(low, mask);
    limb[1] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(low, 44), _mm512_slli_epi64(high, 20)), mask);
    limb[2] = _mm512_srli_epi64(high, 24);
}

INLINE void sums_begin(struct sums *s, const struct one_time *k, int from)
{
    const vector twenty = _mm512_set1_epi64(20);
    split(s->r, _mm512_loadu_si512(k->r[0] + from), _mm512_loadu_si512(k->r[1] + from));
    for (int i = 0; i < 3; i++)
        s->h[i] = _mm512_setzero_si512();
    for (int i = 0; i < 2; i++)
        s->times20[i] = _mm512_mullo_epi64(s->r[1 + i], twenty);
}

#define LOW(sum, a, b) sum = _mm512_madd52lo_epu64(sum, a, b)
#define HIGH(sum, a, b) sum = _mm512_madd52hi_epu64(sum, a, b)

/* h = (h + block) * r, the block as two words of 64 bits with a bit of 2^128 above it. */
INLINE void sums_add(struct sums *s, vector low, vector high)
{
    const vector zero = _mm512_setzero_si512(), mask44 = _mm512_set1_epi64((long long)MASK44);
    const vector mask42 = _mm512_set1_epi64((long long)MASK42), bit128 = _mm512_set1_epi64(1LL << 40);
    vector m[3], l0 = zero, l1 = zero, l2 = zero, u0 = zero, u1 = zero, u2 = zero, carry;
    split(m, low, high);
    vector a = _mm512_add_epi64(s->h[0], m[0]), b = _mm512_add_epi64(s->h[1], m[1]);
    vector c = _mm512_add_epi64(s->h[2], _mm512_or_si512(m[2], bit128));
    LOW(l0, c, s->times20[0]), HIGH(u0, c, s->times20[0]), LOW(l1, c, s->times20[1]), HIGH(u1, c, s->times20[1]);
    LOW(l2, c, s->r[0]), HIGH(u2, c, s->r[0]), LOW(l0, b, s->times20[1]), HIGH(u0, b, s->times20[1]);
    LOW(l1, b, s->r[0]), HIGH(u1, b, s->r[0]), LOW(l2, b, s->r[1]), HIGH(u2, b, s->r[1]);
    LOW(l0, a, s->r[0]), HIGH(u0, a, s->r[0]), LOW(l1, a, s->r[1]), HIGH(u1, a, s->r[1]);
    LOW(l2, a, s->r[2]), HIGH(u2, a, s->r[2]);
    carry = _mm512_add_epi64(_mm512_srli_epi64(l0, 44), _mm512_slli_epi64(u0, 8));
    l1 = _mm512_add_epi64(l1, carry);
    carry = _mm512_add_epi64(_mm512_srli_epi64(l1, 44), _mm512_slli_epi64(u1, 8));
    l2 = _mm512_add_epi64(l2, carry);
    carry = _mm512_add_epi64(_mm512_srli_epi64(l2, 42), _mm512_slli_epi64(u2, 10));
    l0 = _mm512_add_epi64(_mm512_and_si512(l0, mask44), _mm512_add_epi64(carry, _mm512_slli_epi64(carry, 2)));
    s->h[0] = _mm512_and_si512(l0, mask44);
    s->h[1] = _mm512_add_epi64(_mm512_and_si512(l1, mask44), _mm512_srli_epi64(l0, 44));
    s->h[2] = _mm512_and_si512(l2, mask42);
}

/* The words of up to 64 bytes of eight messages, across; bytes beyond len are 0. */
INLINE void load_across(vector x[8], uint8_t *const data[HALF], size_t at, size_t len)
{
    __mmask64 mask = len >= BLOCK ? ~0ULL : (1ULL << len) - 1;
    for (int i = 0; i < 8; i += 2) {
        vector a = _mm512_maskz_loadu_epi8(mask, data[i] + at), b = _mm512_maskz_loadu_epi8(mask, data[i + 1] + at);
        x[i] = _mm512_unpacklo_epi64(a, b);
        x[i + 1] = _mm512_unpackhi_epi64(a, b);
    }
    across(&x[0], &x[2], &x[4], &x[6]);
    across(&x[1], &x[3], &x[5], &x[7]);
}

/* One half (halves = 1) or both. */
INLINE void sums_all(struct sums s[2], int halves, uint8_t *const data[LANES], size_t len)
{
    const vector zero = _mm512_setzero_si512(), length = _mm512_set1_epi64((long long)len);
    vector x[2][8];
    for (size_t at = 0; at < len; at += BLOCK) {
        int pieces = len - at >= BLOCK ? 4 : (int)(len - at) / 16;
        for (int i = 0; i < halves; i++)
            load_across(x[i], data + HALF * i, at, len - at);
        if (pieces == 4) {
            for (int piece = 0; piece < 4; piece++)
                for (int i = 0; i < halves; i++)
                    sums_add(&s[i], x[i][2 * piece], x[i][2 * piece + 1]);
        } else {
            for (int piece = 0; piece < pieces; piece++)
                for (int i = 0; i < halves; i++)
                    sums_add(&s[i], x[i][2 * piece], x[i][2 * piece + 1]);
        }
    }
    for (int i = 0; i < halves; i++)
        sums_add(&s[i], zero, length); /* no additional data, then the length */
}

/* h modulo 2^130 - 5, plus s, modulo 2^128. */
static void finish(uint64_t h0, uint64_t h1, uint64_t h2, uint64_t s0, uint64_t s1, uint8_t tag[16])
{
    for (int i = 0; i < 2; i++) {
        h1 += h0 >> 44;
        h0 &= MASK44;
        h2 += h1 >> 44;
        h1 &= MASK44;
        h0 += (h2 >> 42) * 5;
        h2 &= MASK42;
    }
    h1 += h0 >> 44;
    h0 &= MASK44;
    uint64_t g0 = h0 + 5, g1 = h1 + (g0 >> 44), g2 = h2 + (g1 >> 44);
    uint64_t over = 0 - (g2 >> 42); /* all ones when h was 2^130 - 5 or more */
    h0 ^= (h0 ^ (g0 & MASK44)) & over;
    h1 ^= (h1 ^ (g1 & MASK44)) & over;
    h2 ^= (h2 ^ (g2 & MASK42)) & over;
    uint64_t low = h0 | h1 << 44, high = h1 >> 20 | h2 << 24;
    low += s0;
    high += s1 + (low < s0);
    memcpy(tag, &low, 8);
    memcpy(tag + 8, &high, 8);
}

KERNEL static void tags(const struct one_time *k, const struct aead_item *items, int count, uint8_t tag[LANES][16])
{
    uint64_t h[3][LANES];
    uint8_t *data[LANES];
    struct sums s[2];
    for (int i = 0; i < LANES; i++)
        data[i] = items[i < count ? i : 0].data;
    sums_begin(&s[0], k, 0);
    sums_begin(&s[1], k, HALF);
    if (count <= HALF)
        sums_all(s, 1, data, items[0].len);
    else
        sums_all(s, 2, data, items[0].len);
    for (int i = 0; i < 3; i++) {
        _mm512_storeu_si512(h[i], s[0].h[i]);
        _mm512_storeu_si512(h[i] + HALF, s[1].h[i]);
    }
    for (int i = 0; i < count; i++)
        finish(h[0][i], h[1][i], h[2][i], k->s[0][i], k->s[1][i], tag[i]);
    OPENSSL_cleanse(s, sizeof s);
}

/* -- messages of one length, 16 at most */

typedef void group_fn(const uint32_t key[8], struct aead_item *items, int count);

static void seal_group(const uint32_t key[8], struct aead_item *items, int count)
{
    struct one_time k;
    uint8_t tag[LANES][16];
    for (int i = 0; i < count; i++)
        items[i].ok = 1;
    one_time_keys(key, items, count, &k);
    encrypt(key, items, count);
    tags(&k, items, count, tag);
    for (int i = 0; i < count; i++)
        memcpy(items[i].data + items[i].len, tag[i], 16);
    OPENSSL_cleanse(&k, sizeof k);
}

static void open_group(const uint32_t key[8], struct aead_item *items, int count)
{
    struct one_time k;
    uint8_t tag[LANES][16];
    one_time_keys(key, items, count, &k);
    tags(&k, items, count, tag);
    for (int i = 0; i < count; i++)
        items[i].ok = CRYPTO_memcmp(items[i].data + items[i].len, tag[i], 16) == 0;
    encrypt(key, items, count); /* which is decrypting */
    OPENSSL_cleanse(&k, sizeof k);
    OPENSSL_cleanse(tag, sizeof tag); /* a right tag for a forged message must not lie about */
}

/* Neighbours of one length. */
static int run_of(const struct aead_item *items, int count)
{
    int n = 1;
    while (n < count && items[n].len == items[0].len)
        n++;
    return n;
}

static void in_groups(const uint8_t key[32], struct aead_item *items, int count, group_fn *group)
{
    uint32_t words[8];
    memcpy(words, key, 32);
    for (int at = 0, run; at < count; at += run) {
        run = run_of(items + at, count - at);
        if (items[at].len == 0 || items[at].len % 16)
            continue;
        for (int from = 0; run - from >= LEAST; from += LANES)
            group(words, items + at + from, run - from < LANES ? run - from : LANES);
    }
    OPENSSL_cleanse(words, sizeof words);
}

void lanes_seal(const uint8_t key[32], struct aead_item *items, int count)
{
    in_groups(key, items, count, seal_group);
}

void lanes_open(const uint8_t key[32], struct aead_item *items, int count)
{
    in_groups(key, items, count, open_group);
}

#else

int lanes_available(void)
{
    return 0;
}

void lanes_seal(const uint8_t key[32], struct aead_item *items, int count)
{
    (void)key, (void)items, (void)count;
}

void lanes_open(const uint8_t key[32], struct aead_item *items, int count)
{
    (void)key, (void)items, (void)count;
}
#endif
