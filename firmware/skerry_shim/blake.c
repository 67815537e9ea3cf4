/* BLAKE2s (RFC 7693), HMAC-BLAKE2s (RFC 2104, block 64 bytes) and Noise's HKDF (Noise specification, section 4.3) over libcrypto.
 * Unkeyed digests are 32 bytes, keyed ones 1 to 32; unkeyed ones of another size have no name in libcrypto 3.0. */
#include "blake.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <string.h>

#include "shim.h"

static EVP_MD *digest;
static EVP_MAC *keyed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    digest = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
    keyed = EVP_MAC_fetch(NULL, "BLAKE2SMAC", NULL);
}

/* What goes wrong must not stay in the thread's error queue: Python's ssl would take it for its own. */
static int settled(int ok)
{
    if (!ok)
        ERR_clear_error();
    return ok ? 1 : -1;
}

int blake2s_pair(uint8_t *out, const void *a, size_t a_len, const void *b, size_t b_len)
{
    pthread_once(&once, fetch);
    EVP_MD_CTX *ctx = digest ? EVP_MD_CTX_new() : NULL;
    int ok = ctx && EVP_DigestInit_ex2(ctx, digest, NULL) == 1 && EVP_DigestUpdate(ctx, a, a_len) == 1 &&
             EVP_DigestUpdate(ctx, b, b_len) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return settled(ok);
}

static int keyed_blake2s(uint8_t *out, size_t size, const uint8_t *key, size_t key_len, const uint8_t *in, size_t len)
{
    size_t written = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
    pthread_once(&once, fetch);
    EVP_MAC_CTX *ctx = keyed ? EVP_MAC_CTX_new(keyed) : NULL;
    int ok = ctx && EVP_MAC_init(ctx, key, key_len, params) == 1 && EVP_MAC_update(ctx, in, len) == 1 &&
             EVP_MAC_final(ctx, out, &written, size) == 1 && written == size;
    EVP_MAC_CTX_free(ctx);
    return settled(ok);
}

int shim_blake2s(uint8_t *out, size_t size, const uint8_t *key, size_t key_len, const uint8_t *in, size_t len)
{
    if (key_len)
        return keyed_blake2s(out, size, key, key_len, in, len);
    return size == 32 ? blake2s_pair(out, in, len, "", 0) : -1;
}

int shim_hmac(uint8_t *out, const uint8_t *key, size_t key_len, const uint8_t *in, size_t len)
{
    uint8_t block[64] = {0}, inner[32];
    int result = 1;
    if (key_len > 64)
        result = blake2s_pair(block, key, key_len, "", 0);
    else
        memcpy(block, key, key_len);
    for (int i = 0; i < 64; i++)
        block[i] ^= 0x36;
    if (result == 1)
        result = blake2s_pair(inner, block, 64, in, len);
    for (int i = 0; i < 64; i++)
        block[i] ^= 0x36 ^ 0x5c;
    if (result == 1)
        result = blake2s_pair(out, block, 64, inner, 32);
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(inner, sizeof inner);
    return result;
}

int shim_hkdf(uint8_t *out, size_t n, const uint8_t *chaining_key, const uint8_t *in, size_t len)
{
    uint8_t temporary[32], input[33];
    int result = shim_hmac(temporary, chaining_key, 32, in, len);
    for (size_t i = 0; i < n && result == 1; i++) {
        size_t used = i ? 32 : 0;
        if (i)
            memcpy(input, out + 32 * (i - 1), 32);
        input[used] = (uint8_t)(i + 1);
        result = shim_hmac(out + 32 * i, temporary, 32, input, used + 1);
    }
    OPENSSL_cleanse(temporary, sizeof temporary);
    OPENSSL_cleanse(input, sizeof input);
    return result;
}
