/* allowedips, map, replay and fifo against slow models. */
#include "allowedips.h"
#include "check.h"
#include "fifo.h"
#include "map.h"
#include "replay.h"
#include "slow.h"

#define PREFIXES 300

static void few_bits(uint8_t *address) /* few different addresses, so that prefixes nest */
{
    memset(address, 0, 16);
    address[0] = (uint8_t)(below(4) << 6);
    address[1] = (uint8_t)below(4);
    address[3] = (uint8_t)below(256);
    address[15] = (uint8_t)below(4);
}

static struct prefix any_prefix(void)
{
    struct prefix p = {.family = below(2) ? 4 : 6};
    p.bits = (uint8_t)below(p.family == 4 ? 33 : 129);
    few_bits(p.address);
    CHECK(prefix_normalize(&p));
    return p;
}

static void test_allowedips(void)
{
    struct prefix held[PREFIXES];
    int owners[PREFIXES] = {0}, names[16];
    struct allowedips t = {0};
    for (int round = 0; round < 20000; round++) {
        int i = (int)below(PREFIXES), owner = (int)below(15) + 1;
        if (owners[i]) {
            allowedips_remove(&t, &held[i], &names[owners[i] == 15 ? 1 : owners[i] + 1]); /* not the owner: no effect */
            allowedips_remove(&t, &held[i], &names[owners[i]]);
            owners[i] = 0;
        } else {
            held[i] = any_prefix();
            for (int j = 0; j < PREFIXES; j++) /* it moves to its newest owner */
                if (owners[j] && !memcmp(&held[j], &held[i], sizeof held[i]))
                    owners[j] = 0;
            owners[i] = owner;
            allowedips_insert(&t, &held[i], &names[owner]);
        }
        uint8_t address[16];
        int family = below(2) ? 4 : 6, best = -1;
        few_bits(address);
        for (int j = 0; j < PREFIXES; j++)
            if (owners[j] && slow_covers(&held[j], family, address) && (best < 0 || held[j].bits > held[best].bits))
                best = j;
        CHECK(allowedips_lookup(&t, family, address) == (best < 0 ? NULL : (void *)&names[owners[best]]));
    }
    for (int i = 0; i < PREFIXES; i++)
        if (owners[i])
            allowedips_remove(&t, &held[i], &names[owners[i]]);
    CHECK(!t.root4 && !t.root6);
    struct prefix everything = {.family = 4}, bad = {.family = 4, .bits = 33}, strange = {.family = 5};
    CHECK(!prefix_normalize(&bad) && !prefix_normalize(&strange));
    allowedips_insert(&t, &everything, &t);
    CHECK(allowedips_lookup(&t, 4, everything.address) == &t && !allowedips_lookup(&t, 6, everything.address));
    allowedips_free(&t);
}

static void test_many_prefixes(void)
{
    struct allowedips t = {0};
    for (uint32_t i = 0; i < 100000; i++) {
        struct prefix p = {.family = 4, .bits = 32, .address = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
        allowedips_insert(&t, &p, &t);
    }
    uint8_t in[16] = {10, 1, 2, 3}, out[16] = {10, 2, 2, 3};
    CHECK(allowedips_lookup(&t, 4, in) && !allowedips_lookup(&t, 4, out));
    allowedips_free(&t);
}

static void test_map(void)
{
    struct map m = {0};
    void *model[512] = {0};
    size_t used = 0;
    for (int round = 0; round < 200000; round++) {
        uint32_t key = below(512);
        if (below(2)) {
            used += model[key] == NULL;
            model[key] = &model[below(512)];
            map_put(&m, key, model[key]);
        } else {
            used -= model[key] != NULL;
            model[key] = NULL;
            map_remove(&m, key);
        }
        key = below(512);
        CHECK(map_get(&m, key) == model[key] && m.used == used);
    }
    map_free(&m);
    CHECK(map_get(&m, 1) == NULL);
    map_remove(&m, 1);
}

static void test_replay(uint64_t base)
{
    enum { SPAN = 60000 };
    static uint8_t seen[SPAN];
    struct replay r = {0};
    memset(seen, 0, sizeof seen);
    uint64_t newest = 0;
    int any = 0;
    for (int round = 0; round < 300000; round++) {
        uint64_t counter = newest + below(300) - below(newest < 9000 ? (uint32_t)(newest < 150 ? newest + 1 : 150) : below(50) ? 200 : 9000);
        if (counter >= SPAN)
            break;
        int fresh = !seen[counter] && (!any || counter > newest || newest - counter <= 8128);
        CHECK(replay_fresh(&r, base + counter) == fresh && replay_accept(&r, base + counter) == fresh && !replay_accept(&r, base + counter));
        if (fresh)
            seen[counter] = 1;
        if (fresh && (!any || counter > newest))
            newest = counter;
        any |= fresh;
    }
    CHECK(newest > 20000);
    CHECK(replay_accept(&r, UINT64_MAX - 1) && !replay_accept(&r, base + newest) && replay_accept(&r, UINT64_MAX - 8129));
    CHECK(!replay_accept(&r, UINT64_MAX - 8130));
}

static void test_fifo(void)
{
    struct fifo q = {0};
    uint8_t out[400];
    for (uint8_t i = 0; i < 3; i++) {
        struct record *r = record_new(100);
        memset(r->data, i, 100);
        fifo_push(&q, r);
    }
    CHECK(q.count == 3 && q.bytes == 300);
    CHECK(fifo_take(&q, out, 179, 9) == -180 && q.count == 3);
    CHECK(fifo_take(&q, out, 400, 9) == 360 && q.count == 1 && out[80] == 0 && out[260] == 1);
    CHECK(fifo_take(&q, out, 400, 0) == 0 && fifo_take(&q, out, 180, 1) == 180 && out[80] == 2);
    CHECK(fifo_take(&q, out, 400, 1) == 0 && !fifo_pop(&q) && !q.last);
    fifo_push(&q, record_new(0));
    fifo_clear(&q);
    CHECK(q.count == 0 && q.bytes == 0);
}

int main(void)
{
    test_allowedips();
    test_many_prefixes();
    test_map();
    test_replay(0);
    test_replay((1ULL << 60) - 30000); /* over the counter at which a session is renewed */
    test_fifo();
    return 0;
}
