/* Data messages gathered and opened together. Opening holds no lock: the key is copied, and the replay window, which was asked before, has the
 * last word when the packets are let out in order, because a counter may be there twice. */
#include "opening.h"

#include <openssl/crypto.h>
#include <string.h>

#include "transport.h"

/* The key, and those whose counters may be new packed to the front; the rest is dropped. */
static int may_be_fresh(transport *t, struct session *s, struct aead_item *items, int count, uint8_t key[32])
{
    int n = 0;
    pthread_mutex_lock(&s->receive_lock);
    for (int i = 0; i < count; i++)
        if (s->retired)
            drop(t, DROP_index);
        else if (!replay_fresh(&s->replay, items[i].counter))
            drop(t, DROP_replay);
        else
            items[n++] = items[i];
    memcpy(key, s->receive_key, 32);
    pthread_mutex_unlock(&s->receive_lock);
    return n;
}

static void open_group(transport *t, struct open_group *g, struct aead_item *items)
{
    uint8_t key[32];
    g->count = may_be_fresh(t, g->session, items, g->count, key);
    aead_open_items(key, items, g->count, features_lanes(t));
    OPENSSL_cleanse(key, sizeof key);
}

/* The authentic ones that come for the first time, packed to the front. */
static int accept(transport *t, struct session *s, struct aead_item *items, int count)
{
    int n = 0;
    pthread_mutex_lock(&s->receive_lock);
    for (int i = 0; i < count; i++)
        if (!items[i].ok)
            drop(t, DROP_auth);
        else if (!replay_accept(&s->replay, items[i].counter))
            drop(t, DROP_replay);
        else
            items[n++] = items[i];
    pthread_mutex_unlock(&s->receive_lock);
    return n;
}

static void deliver_group(struct outbox *o, const struct open_group *g, struct aead_item *items)
{
    int count = accept(o->t, g->session, items, g->count), data = 0;
    for (int i = 0; i < count; i++)
        data |= items[i].len != 0;
    if (capture_is(&o->t->capture, CAPTURE_INNER))
        capture_items(o->t, g->session->peer, items, count, CAPTURE_IN);
    if (count)
        session_received(o, g->session, data);
    for (int i = 0; i < count; i++)
        if (items[i].len)
            inbound_deliver(o, g->session->peer, &items[i]);
}

static void open_and_deliver(struct outbox *o, struct opening *a)
{
    for (int i = 0; i < a->groups; i++)
        open_group(o->t, &a->group[i], a->items + a->group[i].first);
    if (a->order)
        order_wait(a->order, a->place);
    for (int i = 0; i < a->groups; i++)
        deliver_group(o, &a->group[i], a->items + a->group[i].first);
    a->groups = a->count = 0;
}

void opening_flush(struct outbox *o)
{
    if (o->opening && o->opening->count)
        open_and_deliver(o, o->opening);
}

static void open_one(struct outbox *o, struct session *s, struct aead_item *item)
{
    struct open_group g = {s, 0, 1};
    open_group(o->t, &g, item);
    deliver_group(o, &g, item);
}

void opening_add(struct outbox *o, struct session *s, uint8_t *packet, size_t len, uint64_t counter)
{
    struct aead_item item = {.data = packet, .len = len, .counter = counter, .ecn = o->ecn};
    struct opening *a = o->opening;
    if (!a) {
        open_one(o, s, &item);
        return;
    }
    if (a->count == OPENING_ITEMS || a->groups == OPENING_GROUPS)
        opening_flush(o);
    if (!a->groups || a->group[a->groups - 1].session != s)
        a->group[a->groups++] = (struct open_group){s, a->count, 0};
    a->group[a->groups - 1].count++;
    a->total++;
    a->items[a->count++] = item;
}
