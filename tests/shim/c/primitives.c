/* The primitives' failures: refused, nothing written beyond the buffers, and no trace in libcrypto's error queue. */
#include <openssl/err.h>

#include "aead.h"
#include "check.h"
#include "shim.h"

static uint8_t key[32], nonce[24], message[64], sealed[80], opened[64];

static void test_refusals(void)
{
    static const uint8_t low_order[32] = {1};
    uint8_t out[32], signature[64] = {0}, no_point[32] = {2};
    CHECK(shim_x25519(out, key, low_order) == 0 && shim_box_key(out, key, low_order) == 0);
    CHECK(ERR_peek_error() == 0);
    CHECK(shim_ed25519_verify(no_point, signature, message, 64) != 1 && shim_ed25519_verify(low_order, signature, message, 64) != 1);
    CHECK(ERR_peek_error() == 0);
    CHECK(shim_blake2s(out, 16, NULL, 0, message, 64) == -1 && ERR_peek_error() == 0);
}

static void test_every_flipped_bit(void)
{
    CHECK(shim_seal(sealed, key, nonce, message, 64, key, 32) == 1 && shim_open(opened, key, nonce, sealed, 80, key, 32) == 1);
    for (int bit = 0; bit < 640; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(shim_open(opened, key, nonce, sealed, 80, key, 32) == 0);
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(shim_open(opened, key, nonce, sealed, 15, key, 32) == 0 && shim_open(opened, key, nonce, sealed, 80, key, 31) == 0);
    CHECK(shim_xseal(sealed, key, nonce, message, 64, NULL, 0) == 1 && shim_xopen(opened, key, nonce, sealed, 80, NULL, 0) == 1);
    CHECK(!memcmp(opened, message, 64));
    CHECK(shim_box_seal(sealed, key, nonce, message, 64) == 1 && shim_box_open(opened, key, nonce, sealed, 80) == 1);
    CHECK(!memcmp(opened, message, 64));
    for (int bit = 0; bit < 640; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(shim_box_open(opened, key, nonce, sealed, 80) == 0);
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(ERR_peek_error() == 0);
}

/* A context used again, in place, after failures: as the packet path does. */
static void test_reuse(void)
{
    EVP_CIPHER_CTX *seal = aead_new(key, 1), *open = aead_new(key, 0);
    uint8_t buffer[80];
    for (uint8_t i = 0; i < 50; i++) {
        uint8_t n[12] = {i};
        memcpy(buffer, message, 64);
        CHECK(aead_seal(seal, buffer, n, buffer, i, NULL, 0) == 1);
        if (i % 3 == 0) {
            memcpy(sealed, buffer, sizeof sealed);
            sealed[i] ^= 1;
            CHECK(aead_open(open, sealed, n, sealed, i + 16u, NULL, 0) == 0);
        }
        CHECK(aead_open(open, buffer, n, buffer, i + 16u, NULL, 0) == 1 && !memcmp(buffer, message, i));
    }
    CHECK(ERR_peek_error() == 0);
    EVP_CIPHER_CTX_free(seal);
    EVP_CIPHER_CTX_free(open);
}

int main(void)
{
    any_bytes(key, sizeof key);
    any_bytes(nonce, sizeof nonce);
    any_bytes(message, sizeof message);
    test_refusals();
    test_every_flipped_bit();
    test_reuse();
    return 0;
}
