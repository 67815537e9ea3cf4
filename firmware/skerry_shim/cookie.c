/* MAC1, MAC2 and cookie replies of WireGuard (whitepaper sections 5.4.4 and 5.4.7).
 *
 * A handshake message ends in MAC1 (16) and MAC2 (16): MAC1 = BLAKE2s-128(BLAKE2s("mac1----" | our public key), all before it), MAC2 the
 * same over all before itself, keyed by the cookie. A cookie is BLAKE2s-128(secret, where the message came from); the secret lives two
 * minutes. Cookie reply, 64 bytes: type 3 and three zero bytes, receiver index u32, nonce 24, XChaCha20-Poly1305 of the cookie under
 * BLAKE2s("cookie--" | our public key) with the MAC1 answered as additional data. Under load means more than 100 messages with a good MAC1
 * in the current second. Replies sent to us are not opened here. */
#include "cookie.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "shim.h"

#define SECRET_LIFE_MS 120000
#define RATE 100

void cookie_init(struct cookie_checker *c)
{
    memset(c, 0, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->secret_since = c->window_start = INT64_MIN / 2;
}

void cookie_wipe(struct cookie_checker *c)
{
    pthread_mutex_destroy(&c->lock);
    OPENSSL_cleanse(c, sizeof *c);
}

void cookie_identity(struct cookie_checker *c, const uint8_t *public_key)
{
    uint8_t mac1_key[32];
    pthread_mutex_lock(&c->lock);
    c->window_start = INT64_MIN / 2;
    c->was_loaded = 0;
    blake2s_pair(mac1_key, "mac1----", 8, public_key, 32);
    blake2s_prepare(&c->mac1, 16, mac1_key, sizeof mac1_key);
    blake2s_pair(c->seal_key, "cookie--", 8, public_key, 32);
    c->ready = 1;
    pthread_mutex_unlock(&c->lock);
}

static void cookie_of(const struct cookie_checker *c, uint8_t cookie[16], const struct path *from)
{
    blake2s_keyed(&c->secret, cookie, from, sizeof *from);
}

static int mac2_good(const struct cookie_checker *c, const uint8_t *message, size_t len, const struct path *from)
{
    static const uint8_t none[16];
    uint8_t cookie[16], mac[16];
    if (!memcmp(message + len - 16, none, 16)) /* who has no cookie sends zeros; no need to compute */
        return 0;
    cookie_of(c, cookie, from);
    shim_blake2s(mac, 16, cookie, 16, message, len - 16);
    OPENSSL_cleanse(cookie, sizeof cookie);
    return CRYPTO_memcmp(mac, message + len - 16, 16) == 0;
}

/* 1 when this message is beyond the rate, or the second before was: under a lasting flood the first hundred forged ones of each
 * second must not be the ones that get through. */
static int under_load(struct cookie_checker *c, int64_t now)
{
    if (now - c->window_start >= 1000) {
        c->was_loaded = now - c->window_start < 2000 && c->in_window > RATE;
        c->window_start = now;
        c->in_window = 0;
    }
    if (c->in_window <= RATE)
        c->in_window++;
    int loaded = c->was_loaded || c->in_window > RATE;
    atomic_store_explicit(&c->loaded, loaded, memory_order_relaxed);
    return loaded;
}

static int refresh_secret(struct cookie_checker *c, int64_t now)
{
    if (now - c->secret_since < SECRET_LIFE_MS)
        return 1;
    uint8_t secret[32];
    if (RAND_bytes(secret, sizeof secret) != 1)
        return 0;
    blake2s_prepare(&c->secret, 16, secret, sizeof secret);
    OPENSSL_cleanse(secret, sizeof secret);
    c->secret_since = now;
    return 1;
}

static enum cookie_verdict check_locked(struct cookie_checker *c, const uint8_t *message, size_t len, const struct path *from, int64_t now)
{
    uint8_t mac[16];
    if (!c->ready)
        return COOKIE_BAD_MAC1;
    blake2s_keyed(&c->mac1, mac, message, len - 32);
    if (CRYPTO_memcmp(mac, message + len - 32, 16))
        return COOKIE_BAD_MAC1;
    if (!under_load(c, now))
        return COOKIE_PASS;
    if (!refresh_secret(c, now))
        return COOKIE_BAD_MAC1;
    return mac2_good(c, message, len, from) ? COOKIE_PASS : COOKIE_DEMAND;
}

enum cookie_verdict cookie_check(struct cookie_checker *c, const uint8_t *message, size_t len, const struct path *from, int64_t now)
{
    pthread_mutex_lock(&c->lock);
    enum cookie_verdict v = check_locked(c, message, len, from, now);
    pthread_mutex_unlock(&c->lock);
    return v;
}

int cookie_reply(struct cookie_checker *c, uint8_t reply[COOKIE_REPLY_SIZE], const uint8_t *message, size_t len, const struct path *from)
{
    uint8_t cookie[16];
    memset(reply, 0, COOKIE_REPLY_SIZE);
    reply[0] = 3;
    memcpy(reply + 4, message + 4, 4);
    pthread_mutex_lock(&c->lock);
    cookie_of(c, cookie, from);
    int ok = RAND_bytes(reply + 8, 24) == 1 &&
             shim_xseal(reply + 32, c->seal_key, reply + 8, cookie, 16, message + len - 32, 16) == 1;
    pthread_mutex_unlock(&c->lock);
    OPENSSL_cleanse(cookie, sizeof cookie);
    return ok;
}
