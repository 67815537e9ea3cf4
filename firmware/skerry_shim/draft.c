/* Judges changes over a draft: the state as it will be after the changes before. Nothing of the transport changes here. What can fail besides
 * (ciphers, the filter's layout) is made during the check and kept in order in `made`, so that carrying out cannot fail. */
#include "draft.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GONE ((void *)2)

static void *mark(uint64_t peer)
{
    return (void *)(uintptr_t)(1 + 2 * peer); /* odd, and within 32 bits: peers are below 2^31 */
}

int draft_fail(struct draft *d, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(d->error, d->error_size, format, arguments);
    va_end(arguments);
    return 0;
}

void draft_free(struct draft *d)
{
    map_free(&d->peers);
    map_free(&d->keys);
    map_free(&d->sessions);
    free(d->made);
}

int draft_has_peer(const struct draft *d, uint64_t id)
{
    void *drafted = map_get(&d->peers, id);
    return drafted ? drafted != GONE : map_get(&d->t->peers, id) != NULL;
}

/* mark() of the peer that has the key, or NULL. */
static void *key_owner(const struct draft *d, uint64_t key)
{
    void *drafted = map_get(&d->keys, key);
    const struct peer *p = map_get(&d->t->keys, key);
    return drafted ? (drafted == GONE ? NULL : drafted) : p ? mark(p->id) : NULL;
}

static void *index_owner(const struct draft *d, uint32_t local)
{
    void *drafted = map_get(&d->sessions, local);
    const struct session *s = map_get(&d->t->sessions, local);
    return drafted ? (drafted == GONE ? NULL : drafted) : s ? mark(s->peer->id) : NULL;
}

static void release_indices(struct draft *d, uint64_t id)
{
    const struct peer *p = map_get(&d->t->peers, id);
    for (size_t i = 0; d->sessions_drafted && i < d->sessions.size; i++)
        if (d->sessions.entries[i].value == mark(id))
            d->sessions.entries[i].value = GONE;
    if (!p)
        return;
    const struct session *slots[] = {p->previous, p->current, atomic_load(&p->next)};
    for (int i = 0; i < 3; i++)
        if (slots[i] && index_owner(d, slots[i]->local) == mark(id))
            map_put(&d->sessions, slots[i]->local, GONE);
}

static void keep_made(struct draft *d, void *thing)
{
    if (d->made_count == d->made_room) {
        d->made_room = d->made_room ? 2 * d->made_room : 8;
        void **grown = alloc_or_abort(d->made_room * sizeof *grown);
        if (d->made_count)
            memcpy(grown, d->made, d->made_count * sizeof *grown);
        free(d->made);
        d->made = grown;
    }
    d->made[d->made_count++] = thing;
}

/* -- checks: 1, or 0 and the sentence */

static int prefixes(struct draft *d, const char *name, uint8_t *at, size_t len)
{
    for (size_t i = 0; i + sizeof(struct prefix) <= len; i += sizeof(struct prefix)) {
        struct prefix *p = (struct prefix *)(at + i);
        if (!prefix_normalize(p))
            return draft_fail(d, "change %s: IPv%d prefix of %d bits", name, p->family, p->bits);
    }
    return len % sizeof(struct prefix) == 0 || draft_fail(d, "change %s: %zu bytes of prefixes", name, len);
}

int check_identity(struct draft *d, struct change *c)
{
    return c->len == 32 || draft_fail(d, "change identity: %zu bytes, need 32", c->len);
}

int check_addresses(struct draft *d, struct change *c)
{
    return prefixes(d, "addresses", c->body, c->len);
}

int check_local_routes(struct draft *d, struct change *c)
{
    return prefixes(d, "local-routes", c->body, c->len);
}

int check_peer(struct draft *d, struct change *c)
{
    uint64_t id = get64(c->body), key = key_tag(d->t, c->body + 8);
    void *owner = key_owner(d, key);
    const struct peer *p = map_get(&d->t->peers, id);
    if (owner && owner != mark(id))
        return draft_fail(d, "change peer: %llu has the key of another peer", (unsigned long long)id);
    if (draft_has_peer(d, id) && !owner)
        return draft_fail(d, "change peer: %llu has another key; remove it first", (unsigned long long)id);
    if (p && map_get(&d->peers, id) != GONE && memcmp(p->key, c->body + 8, 32))
        return draft_fail(d, "change peer: %llu has another key; remove it first", (unsigned long long)id);
    map_put(&d->peers, id, mark(id));
    map_put(&d->keys, key, mark(id));
    return prefixes(d, "peer", c->body + 40, c->len - 40);
}

int check_remove(struct draft *d, struct change *c)
{
    uint64_t id = get64(c->body);
    int drafted = map_get(&d->peers, id) != NULL;
    for (size_t i = 0; drafted && i < d->keys.size; i++)
        if (d->keys.entries[i].value == mark(id))
            d->keys.entries[i].value = GONE;
    const struct peer *p = map_get(&d->t->peers, id);
    if (p && key_owner(d, key_tag(d->t, p->key)) == mark(id))
        map_put(&d->keys, key_tag(d->t, p->key), GONE);
    release_indices(d, id);
    map_put(&d->peers, id, GONE);
    return 1;
}

int check_paths(struct draft *d, struct change *c)
{
    size_t len = c->len - 8;
    if (len % sizeof(struct path) || len / sizeof(struct path) > MAX_PATHS)
        return draft_fail(d, "change paths: %zu paths, at most %d", len / sizeof(struct path), MAX_PATHS);
    for (size_t i = 0; i < len; i += sizeof(struct path))
        if (c->body[8 + i] != 0 && c->body[8 + i] != 4 && c->body[8 + i] != 6)
            return draft_fail(d, "change paths: family %d, need 4 or 6", c->body[8 + i]);
    return 1;
}

/* Keeps a session for the peer whose change this is; 0 when its index is taken. */
static int draft_session(struct draft *d, const char *name, const uint8_t *body, struct session *make(const uint8_t *))
{
    uint32_t local = get32(body + 9);
    if (index_owner(d, local))
        return draft_fail(d, "change %s: index %u is in use", name, local);
    keep_made(d, make(body));
    d->sessions_drafted = 1;
    map_put(&d->sessions, local, mark(get64(body)));
    return 1;
}

static struct session *fresh_session(const uint8_t *body)
{
    return session_new(get32(body + 9), get32(body + 13), body + 17, body + 49);
}

int check_session(struct draft *d, struct change *c)
{
    if (c->body[8] > 1)
        return draft_fail(d, "change session: slot %d, need 0 or 1", c->body[8]);
    return draft_session(d, "session", c->body, fresh_session);
}

int check_resume(struct draft *d, struct change *c)
{
    if (c->body[8] >= RESUME_SLOTS || c->body[89] > 1)
        return draft_fail(d, "change resume: slot %d, any %d: need 0..2 and 0..1", c->body[8], c->body[89]);
    return draft_session(d, "resume", c->body, resume_session);
}

int check_expire(struct draft *d, struct change *c)
{
    uint32_t local = get32(c->body + 8);
    if (index_owner(d, local) == mark(get64(c->body)))
        map_put(&d->sessions, local, GONE);
    return 1;
}

int check_arm(struct draft *d, struct change *c)
{
    return !(c->body[8] & ~EDGES_ARMABLE) || draft_fail(d, "change arm: %d, need a sum of 1, 2, 4, 32", c->body[8]);
}

int check_nothing(struct draft *d, struct change *c)
{
    (void)d, (void)c;
    return 1;
}

int check_filter(struct draft *d, struct change *c)
{
    struct filter *f = filter_new(c->body, c->len);
    if (!f)
        return draft_fail(d, "change filter: %zu bytes are not what skerry_core.filter.compile() gives", c->len);
    keep_made(d, f);
    return 1;
}
