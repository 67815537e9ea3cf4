/* Several messages at a time against libcrypto one by one: random and edge inputs, whatever the number and the lengths, and forgeries. Where the
 * processor has no lanes, the same calls go to libcrypto alone, which is checked too. */
#include "lanes.h"

#include "check.h"

enum { MOST = 70, ROOM = 65520 + 16 };
static uint8_t one[MOST][ROOM], many[MOST][ROOM];
static struct aead_item items[MOST];

/* libcrypto's answer, in place. */
static int reference(const uint8_t key[32], int i, int seal)
{
    EVP_CIPHER_CTX *c = aead_new(key, seal);
    uint8_t nonce[12] = {0};
    memcpy(nonce + 4, &items[i].counter, 8);
    int done = seal ? aead_seal(c, one[i], nonce, one[i], items[i].len, NULL, 0) : aead_open(c, one[i], nonce, one[i], items[i].len + 16, NULL, 0);
    EVP_CIPHER_CTX_free(c);
    return done;
}

static void fill(int count, const size_t *len, size_t lengths, int byte)
{
    static const uint64_t counters[] = {0, 1, 0xfffffffe, 0xffffffff, 0x100000000, 1ULL << 60, UINT64_MAX - (1ULL << 13)};
    for (int i = 0; i < count; i++) {
        items[i] = (struct aead_item){.data = many[i], .len = len[(size_t)i % lengths], .counter = counters[(size_t)i % 7] + (uint64_t)i, .ok = -5};
        if (byte < 0)
            any_bytes(many[i], items[i].len);
        else
            memset(many[i], byte, items[i].len);
        memcpy(one[i], many[i], items[i].len);
    }
}

/* Sealed as libcrypto does, opened again; the one that is forged is refused and no other. */
static void compare(const uint8_t key[32], int count, int lanes)
{
    int forged = (int)below((uint32_t)count);
    aead_seal_items(key, items, count, lanes);
    for (int i = 0; i < count; i++)
        CHECK(reference(key, i, 1) == 1 && items[i].ok == 1 && !memcmp(one[i], many[i], items[i].len + 16));
    many[forged][below((uint32_t)items[forged].len + 16)] ^= (uint8_t)(1 << below(8));
    aead_open_items(key, items, count, lanes);
    for (int i = 0; i < count; i++)
        CHECK(reference(key, i, 0) == 1 && items[i].ok == (i != forged) && (i == forged || !memcmp(one[i], many[i], items[i].len)));
}

static void all_counts(const size_t *len, size_t lengths, int step)
{
    uint8_t key[32];
    for (int count = 1; count <= MOST; count += step)
        for (int lanes = 0; lanes < 2; lanes++) {
            any_bytes(key, 32);
            fill(count, len, lengths, -1);
            compare(key, count, lanes);
        }
}

static void test_lengths(void)
{
    static const size_t each[] = {0, 1, 15, 16, 17, 32, 48, 63, 64, 65, 80, 112, 128, 1264, 1280, 1281, 1296, 1312};
    static const size_t mixed[] = {1280, 1280, 1280, 1280, 1280, 64, 64, 64, 64, 64, 64, 17, 1280};
    static const size_t large[] = {8192}, largest[] = {65520};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        all_counts(each + i, 1, 1);
    all_counts(mixed, sizeof mixed / sizeof *mixed, 1);
    all_counts(large, 1, 23);
    all_counts(largest, 1, 33);
}

/* Keys and contents under which sums grow as far as they can, or not at all. */
static void test_edges(void)
{
    static const int bytes[] = {0x00, 0xff, 0x01, 0x80};
    static const size_t len[] = {16, 1280, 4096};
    uint8_t key[32];
    for (int k = 0; k < 4; k++)
        for (int b = 0; b < 4; b++)
            for (size_t i = 0; i < 3; i++) {
                memset(key, bytes[k], 32);
                fill(16, len + i, 1, bytes[b]);
                compare(key, 16, 1);
            }
}

/* Messages under the key 00 01 .. 1f whose sum is 0, 1, 2, 3, 4, 0, ... modulo 2^130 - 5, so that it may stand there as 2^130 - 5 and more. */
static void test_sums_at_the_edge(void)
{
    static const struct {
        uint64_t counter;
        uint8_t message[16];
    } edges[16] = {
        {3, {0x54, 0x1e, 0x35, 0xb6, 0x3f, 0x5c, 0xef, 0xbf, 0x3c, 0xc8, 0xcc, 0x58, 0x45, 0x0a, 0x2e, 0x52}},
        {5, {0xff, 0x7b, 0xe4, 0xe9, 0xd6, 0xda, 0x80, 0xe4, 0xe0, 0xd6, 0x5b, 0xbd, 0x9d, 0xa4, 0x76, 0xb7}},
        {9, {0x53, 0xeb, 0x44, 0x60, 0x5d, 0xcf, 0x7a, 0x57, 0xb4, 0x64, 0x1e, 0xb6, 0x49, 0x3f, 0x97, 0xf1}},
        {18, {0x30, 0x55, 0x55, 0x12, 0xe9, 0x18, 0x8c, 0x16, 0x5c, 0x26, 0x47, 0x50, 0x0e, 0x9f, 0x6a, 0xb4}},
        {23, {0xf7, 0xd4, 0x58, 0xb2, 0x99, 0x0a, 0x16, 0x40, 0x48, 0x86, 0x74, 0x46, 0x9c, 0xb6, 0xbb, 0x5c}},
        {26, {0x00, 0xde, 0xda, 0x78, 0x9f, 0xc8, 0x3c, 0xf0, 0x8a, 0x62, 0x11, 0x9f, 0x5f, 0x1c, 0x17, 0x29}},
        {27, {0xa6, 0xa5, 0x71, 0x8a, 0x6b, 0x20, 0x18, 0xe8, 0x0b, 0x3c, 0x12, 0x21, 0xda, 0x9d, 0xc2, 0x4d}},
        {37, {0x03, 0x4f, 0x02, 0x41, 0x0e, 0xbf, 0xa4, 0x15, 0xb3, 0x08, 0xd6, 0x94, 0xb2, 0xd7, 0xc2, 0xce}},
        {45, {0x35, 0x21, 0x29, 0x2c, 0xef, 0xf3, 0x4d, 0xb5, 0x10, 0xa1, 0xb8, 0x86, 0xd7, 0xcd, 0x82, 0xe9}},
        {50, {0x0a, 0x51, 0xd7, 0x7e, 0x9c, 0x6b, 0xfe, 0xa1, 0xd9, 0xd4, 0x86, 0x8c, 0x81, 0xff, 0x8d, 0xb1}},
        {51, {0x6b, 0x37, 0xb2, 0x50, 0xb8, 0x86, 0xaf, 0xd6, 0x42, 0x82, 0xdf, 0x67, 0x0d, 0xcf, 0x8f, 0x56}},
        {52, {0xdb, 0x12, 0x12, 0xf9, 0x8c, 0x55, 0xff, 0xdb, 0xdc, 0xd2, 0x67, 0x8b, 0x7a, 0x15, 0x19, 0x67}},
        {54, {0x0c, 0x9f, 0x2e, 0x01, 0x82, 0x77, 0x38, 0xc7, 0xd3, 0x1d, 0xc9, 0xf8, 0xe4, 0xd8, 0xc1, 0xcd}},
        {57, {0x4c, 0xfb, 0x9b, 0x68, 0xab, 0x88, 0x59, 0x92, 0x1a, 0x4d, 0x2d, 0x71, 0x9b, 0xa3, 0x3c, 0x53}},
        {58, {0xe8, 0x28, 0x5d, 0x28, 0x5e, 0x98, 0x27, 0x9d, 0x39, 0x5a, 0xc1, 0x72, 0x9b, 0xe8, 0x1b, 0x1d}},
        {64, {0x11, 0x55, 0xb0, 0x3b, 0x70, 0x09, 0x59, 0xf9, 0x4f, 0x1c, 0x3e, 0xde, 0xf5, 0xc7, 0x2e, 0x16}}};
    uint8_t key[32];
    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    for (int i = 0; i < 16; i++) {
        items[i] = (struct aead_item){.data = many[i], .len = 16, .counter = edges[i].counter, .ok = -5};
        memcpy(many[i], edges[i].message, 16);
        memcpy(one[i], edges[i].message, 16);
    }
    compare(key, 16, 1);
}

int main(void)
{
    printf("lanes: %s\n", lanes_available() ? "avx512" : "none");
    test_lengths();
    test_edges();
    test_sums_at_the_edge();
    return 0;
}
