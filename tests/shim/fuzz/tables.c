/* The longest prefix against a search through all of them, and the replay window against a set: the input is a list of operations. */
#include <stdlib.h>
#include <string.h>

#include "allowedips.h"
#include "replay.h"
#include "slow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 64, SPAN = 1 << 16 };
static struct known {
    struct prefix prefix;
    void *owner;
} known[MOST];
static int owners[8];

static void *longest(int family, const uint8_t *address)
{
    const struct known *best = NULL;
    for (int i = 0; i < MOST; i++)
        if (known[i].owner && slow_covers(&known[i].prefix, family, address) && (!best || known[i].prefix.bits > best->prefix.bits))
            best = &known[i];
    return best ? best->owner : NULL;
}

static void set(const struct prefix *p, void *owner)
{
    struct known *at = NULL;
    for (int i = 0; i < MOST && !(at && at->owner); i++)
        if (known[i].owner ? !memcmp(&known[i].prefix, p, sizeof *p) : !at)
            at = &known[i];
    if (at)
        *at = (struct known){*p, owner};
}

static int is_known(const struct prefix *p)
{
    int free_slots = 0;
    for (int i = 0; i < MOST; i++) {
        if (known[i].owner && !memcmp(&known[i].prefix, p, sizeof *p))
            return 1;
        free_slots += !known[i].owner;
    }
    return free_slots > 1;
}

/* Eight bytes each: what to do, family, bits, owner, then four bytes of the address, few enough values for prefixes to meet. */
static void prefixes(const uint8_t *data, size_t size)
{
    struct allowedips t = {0};
    memset(known, 0, sizeof known);
    for (; size >= 8; data += 8, size -= 8) {
        struct prefix p = {.family = data[1] & 1 ? 6 : 4, .bits = data[2]};
        memcpy(p.address, data + 4, 4);
        if (longest(p.family, p.address) != allowedips_lookup(&t, p.family, p.address))
            abort();
        if (!prefix_normalize(&p) || !is_known(&p))
            continue;
        void *owner = &owners[data[3] & 7];
        if (data[0] & 1) {
            allowedips_insert(&t, &p, owner);
            set(&p, owner);
        } else {
            allowedips_remove(&t, &p, owner);
            for (int i = 0; i < MOST; i++)
                if (known[i].owner == owner && !memcmp(&known[i].prefix, &p, sizeof p))
                    known[i].owner = NULL;
        }
    }
    allowedips_free(&t);
}

/* Two bytes each: a step forward or back from the newest counter. */
static void counters(const uint8_t *data, size_t size)
{
    static uint8_t seen[SPAN];
    struct replay r = {0};
    uint64_t newest = SPAN / 2;
    memset(seen, 0, sizeof seen);
    uint64_t base = size && data[0] & 1 ? (1ULL << 60) - SPAN / 2 : 0;
    replay_accept(&r, base + newest);
    seen[newest % SPAN] = 1;
    for (; size >= 2; data += 2, size -= 2) {
        int16_t step;
        memcpy(&step, data, 2);
        uint64_t counter = newest + (uint64_t)(int64_t)(step % 9000);
        if (counter >= SPAN)
            return;
        int fresh = (counter > newest || newest - counter <= REPLAY_WINDOW) && !seen[counter];
        if (replay_fresh(&r, base + counter) != fresh || replay_accept(&r, base + counter) != fresh)
            abort();
        seen[counter] |= (uint8_t)fresh;
        newest = fresh && counter > newest ? counter : newest;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prefixes(data, size);
    counters(data, size);
    return 0;
}
