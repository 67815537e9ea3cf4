/* ChaCha20-Poly1305 (RFC 8439) over libcrypto. The cipher is fetched once; a context keeps its key schedule, so a packet costs one
 * nonce change (setting key and cipher anew for each packet costs half the speed on small ones). No nonces are chosen here. */
#include "aead.h"

#include <limits.h>
#include <openssl/err.h>
#include <pthread.h>
#include <string.h>

#include "lanes.h"
#include "shim.h"
#include "salsa.h"

static EVP_CIPHER *cipher;
static pthread_once_t cipher_once = PTHREAD_ONCE_INIT;

static void fetch_cipher(void)
{
    cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
}

EVP_CIPHER_CTX *aead_new(const uint8_t *key, int seal)
{
    pthread_once(&cipher_once, fetch_cipher);
    EVP_CIPHER_CTX *ctx = cipher ? EVP_CIPHER_CTX_new() : NULL;
    if (ctx && EVP_CipherInit_ex2(ctx, cipher, key, NULL, seal, NULL) == 1)
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

/* What goes wrong here must not stay in the thread's error queue: Python's ssl would take it for its own. */
static int failed(int result)
{
    ERR_clear_error();
    return result;
}

int aead_seal(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *nonce12, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len)
{
    int n = 0;
    if (len > INT_MAX - AEAD_TAG || ad_len > INT_MAX)
        return -1;
    int ok = EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce12, NULL) == 1 &&
             (!ad_len || EVP_EncryptUpdate(ctx, NULL, &n, ad, (int)ad_len) == 1) &&
             (!len || EVP_EncryptUpdate(ctx, out, &n, in, (int)len) == 1) && EVP_EncryptFinal_ex(ctx, out + len, &n) == 1 &&
             EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, out + len) == 1;
    return ok ? 1 : failed(-1);
}

int aead_open(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *nonce12, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len)
{
    int n = 0;
    uint8_t tag[AEAD_TAG], none[AEAD_TAG];
    if (len < AEAD_TAG)
        return 0;
    if (len > INT_MAX || ad_len > INT_MAX)
        return -1;
    len -= AEAD_TAG;
    memcpy(tag, in + len, AEAD_TAG);
    int ok = EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce12, NULL) == 1 &&
             EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG, tag) == 1 &&
             (!ad_len || EVP_DecryptUpdate(ctx, NULL, &n, ad, (int)ad_len) == 1) &&
             (!len || EVP_DecryptUpdate(ctx, out, &n, in, (int)len) == 1);
    if (!ok)
        return failed(-1);
    return EVP_DecryptFinal_ex(ctx, none, &n) == 1 ? 1 : failed(0);
}

static void nonce_of(uint8_t nonce[12], uint64_t counter)
{
    memset(nonce, 0, 4);
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

static const uint8_t NO_KEY[32];
static _Thread_local EVP_CIPHER_CTX *own; /* without a key between two calls */
static pthread_key_t thread_end;
static pthread_once_t thread_end_once = PTHREAD_ONCE_INIT;

static void free_own(void *context)
{
    EVP_CIPHER_CTX_free(context);
}

static void watch_threads_end(void)
{
    pthread_key_create(&thread_end, free_own);
}

static int set_key(const uint8_t *key, int seal)
{
    if (!own) {
        own = aead_new(NO_KEY, seal);
        pthread_once(&thread_end_once, watch_threads_end);
        pthread_setspecific(thread_end, own);
    }
    return own && EVP_CipherInit_ex2(own, NULL, key, NULL, seal, NULL) == 1;
}

enum { UNDONE = -1 };

/* How many are left for libcrypto, one by one. */
static int by_lanes(void (*work)(const uint8_t *, struct aead_item *, int), const uint8_t *key, struct aead_item *items, int count, int lanes)
{
    int left = 0;
    for (int i = 0; i < count; i++)
        items[i].ok = UNDONE;
    if (lanes && count > 1)
        work(key, items, count);
    for (int i = 0; i < count; i++)
        left += items[i].ok == UNDONE;
    return left;
}

void aead_seal_items(const uint8_t key[32], struct aead_item *items, int count, int lanes)
{
    uint8_t nonce[12];
    if (!by_lanes(lanes_seal, key, items, count, lanes))
        return;
    int ready = set_key(key, 1);
    for (struct aead_item *i = items; i < items + count; i++) {
        if (i->ok != UNDONE)
            continue;
        nonce_of(nonce, i->counter);
        i->ok = ready && aead_seal(own, i->data, nonce, i->data, i->len, NULL, 0) == 1;
    }
    set_key(NO_KEY, 1);
}

void aead_open_items(const uint8_t key[32], struct aead_item *items, int count, int lanes)
{
    uint8_t nonce[12];
    if (!by_lanes(lanes_open, key, items, count, lanes))
        return;
    int ready = set_key(key, 0);
    for (struct aead_item *i = items; i < items + count; i++) {
        if (i->ok != UNDONE)
            continue;
        nonce_of(nonce, i->counter);
        i->ok = ready && aead_open(own, i->data, nonce, i->data, i->len + AEAD_TAG, NULL, 0) == 1;
    }
    set_key(NO_KEY, 0);
}

int shim_seal(uint8_t *out, const uint8_t *key, const uint8_t *nonce12, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len)
{
    EVP_CIPHER_CTX *ctx = aead_new(key, 1);
    int result = ctx ? aead_seal(ctx, out, nonce12, in, len, ad, ad_len) : -1;
    EVP_CIPHER_CTX_free(ctx);
    return result;
}

int shim_open(uint8_t *out, const uint8_t *key, const uint8_t *nonce12, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len)
{
    EVP_CIPHER_CTX *ctx = aead_new(key, 0);
    int result = ctx ? aead_open(ctx, out, nonce12, in, len, ad, ad_len) : -1;
    EVP_CIPHER_CTX_free(ctx);
    return result;
}

/* XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): the first 16 nonce bytes make a subkey, the last 8 become the end of its nonce. */
static void extend(uint8_t subkey[32], uint8_t nonce12[12], const uint8_t *key, const uint8_t *nonce24)
{
    shim_hchacha20(subkey, key, nonce24);
    memset(nonce12, 0, 4);
    memcpy(nonce12 + 4, nonce24 + 16, 8);
}

int shim_xseal(uint8_t *out, const uint8_t *key, const uint8_t *nonce24, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len)
{
    uint8_t subkey[32], nonce[12];
    extend(subkey, nonce, key, nonce24);
    int result = shim_seal(out, subkey, nonce, in, len, ad, ad_len);
    OPENSSL_cleanse(subkey, sizeof subkey);
    return result;
}

int shim_xopen(uint8_t *out, const uint8_t *key, const uint8_t *nonce24, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len)
{
    uint8_t subkey[32], nonce[12];
    extend(subkey, nonce, key, nonce24);
    int result = shim_open(out, subkey, nonce, in, len, ad, ad_len);
    OPENSSL_cleanse(subkey, sizeof subkey);
    return result;
}
