/* X25519 (RFC 7748), NaCl's box (X25519, XSalsa20, Poly1305) and strict Ed25519 verification (RFC 8032) over libcrypto.
 *
 * Box layout: Poly1305 tag (16) | ciphertext. The Poly1305 key is the first 32 bytes of the Salsa20 stream, the message uses the rest.
 * Strict Ed25519: S < L, both points in canonical encoding (y < 2^255-19, no "-0") and not of small order; cofactorless like RFC 8032's short form.
 * Nothing is signed here. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "salsa.h"
#include "shim.h"

/* What goes wrong must not stay in the thread's error queue: Python's ssl would take it for its own. */
static int settled(int result)
{
    if (result != 1)
        ERR_clear_error();
    return result;
}

int shim_x25519_public(uint8_t *public_key, const uint8_t *private_key)
{
    size_t len = 32;
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, 32);
    int result = own && EVP_PKEY_get_raw_public_key(own, public_key, &len) == 1 ? 1 : -1;
    EVP_PKEY_free(own);
    return settled(result);
}

static int is_zero(const uint8_t *p, size_t len)
{
    uint8_t any = 0;
    while (len--)
        any |= *p++;
    return any == 0;
}

int shim_x25519(uint8_t *shared, const uint8_t *private_key, const uint8_t *public_key)
{
    size_t len = 32;
    int result = -1;
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, 32);
    EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public_key, 32);
    EVP_PKEY_CTX *ctx = own ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    memset(shared, 0, 32);
    if (ctx && other && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer_ex(ctx, other, 0) == 1)
        /* libcrypto itself refuses an all-zero result; a zeroed buffer tells that from another failure well enough */
        result = EVP_PKEY_derive(ctx, shared, &len) == 1 && !is_zero(shared, 32) ? 1 : 0;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(own);
    EVP_PKEY_free(other);
    return settled(result);
}

int shim_box_key(uint8_t *box_key, const uint8_t *private_key, const uint8_t *public_key)
{
    static const uint8_t zero[16];
    uint8_t shared[32];
    int result = shim_x25519(shared, private_key, public_key);
    if (result == 1)
        shim_hsalsa20(box_key, shared, zero);
    OPENSSL_cleanse(shared, sizeof shared);
    return result;
}

static int poly1305(uint8_t tag[16], const uint8_t key[32], const uint8_t *in, size_t len)
{
    size_t size = 0;
    return EVP_Q_mac(NULL, "POLY1305", NULL, NULL, NULL, key, 32, in, len, tag, 16, &size) && size == 16 ? 1 : settled(-1);
}

int shim_box_seal(uint8_t *out, const uint8_t *box_key, const uint8_t *nonce24, const uint8_t *in, size_t len)
{
    static const uint8_t zero[32];
    uint8_t subkey[32], mac_key[32];
    shim_hsalsa20(subkey, box_key, nonce24);
    salsa20_xor(mac_key, zero, 32, subkey, nonce24 + 16, 0);
    salsa20_xor(out + 16, in, len, subkey, nonce24 + 16, 32);
    int result = poly1305(out, mac_key, out + 16, len);
    OPENSSL_cleanse(subkey, sizeof subkey);
    OPENSSL_cleanse(mac_key, sizeof mac_key);
    return result;
}

int shim_box_open(uint8_t *out, const uint8_t *box_key, const uint8_t *nonce24, const uint8_t *in, size_t len)
{
    static const uint8_t zero[32];
    uint8_t subkey[32], mac_key[32], tag[16];
    if (len < 16)
        return 0;
    shim_hsalsa20(subkey, box_key, nonce24);
    salsa20_xor(mac_key, zero, 32, subkey, nonce24 + 16, 0);
    int result = poly1305(tag, mac_key, in + 16, len - 16);
    if (result == 1)
        result = CRYPTO_memcmp(tag, in, 16) == 0;
    if (result == 1)
        salsa20_xor(out, in + 16, len - 16, subkey, nonce24 + 16, 32);
    OPENSSL_cleanse(subkey, sizeof subkey);
    OPENSSL_cleanse(mac_key, sizeof mac_key);
    return result;
}

/* Little-endian a < b over 32 bytes; public values, so early exits are fine. */
static int below(const uint8_t *a, const uint8_t *b)
{
    for (int i = 31; i >= 0; i--)
        if (a[i] != b[i])
            return a[i] < b[i];
    return 0;
}

static const uint8_t PRIME[32] = {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
static const uint8_t ORDER[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10};

/* y of the eight points of order 1, 2, 4 and 8: under such a key one signature fits many messages. */
static const uint8_t SMALL_ORDER[5][32] = {
    {0},
    {1},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
     0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
     0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
};

/* y < p and the order is not small; this covers "-0", since x = 0 only where y = 1 or y = -1. */
static int acceptable_point(const uint8_t *p)
{
    uint8_t y[32];
    memcpy(y, p, 32);
    y[31] &= 0x7f;
    for (size_t i = 0; i < sizeof SMALL_ORDER / sizeof *SMALL_ORDER; i++)
        if (!memcmp(y, SMALL_ORDER[i], 32))
            return 0;
    return below(y, PRIME);
}

int shim_ed25519_verify(const uint8_t *public_key, const uint8_t *signature, const uint8_t *message, size_t len)
{
    if (!acceptable_point(public_key) || !acceptable_point(signature) || !below(signature + 32, ORDER))
        return 0;
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
    EVP_MD_CTX *ctx = key ? EVP_MD_CTX_new() : NULL;
    int result = -1;
    if (ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1)
        result = EVP_DigestVerify(ctx, signature, 64, message, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return settled(result);
}

int shim_sha256(uint8_t *out, const uint8_t *in, size_t len)
{
    return settled(EVP_Digest(in, len, out, NULL, EVP_sha256(), NULL));
}
