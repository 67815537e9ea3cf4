/* Transactions: a list of changes, checked as a whole, then carried out as a whole under the write lock.
 *
 * Each change: u8 operation | u32 length | body, little-endian, as transport.py packs it:
 *   1 identity      key 32                          7 session    peer u64, u8 slot (0 current, 1 next), local u32, remote u32,
 *   2 addresses     n x prefix 18                                send key 32, receive key 32
 *   3 local-routes  n x prefix 18                   8 expire     peer u64, local u32
 *   4 peer          peer u64, key 32, n x prefix    9 arm        peer u64, u8 mask
 *   5 remove        peer u64                       10 keepalive  peer u64
 *   6 paths         peer u64, n x path 56          11 filter     rules of skerry_core.filter
 *                                                  12 relay      region u32, u8 up
 *                                                  13 purge      peer u64
 *                                                  17 mtu        peer u64, u16
 * and three more, which only handover.c writes.
 * The checks are in draft.c; what they made for sessions and filters is taken here in the same order. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "draft.h"

static void do_identity(struct draft *d, struct change *c)
{
    cookie_identity(&d->t->cookies, c->body);
}

static void rebuild_local(transport *t)
{
    allowedips_free(&t->local);
    for (size_t i = 0; i < t->address_count; i++)
        allowedips_insert(&t->local, &t->addresses[i], t);
    for (size_t i = 0; i < t->route_count; i++)
        allowedips_insert(&t->local, &t->routes[i], t);
}

static void copy_prefixes(struct prefix **to, size_t *count, const uint8_t *from, size_t len)
{
    free(*to);
    *count = len / sizeof **to;
    *to = alloc_or_abort(len + 1);
    memcpy(*to, from, len);
}

static void do_addresses(struct draft *d, struct change *c)
{
    copy_prefixes(&d->t->addresses, &d->t->address_count, c->body, c->len);
    rebuild_local(d->t);
}

static void do_local_routes(struct draft *d, struct change *c)
{
    copy_prefixes(&d->t->routes, &d->t->route_count, c->body, c->len);
    rebuild_local(d->t);
}

static struct peer *add_peer(transport *t, uint64_t id, const uint8_t *key)
{
    struct peer *p = alloc_or_abort(sizeof *p);
    p->id = id;
    memcpy(p->key, key, 32);
    pthread_mutex_init(&p->lock, NULL);
    atomic_init(&p->armed, EDGE_HANDSHAKE);
    map_put(&t->peers, id, p);
    map_put(&t->keys, key_tag(t, key), p);
    return p;
}

static void release_prefixes(transport *t, struct peer *p)
{
    for (size_t i = 0; i < p->prefix_count; i++)
        allowedips_remove(&t->allowed, &p->prefixes[i], p);
}

static void do_peer(struct draft *d, struct change *c)
{
    transport *t = d->t;
    struct peer *p = map_get(&t->peers, get64(c->body));
    if (!p)
        p = add_peer(t, get64(c->body), c->body + 8);
    release_prefixes(t, p);
    copy_prefixes(&p->prefixes, &p->prefix_count, c->body + 40, c->len - 40);
    for (size_t i = 0; i < p->prefix_count; i++)
        allowedips_insert(&t->allowed, &p->prefixes[i], p);
}

static void forget_index(transport *t, const struct session *s)
{
    if (s && map_get(&t->sessions, s->local) == s)
        map_remove(&t->sessions, s->local);
}

static void do_remove(struct draft *d, struct change *c)
{
    transport *t = d->t;
    struct peer *p = map_get(&t->peers, get64(c->body));
    release_prefixes(t, p);
    forget_index(t, p->previous);
    forget_index(t, p->current);
    forget_index(t, atomic_load(&p->next));
    map_remove(&t->peers, p->id);
    map_remove(&t->keys, key_tag(t, p->key));
    events_forget_peer(t, p->id);
    for (size_t i = 0; i < p->queue.count; i++)
        drop(t, DROP_queue);
    peer_free(p);
}

/* Sessions that fell out of their slots; the write lock is held, so nobody uses them any more. */
static void sweep(transport *t)
{
    for (struct session *s = t->retired, *next; s; s = next) {
        next = s->next_retired;
        forget_index(t, s);
        session_free(s);
    }
    t->retired = NULL;
}

static void do_paths(struct draft *d, struct change *c)
{
    struct outbox o = {.t = d->t};
    struct peer *p = map_get(&d->t->peers, get64(c->body));
    free(p->paths);
    p->path_count = (int)((c->len - 8) / sizeof(struct path));
    p->paths = alloc_or_abort(c->len - 8 + 1);
    memcpy(p->paths, c->body + 8, c->len - 8);
    for (int i = 0; i < p->path_count; i++)
        gate_know(&d->t->gate, &p->paths[i]);
    peer_drain(&o, p);
    outbox_flush(&o);
}

static void do_session(struct draft *d, struct change *c)
{
    struct outbox o = {.t = d->t};
    struct session *s = d->made[d->made_used++];
    struct peer *p = map_get(&d->t->peers, get64(c->body));
    sweep(d->t); /* an index let go by a change before this one may come back here */
    map_put(&d->t->sessions, s->local, s);
    peer_install(&o, p, s, c->body[8]);
    outbox_flush(&o);
}

static void do_expire(struct draft *d, struct change *c)
{
    struct session *s = map_get(&d->t->sessions, get32(c->body + 8));
    if (s && s->peer->id == get64(c->body)) {
        peer_expire(d->t, s->peer, s);
        sweep(d->t);
    }
}

static void do_arm(struct draft *d, struct change *c)
{
    peer_arm(d->t, map_get(&d->t->peers, get64(c->body)), c->body[8]);
}

static void do_keepalive(struct draft *d, struct change *c)
{
    struct outbox o = {.t = d->t};
    peer_keepalive(&o, map_get(&d->t->peers, get64(c->body)));
    outbox_flush(&o);
}

static void do_purge(struct draft *d, struct change *c)
{
    peer_purge(d->t, map_get(&d->t->peers, get64(c->body)));
}

static void do_mtu(struct draft *d, struct change *c)
{
    struct peer *p = map_get(&d->t->peers, get64(c->body));
    p->mtu = (size_t)c->body[8] | (size_t)c->body[9] << 8;
}

static void do_filter(struct draft *d, struct change *c)
{
    (void)c;
    filter_free(d->t->filter);
    d->t->filter = d->made[d->made_used++];
}

static void do_relay(struct draft *d, struct change *c)
{
    uint32_t region = get32(c->body);
    struct relay *r = map_get(&d->t->relays, region);
    if (c->body[4]) {
        transport_relay(d->t, region)->up = 1;
    } else if (r) {
        map_remove(&d->t->relays, region);
        relay_reset(r);
        free(r);
    }
}

static const struct operation {
    const char *name;
    size_t least; /* bytes of body */
    size_t most;  /* 0: any */
    int needs_peer;
    check_fn *check;
    void (*carry_out)(struct draft *, struct change *);
} OPERATION[OPERATIONS] = {
    [IDENTITY] = {"identity", 32, 32, 0, check_identity, do_identity},
    [ADDRESSES] = {"addresses", 0, 0, 0, check_addresses, do_addresses},
    [LOCAL_ROUTES] = {"local-routes", 0, 0, 0, check_local_routes, do_local_routes},
    [PEER] = {"peer", 40, 0, 0, check_peer, do_peer},
    [REMOVE] = {"remove", 8, 8, 1, check_remove, do_remove},
    [PATHS] = {"paths", 8, 0, 1, check_paths, do_paths},
    [SESSION] = {"session", 81, 81, 1, check_session, do_session},
    [EXPIRE] = {"expire", 12, 12, 1, check_expire, do_expire},
    [ARM] = {"arm", 9, 9, 1, check_arm, do_arm},
    [KEEPALIVE] = {"keepalive", 8, 8, 1, check_nothing, do_keepalive},
    [PURGE] = {"purge", 8, 8, 1, check_nothing, do_purge},
    [FILTER] = {"filter", 0, 0, 0, check_filter, do_filter},
    [RELAY] = {"relay", 5, 5, 0, check_nothing, do_relay},
    [RESUME] = {"resume", RESUME_SIZE, RESUME_SIZE, 1, check_resume, do_resume},
    [NOTED] = {"noted", NOTED_SIZE, NOTED_SIZE, 1, check_noted, do_noted},
    [MTU] = {"mtu", 10, 10, 1, check_nothing, do_mtu},
    [FLOWS] = {"flows", 0, 0, 0, check_flows, do_flows},
};

static int check(struct draft *d, struct change *c)
{
    const struct operation *o = &OPERATION[c->operation];
    if (c->len < o->least || (o->most && c->len > o->most))
        return draft_fail(d, "change %s: %zu bytes, need %zu", o->name, c->len, o->least);
    if (o->needs_peer && !draft_has_peer(d, get64(c->body)))
        return draft_fail(d, "change %s: no peer %llu", o->name, (unsigned long long)get64(c->body));
    return o->check(d, c);
}

/* The change at *at, which moves behind it; 1, 0 at the end, -1 when the buffer is cut short. */
static int next_change(struct change *c, uint8_t **at, uint8_t *end)
{
    if (*at == end)
        return 0;
    if (end - *at < 5 || (*at)[0] == 0 || (*at)[0] >= OPERATIONS)
        return -1;
    *c = (struct change){(*at)[0], *at + 5, get32(*at + 1)};
    if (c->len > (size_t)(end - c->body))
        return -1;
    *at = c->body + c->len;
    return 1;
}

/* What was made for the changes before the one that failed. */
static void free_made(struct draft *d, uint8_t *data, size_t len)
{
    struct change c;
    uint8_t *at = data;
    for (size_t used = 0; used < d->made_count && next_change(&c, &at, data + len) > 0;)
        if (c.operation == SESSION || c.operation == RESUME)
            session_free(d->made[used++]);
        else if (c.operation == FILTER)
            filter_free(d->made[used++]);
}

static int check_all(struct draft *d, uint8_t *data, size_t len)
{
    struct change c;
    int more, ok = 1;
    uint8_t *at = data;
    while (ok && (more = next_change(&c, &at, data + len)) != 0)
        ok = more > 0 ? check(d, &c) : draft_fail(d, "transaction cut short at byte %td", at - data);
    if (!ok)
        free_made(d, data, len);
    return ok;
}

int shim_apply(transport *t, uint8_t *data, size_t len, char *error, size_t error_size)
{
    struct draft d = {.t = t, .error = error, .error_size = error_size};
    struct change c;
    uint8_t *at = data;
    pthread_rwlock_wrlock(&t->table);
    sweep(t);
    int ok = check_all(&d, data, len);
    while (ok && next_change(&c, &at, data + len) > 0)
        OPERATION[c.operation].carry_out(&d, &c);
    sweep(t);
    pthread_rwlock_unlock(&t->table);
    draft_free(&d);
    OPENSSL_cleanse(data, len); /* there were keys in it */
    return ok;
}
