/* The first line of defence against handshake floods: MAC1, cookies and the rate of initiations; see cookie.c. */
#ifndef SKERRY_COOKIE_H
#define SKERRY_COOKIE_H
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "blake.h"
#include "fifo.h"

enum { INITIATION_SIZE = 148, RESPONSE_SIZE = 92, COOKIE_REPLY_SIZE = 64 };
enum cookie_verdict { COOKIE_PASS, COOKIE_BAD_MAC1, COOKIE_DEMAND }; /* DEMAND: send a cookie reply instead */

struct cookie_checker {
    pthread_mutex_t lock;
    int ready; /* an identity is set */
    struct blake2s mac1, secret; /* keys whose first block is hashed already */
    uint8_t seal_key[32];
    int64_t secret_since, window_start; /* ms */
    int in_window;
    int was_loaded;
    atomic_int loaded; /* the last message was beyond the rate; read without the lock */
};

void cookie_init(struct cookie_checker *c);
void cookie_wipe(struct cookie_checker *c);
void cookie_identity(struct cookie_checker *c, const uint8_t *public_key);
/* message: type 1 or 2 of its right length. */
enum cookie_verdict cookie_check(struct cookie_checker *c, const uint8_t *message, size_t len, const struct path *from, int64_t now);
int cookie_reply(struct cookie_checker *c, uint8_t reply[COOKIE_REPLY_SIZE], const uint8_t *message, size_t len, const struct path *from);
#endif
