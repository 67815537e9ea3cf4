/* Replay window of 8128 counters in a ring of 128 words of 64 bits (the scheme of RFC 6479): a counter's word is counter / 64 mod 128;
 * moving ahead clears the words passed. A counter is too old when newest - counter > 8128. Only authentic packets may be
 * accepted here; it holds no lock. */
#include "replay.h"

static uint64_t word_of(uint64_t counter)
{
    return counter / 64;
}

int replay_fresh(const struct replay *r, uint64_t counter)
{
    if (!r->any || counter > r->newest)
        return 1;
    if (r->newest - counter > REPLAY_WINDOW)
        return 0;
    return !(r->bits[word_of(counter) % REPLAY_WORDS] >> (counter % 64) & 1);
}

int replay_accept(struct replay *r, uint64_t counter)
{
    if (!replay_fresh(r, counter))
        return 0;
    if (!r->any || counter > r->newest) {
        uint64_t from = word_of(r->newest), ahead = word_of(counter) - from;
        if (ahead > REPLAY_WORDS)
            ahead = REPLAY_WORDS;
        for (uint64_t i = 1; i <= ahead; i++)
            r->bits[(from + i) % REPLAY_WORDS] = 0;
        r->newest = counter;
        r->any = 1;
    }
    r->bits[word_of(counter) % REPLAY_WORDS] |= 1ULL << (counter % 64);
    return 1;
}
