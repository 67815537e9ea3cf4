/* Outbound UDP and SCTP flows (protocol, both addresses, both ports) in two generations of 256: a full new one becomes the old one, and a
 * flow met in the old one moves to the new one. So the newest 256 to 512 are remembered in constant space and constant time.
 *
 * Each thread remembers the last flow it met in each direction, and of which generation: the next packet of it takes no lock. */
#include "flows.h"

#include <string.h>

static atomic_uint_fast64_t serials;
static _Thread_local struct {
    uint64_t serial;
    struct flow key;
} last[2]; /* outbound, replies */

static int met(struct flows *f, int which, const struct flow *key)
{
    return last[which].serial == atomic_load_explicit(&f->serial, memory_order_acquire) && !memcmp(&last[which].key, key, sizeof *key);
}

static void note(struct flows *f, int which, const struct flow *key)
{
    last[which].serial = f->serial;
    last[which].key = *key;
}

void flows_init(struct flows *f)
{
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    f->serial = ++serials;
}

static void make(struct flow *key, const struct packet *p, int outbound)
{
    size_t width = p->family == 4 ? 4 : 16;
    memset(key, 0, sizeof *key);
    key->used = 1;
    key->family = (uint8_t)p->family;
    key->protocol = p->protocol;
    key->local_port = outbound ? p->source_port : p->destination_port;
    key->remote_port = outbound ? p->destination_port : p->source_port;
    memcpy(key->local, outbound ? p->source : p->destination, width);
    memcpy(key->remote, outbound ? p->destination : p->source, width);
}

/* The slot that holds the key or is free for it; a generation is never more than half full. */
static struct flow *slot(struct flow *table, const struct flow *key)
{
    const uint8_t *bytes = (const uint8_t *)key;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < sizeof *key; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    hash ^= hash >> 15;
    for (;; hash++) {
        struct flow *s = &table[hash % FLOW_SLOTS];
        if (!s->used || !memcmp(s, key, sizeof *key))
            return s;
    }
}

static void remember(struct flows *f, const struct flow *key)
{
    struct flow *s = slot(f->generation[f->newest], key);
    if (s->used)
        return;
    if (f->count == FLOW_GENERATION) {
        f->newest ^= 1;
        f->count = 0;
        f->serial = ++serials;
        memset(f->generation[f->newest], 0, sizeof f->generation[0]);
        s = slot(f->generation[f->newest], key);
    }
    *s = *key;
    f->count++;
}

void flows_outbound(struct flows *f, const struct packet *p)
{
    struct flow key;
    make(&key, p, 1);
    if (met(f, 0, &key))
        return;
    pthread_mutex_lock(&f->lock);
    remember(f, &key);
    note(f, 0, &key);
    pthread_mutex_unlock(&f->lock);
}

int flows_reply(struct flows *f, const struct packet *p)
{
    struct flow key;
    make(&key, p, 0);
    if (met(f, 1, &key))
        return 1;
    pthread_mutex_lock(&f->lock);
    int found = slot(f->generation[f->newest], &key)->used || slot(f->generation[f->newest ^ 1], &key)->used;
    if (found) {
        remember(f, &key);
        note(f, 1, &key);
    }
    pthread_mutex_unlock(&f->lock);
    return found;
}

size_t flows_list(struct flows *f, struct flow out[2 * FLOW_GENERATION])
{
    size_t count = 0;
    pthread_mutex_lock(&f->lock);
    for (int i = 1; i >= 0; i--) {
        const struct flow *table = f->generation[f->newest ^ i];
        for (int j = 0; j < FLOW_SLOTS; j++)
            if (table[j].used)
                out[count++] = table[j];
    }
    pthread_mutex_unlock(&f->lock);
    return count;
}

int flow_valid(const struct flow *flow)
{
    return flow->used == 1 && flow->zero == 0 && (flow->family == 4 || flow->family == 6) &&
           (flow->protocol == PROTO_UDP || flow->protocol == PROTO_SCTP);
}

void flows_add(struct flows *f, const struct flow *flow)
{
    pthread_mutex_lock(&f->lock);
    remember(f, flow);
    pthread_mutex_unlock(&f->lock);
}
