/* The primitives' failures: refused, nothing written beyond the buffers, and no trace in libcrypto's error queue. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "aead.h"
#include "blake.h"
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

/* Our BLAKE2s against libcrypto's: every length over some blocks, keyed, in pieces, and from a key that was prepared. */
static void test_blake2s(void)
{
    static uint8_t data[400];
    uint8_t ours[32], pieces[32], theirs[32];
    unsigned n;
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "BLAKE2SMAC", NULL);
    CHECK(mac);
    any_bytes(data, sizeof data);
    for (size_t len = 0; len < sizeof data; len++) {
        size_t cut = len ? below((uint32_t)len) : 0, key_len = 1 + below(32), size = 1 + below(32), written;
        CHECK(EVP_Digest(data, len, theirs, &n, EVP_blake2s256(), NULL) == 1);
        blake2s_pair(ours, data, cut, data + cut, len - cut);
        shim_blake2s(pieces, 32, NULL, 0, data, len);
        CHECK(!memcmp(ours, theirs, 32) && !memcmp(pieces, theirs, 32));
        OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t("size", &size), OSSL_PARAM_construct_end()};
        EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
        CHECK(EVP_MAC_init(ctx, key, key_len, params) == 1 && EVP_MAC_update(ctx, data, len) == 1);
        CHECK(EVP_MAC_final(ctx, theirs, &written, sizeof theirs) == 1 && written == size);
        EVP_MAC_CTX_free(ctx);
        shim_blake2s(ours, size, key, key_len, data, len);
        CHECK(!memcmp(ours, theirs, size));
        if (len) {
            struct blake2s prepared;
            blake2s_prepare(&prepared, size, key, key_len);
            blake2s_keyed(&prepared, ours, data, len);
            CHECK(!memcmp(ours, theirs, size));
        }
    }
    EVP_MAC_free(mac);
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
    test_blake2s();
    test_every_flipped_bit();
    test_reuse();
    return 0;
}
