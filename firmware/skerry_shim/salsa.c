/* Salsa20's core, HSalsa20 and HChaCha20, which libcrypto does not offer.
 *
 * State: 16 little-endian 32-bit words. Salsa20 ("Salsa20 specification", Bernstein 2005): constants on the diagonal (0, 5, 10, 15),
 * key in 1-4 and 11-14, input in 6-9 (nonce 8 bytes, block counter 8 bytes). ChaCha (RFC 8439 section 2.3): constants 0-3, key 4-11,
 * input 12-15. HSalsa20 ("Extending the Salsa20 nonce") and HChaCha20 (draft-irtf-cfrg-xchacha) run 20 rounds without the final
 * addition and give the words where constants and input stood.
 * Additions, rotations and XOR only: no branch and no index depends on a secret. No Poly1305 and no stream ChaCha20: libcrypto's. */
#include <openssl/crypto.h>
#include <string.h>

#include "salsa.h"
#include "shim.h"

static const uint32_t SIGMA[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t rotate(uint32_t v, int n)
{
    return v << n | v >> (32 - n);
}

static void salsa_quarter(uint32_t *x, int a, int b, int c, int d)
{
    x[b] ^= rotate(x[a] + x[d], 7);
    x[c] ^= rotate(x[b] + x[a], 9);
    x[d] ^= rotate(x[c] + x[b], 13);
    x[a] ^= rotate(x[d] + x[c], 18);
}

static void salsa_rounds(uint32_t x[16])
{
    for (int i = 0; i < 10; i++) {
        salsa_quarter(x, 0, 4, 8, 12);
        salsa_quarter(x, 5, 9, 13, 1);
        salsa_quarter(x, 10, 14, 2, 6);
        salsa_quarter(x, 15, 3, 7, 11);
        salsa_quarter(x, 0, 1, 2, 3);
        salsa_quarter(x, 5, 6, 7, 4);
        salsa_quarter(x, 10, 11, 8, 9);
        salsa_quarter(x, 15, 12, 13, 14);
    }
}

static void salsa_state(uint32_t x[16], const uint8_t *key, const uint8_t *in16)
{
    for (int i = 0; i < 4; i++) {
        x[5 * i] = SIGMA[i];
        x[1 + i] = load32(key + 4 * i);
        x[11 + i] = load32(key + 16 + 4 * i);
        x[6 + i] = load32(in16 + 4 * i);
    }
}

static void salsa_block(uint8_t out[64], const uint8_t *key, const uint8_t *in16)
{
    uint32_t x[16], start[16];
    salsa_state(start, key, in16);
    memcpy(x, start, sizeof x);
    salsa_rounds(x);
    for (int i = 0; i < 16; i++)
        store32(out + 4 * i, x[i] + start[i]);
    OPENSSL_cleanse(x, sizeof x);
    OPENSSL_cleanse(start, sizeof start);
}

void salsa20_xor(uint8_t *out, const uint8_t *in, size_t len, const uint8_t *key, const uint8_t *nonce8, size_t skip)
{
    uint8_t block[64], input[16];
    uint64_t counter = 0;
    memcpy(input, nonce8, 8);
    for (size_t done = 0; done < len; counter++, skip = 0) {
        for (int i = 0; i < 8; i++)
            input[8 + i] = (uint8_t)(counter >> (8 * i));
        salsa_block(block, key, input);
        for (; skip < 64 && done < len; skip++, done++)
            out[done] = in[done] ^ block[skip];
    }
    OPENSSL_cleanse(block, sizeof block);
}

void shim_hsalsa20(uint8_t *out, const uint8_t *key, const uint8_t *in16)
{
    uint32_t x[16];
    salsa_state(x, key, in16);
    salsa_rounds(x);
    for (int i = 0; i < 4; i++) {
        store32(out + 4 * i, x[5 * i]);
        store32(out + 16 + 4 * i, x[6 + i]);
    }
    OPENSSL_cleanse(x, sizeof x);
}

static void chacha_quarter(uint32_t *x, int a, int b, int c, int d)
{
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 7);
}

void shim_hchacha20(uint8_t *out, const uint8_t *key, const uint8_t *in16)
{
    uint32_t x[16];
    for (int i = 0; i < 4; i++) {
        x[i] = SIGMA[i];
        x[4 + i] = load32(key + 4 * i);
        x[8 + i] = load32(key + 16 + 4 * i);
        x[12 + i] = load32(in16 + 4 * i);
    }
    for (int i = 0; i < 10; i++) {
        for (int j = 0; j < 4; j++)
            chacha_quarter(x, j, 4 + j, 8 + j, 12 + j);
        for (int j = 0; j < 4; j++)
            chacha_quarter(x, j, 4 + (j + 1) % 4, 8 + (j + 2) % 4, 12 + (j + 3) % 4);
    }
    for (int i = 0; i < 4; i++) {
        store32(out + 4 * i, x[i]);
        store32(out + 16 + 4 * i, x[12 + i]);
    }
    OPENSSL_cleanse(x, sizeof x);
}
