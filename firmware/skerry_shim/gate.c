/* Floods end here: what anybody on the Internet can make us do costs a bounded share of a processor and of the link, however many
 * addresses it seems to come from.
 *
 *                 one source          strangers in all      known places in all
 *   to Python     500 a second        2000                  8000      (12 to 35 us each)
 *   cookies       20                  2000                  10000     (4 us and 64 bytes each)
 *
 * A place is known when we have sent something there. With sources made up at random a bucket of 4096 gets its share alone, so a known
 * peer's handshake is answered in the middle of a flood that leaves strangers one chance in twenty. */
#include "gate.h"

static const struct {
    struct limit source, strangers, known;
} LIMITS[GATE_KINDS] = {
    [GATE_CONTROL] = {{2000, 512}, {500, 1024}, {125, 4096}},
    [GATE_COOKIE] = {{50000, 20}, {500, 500}, {100, 1000}},
};

void gate_init(struct gate *g, uint64_t secret)
{
    pthread_mutex_init(&g->lock, NULL);
    g->secret = secret;
}

void gate_know(struct gate *g, const struct path *where)
{
    unsigned source = rate_source(where, g->secret);
    pthread_mutex_lock(&g->lock);
    g->known[source / 8] |= (uint8_t)(1u << source % 8);
    pthread_mutex_unlock(&g->lock);
}

int gate_take(struct gate *g, enum gate_kind kind, const struct path *from, int64_t now_us)
{
    unsigned source = rate_source(from, g->secret);
    struct gate_rates *r = &g->rates[kind];
    pthread_mutex_lock(&g->lock);
    int known = g->known[source / 8] >> source % 8 & 1;
    int ok = rate_take(&r->sources[source], &LIMITS[kind].source, now_us) &&
             (known ? rate_take(&r->known, &LIMITS[kind].known, now_us) : rate_take(&r->strangers, &LIMITS[kind].strangers, now_us));
    pthread_mutex_unlock(&g->lock);
    return ok;
}
