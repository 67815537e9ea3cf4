/* Packets from TUN gathered, sealed together and added to the outbox, in four steps, of which the third needs no lock:
 *
 *   add     the packet is written behind the others on the wire, with room for header, padding and tag
 *   close   the packets of one peer become a group: under its lock they take counters of the current session and their headers, and the key
 *           is copied; what cannot be sealed waits in the peer's queue
 *   seal    each group under its key, whose copy is wiped then
 *   post    the messages go to the paths of their peer, runs in one piece
 *
 * A session that is retired after the close still seals what was closed before: its counters are used up, and the packets would have
 * left before, had there been time. A removed peer cannot be met here: removing waits for the table. */
#include "sealing.h"

#include <openssl/crypto.h>
#include <string.h>

#include "ecn.h"
#include "transport.h"

/* Room that a packet's message needs in front for a Geneve header, so that runs stay runs. Paths change under the write lock alone. */
static size_t front_of(const struct peer *p)
{
    return p->path_count == 1 && p->paths[0].family && p->paths[0].id ? GENEVE : 0;
}

static void gather(struct outbox *o, struct peer *p, struct segments *g, size_t len)
{
    size_t front = front_of(p) + DATA_HEADER;
    uint8_t *packet = outbox_room(o, front + len + TAIL) + front;
    segments_write(g, packet);
    o->wire_used += front + message_padded(o->t, len) + AEAD_TAG;
    o->sealing->items[o->sealing->count++] = (struct aead_item){.data = packet, .len = len, .ecn = ecn_of(packet)};
}

void sealing_add(struct outbox *o, struct peer *p, struct segments *g)
{
    struct sealing *s = o->sealing;
    for (size_t len; (len = segments_length(g)) != 0;) {
        if (s->peer != p)
            sealing_close(o);
        if (s->count == SEALING_ITEMS || s->groups == SEALING_GROUPS)
            outbox_flush(o);
        s->peer = p;
        gather(o, p, g, len);
    }
}

void sealing_close(struct outbox *o)
{
    struct sealing *s = o->sealing;
    if (!s->peer)
        return;
    struct seal_group *g = &s->group[s->groups];
    *g = (struct seal_group){.peer = s->peer, .first = s->gathered};
    g->count = peer_begin(o->t, s->peer, s->items + s->gathered, s->count - s->gathered, g->key);
    if (capture_is(&o->t->capture, CAPTURE_INNER))
        capture_items(o->t, s->peer, s->items + s->gathered, g->count, CAPTURE_OUT);
    s->count = s->gathered += g->count;
    s->groups += g->count > 0;
    s->peer = NULL;
}

void sealing_seal(struct outbox *o)
{
    struct sealing *s = o->sealing;
    int lanes = features_lanes(o->t);
    for (struct seal_group *g = s->group; g < s->group + s->groups; g++) {
        aead_seal_items(g->key, s->items + g->first, g->count, lanes);
        OPENSSL_cleanse(g->key, sizeof g->key);
    }
}

void sealing_post(struct outbox *o)
{
    struct sealing *s = o->sealing;
    for (const struct seal_group *g = s->group; g < s->group + s->groups; g++)
        for (int i = g->first; i < g->first + g->count; i++)
            peer_post(o, g->peer, &s->items[i], front_of(g->peer));
    s->groups = s->count = s->gathered = 0;
}
