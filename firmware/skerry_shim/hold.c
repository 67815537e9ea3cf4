/* Disco of a pair that comes before both are bound. A client binds and asks for the other in one breath, so its question is here before
 * Python has read the Answer, and mostly before the other client is bound at all; stock clients do not ask again unless they are asked. What
 * is held goes out when the pair is bound to the very address it came from, if that is within 5 s, which is how long a question waits.
 *
 * Held is only what names one of the two disco keys as its sender and is of the length of a question: of each client the newest 2, and 4096
 * in all, some 2 MB. The thread puts in with the table locked for reading, all else has it locked for writing. */
#include <stdlib.h>
#include <string.h>

#include "peerrelay.h"
#include "sockets.h"

enum { HEAD = 8, MAGIC = 6, LEAST = HEAD + MAGIC + 32 + 24 + 16, MOST = 400, KEPT_MS = 5000 };

static int side_of(const struct place *place, const uint8_t *data, size_t len)
{
    const uint8_t *key = data + HEAD + MAGIC;
    if (len < LEAST || len > MOST || data[3] != 0x11 || memcmp(data + HEAD, "TS\xf0\x9f\x92\xac", MAGIC) != 0)
        return -1;
    if (memcmp(key, place->sides[0].key, 32) == 0)
        return 0;
    return memcmp(key, place->sides[1].key, 32) == 0 ? 1 : -1;
}

static void drop_first(peerrelay *r, struct fifo *held, enum place_drop reason)
{
    free(fifo_pop(held));
    r->held--;
    lose(r, reason, 1);
}

int hold(peerrelay *r, struct place *place, const struct path *from, const uint8_t *data, size_t len, int64_t now_ms)
{
    int side = side_of(place, data, len);
    if (side < 0)
        return 0;
    struct fifo *held = &place->sides[side].held;
    if (held->count == PLACE_HELD)
        drop_first(r, held, LOST_unbound);
    struct record *record = r->held < PLACE_HELD_ALL ? record_new(len) : NULL;
    if (!record)
        return 0;
    record->head.path = *from;
    record->head.peer = (uint64_t)now_ms; /* when it came */
    memcpy(record->data, data, len);
    fifo_push(held, record);
    r->held++;
    return 1;
}

static int pass(peerrelay *r, const struct path *to, const struct record *record)
{
    union any_address address;
    socklen_t size = socket_address(&address, to->family, to->address, to->port);
    return sendto(r->fds[to->uplink], record->data, record->head.len, MSG_DONTWAIT, &address.plain, size) >= 0;
}

void hold_release(peerrelay *r, struct place *place, int64_t now_ms)
{
    for (int i = 0; i < 2; i++) {
        struct place_side *side = &place->sides[i];
        for (struct record *record; (record = fifo_pop(&side->held)); free(record)) {
            r->held--;
            if (memcmp(&record->head.path, &side->path, sizeof side->path) != 0 || now_ms - (int64_t)record->head.peer > KEPT_MS)
                lose(r, LOST_unbound, 1);
            else if (pass(r, &place->sides[!i].path, record))
                count_side(r, side, record->head.len, 1, now_ms);
            else
                lose(r, LOST_send, 1);
        }
    }
}

void hold_forget(peerrelay *r, struct place *place)
{
    for (int i = 0; i < 2; i++)
        while (place->sides[i].held.first)
            drop_first(r, &place->sides[i].held, LOST_unbound);
}
