/* How much of what anybody can send reaches Python, or is answered; see gate.c. */
#ifndef SKERRY_GATE_H
#define SKERRY_GATE_H
#include <pthread.h>

#include "rate.h"

enum gate_kind { GATE_CONTROL, GATE_COOKIE, GATE_KINDS }; /* a datagram for Python; a cookie reply */

struct gate {
    pthread_mutex_t lock; /* a leaf; for what follows but the secret */
    uint64_t secret;
    uint8_t known[RATE_SOURCES / 8];
    struct gate_rates {
        struct rate sources[RATE_SOURCES], strangers, known;
    } rates[GATE_KINDS];
};

void gate_init(struct gate *g, uint64_t secret);
void gate_know(struct gate *g, const struct path *where); /* we send there ourselves */
int gate_take(struct gate *g, enum gate_kind kind, const struct path *from, int64_t now_us);
#endif
