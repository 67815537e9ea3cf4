/* The transport's state on its way to the process that comes after this one (skerryd restarts), and the descriptors it is adopted with.
 *
 * The state is a transaction as apply.c reads it, with three changes that Python cannot pack, little-endian:
 *   14 resume   peer u64, u8 slot (0 previous, 1 current, 2 next), local u32, remote u32, send key 32, receive key 32,
 *               send counter u64, u8 any, newest u64, replay bits 128 x u64 (replay.h)
 *   15 noted    peer u64, u8 armed edges, tx_bytes, rx_bytes, tx_packets, rx_packets u64
 *   16 flows    n x flow 40 (flows.h), the oldest first
 * So it is checked like any other, and what is read is trusted no more than that.
 *
 * Why no counter can be used twice: exporting needs the threads to be stopped, and takes the sessions out of this transport under the write
 * lock as it writes them, so nothing here can seal with them any more. That the bytes are imported once is their keeper's business
 * (skerry_node.handover). Packets that wait for a session, relays' frames and our identity are not in it; the engine's first transaction
 * brings the identity. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "draft.h"
#include "sockets.h"

enum { HEAD = 5 };

/* -- out. Written twice: once to learn the size, then into a buffer of that size. */

struct writer {
    uint8_t *out; /* NULL: only count */
    size_t used;
};

static void put(struct writer *w, const void *data, size_t len)
{
    if (w->out && len)
        memcpy(w->out + w->used, data, len);
    w->used += len;
}

static void put8(struct writer *w, unsigned value)
{
    uint8_t byte = (uint8_t)value;
    put(w, &byte, 1);
}

static void put32(struct writer *w, uint32_t value)
{
    put(w, &value, sizeof value);
}

static void put64(struct writer *w, uint64_t value)
{
    put(w, &value, sizeof value);
}

/* The head of a change whose body is len bytes. */
static void begin(struct writer *w, int operation, size_t len)
{
    put8(w, (unsigned)operation);
    put32(w, (uint32_t)len);
}

static void put_prefixes(struct writer *w, int operation, const struct prefix *prefixes, size_t count)
{
    begin(w, operation, count * sizeof *prefixes);
    put(w, prefixes, count * sizeof *prefixes);
}

static void put_session(struct writer *w, const struct session *s, int slot)
{
    if (!s)
        return;
    begin(w, RESUME, RESUME_SIZE);
    put64(w, s->peer->id);
    put8(w, (unsigned)slot);
    put32(w, s->local);
    put32(w, s->remote);
    put(w, s->send_key, 32);
    put(w, s->receive_key, 32);
    put64(w, s->counter);
    put8(w, s->replay.any != 0);
    put64(w, s->replay.newest);
    put(w, s->replay.bits, sizeof s->replay.bits);
}

static void put_peer(struct writer *w, struct peer *p)
{
    begin(w, PEER, 40 + p->prefix_count * sizeof *p->prefixes);
    put64(w, p->id);
    put(w, p->key, 32);
    put(w, p->prefixes, p->prefix_count * sizeof *p->prefixes);
    put_session(w, p->previous, RESUME_PREVIOUS);
    put_session(w, p->current, RESUME_CURRENT);
    put_session(w, atomic_load(&p->next), RESUME_NEXT);
    begin(w, NOTED, NOTED_SIZE);
    put64(w, p->id);
    put8(w, atomic_load(&p->armed) & EDGES_ARMABLE);
    put64(w, atomic_load(&p->tx_bytes));
    put64(w, atomic_load(&p->rx_bytes));
    put64(w, atomic_load(&p->tx_packets));
    put64(w, atomic_load(&p->rx_packets));
    begin(w, PATHS, 8 + (size_t)p->path_count * sizeof *p->paths);
    put64(w, p->id);
    put(w, p->paths, (size_t)p->path_count * sizeof *p->paths);
}

static void put_all(transport *t, struct writer *w)
{
    struct flow flows[2 * FLOW_GENERATION];
    size_t count = flows_list(&t->flows, flows), len;
    const uint8_t *rules = filter_bytes(t->filter, &len);
    put_prefixes(w, ADDRESSES, t->addresses, t->address_count);
    put_prefixes(w, LOCAL_ROUTES, t->routes, t->route_count);
    begin(w, FILTER, len);
    put(w, rules, len);
    for (size_t i = 0; i < t->peers.size; i++)
        if (t->peers.entries[i].value)
            put_peer(w, t->peers.entries[i].value);
    begin(w, FLOWS, count * sizeof *flows);
    put(w, flows, count * sizeof *flows);
}

static void take_sessions(transport *t, struct peer *p)
{
    struct session *slots[] = {p->previous, p->current, atomic_load(&p->next)};
    for (int i = 0; i < 3; i++)
        if (slots[i]) {
            map_remove(&t->sessions, slots[i]->local);
            peer_expire(t, p, slots[i]);
        }
}

int64_t shim_export(transport *t, uint8_t *out, size_t cap)
{
    struct writer size = {NULL, 0}, w = {out, 0};
    pthread_rwlock_wrlock(&t->table);
    int64_t result = -EBUSY;
    if (!t->started) {
        put_all(t, &size);
        result = (int64_t)size.used;
        if (size.used <= cap) {
            put_all(t, &w);
            for (size_t i = 0; i < t->peers.size; i++)
                if (t->peers.entries[i].value)
                    take_sessions(t, t->peers.entries[i].value);
        }
    }
    pthread_rwlock_unlock(&t->table);
    return result;
}

/* -- in */

int check_noted(struct draft *d, struct change *c)
{
    return !(c->body[8] & ~EDGES_ARMABLE) || draft_fail(d, "change noted: edges %d, need a sum of 1, 2, 4, 32", c->body[8]);
}

int check_flows(struct draft *d, struct change *c)
{
    if (c->len % sizeof(struct flow) || c->len / sizeof(struct flow) > 2 * FLOW_GENERATION)
        return draft_fail(d, "change flows: %zu bytes, need at most %d flows of %zu", c->len, 2 * FLOW_GENERATION, sizeof(struct flow));
    for (size_t i = 0; i < c->len; i += sizeof(struct flow)) {
        struct flow flow;
        memcpy(&flow, c->body + i, sizeof flow);
        if (!flow_valid(&flow))
            return draft_fail(d, "change flows: number %zu is none of UDP or SCTP", i / sizeof flow);
    }
    return 1;
}

/* What resume keeps beside the keys, which check_resume gave to session_new. */
struct session *resume_session(const uint8_t *body)
{
    struct session *s = session_new(get32(body + 9), get32(body + 13), body + 17, body + 49);
    s->counter = get64(body + 81);
    s->replay.any = body[89];
    s->replay.newest = get64(body + 90);
    memcpy(s->replay.bits, body + 98, sizeof s->replay.bits);
    return s;
}

/* A slot that an earlier change filled is emptied: nothing leaks, whatever the bytes say. */
static void empty_slot(transport *t, struct peer *p, struct session *s)
{
    if (s) {
        map_remove(&t->sessions, s->local);
        peer_expire(t, p, s);
    }
}

void do_resume(struct draft *d, struct change *c)
{
    struct session *s = d->made[d->made_used++];
    struct peer *p = map_get(&d->t->peers, get64(c->body));
    int slot = c->body[8];
    s->peer = p;
    empty_slot(d->t, p, slot == RESUME_PREVIOUS ? p->previous : slot == RESUME_CURRENT ? p->current : atomic_load(&p->next));
    map_put(&d->t->sessions, s->local, s);
    if (slot == RESUME_NEXT)
        atomic_store(&p->next, s);
    else if (slot == RESUME_CURRENT)
        p->current = s;
    else
        p->previous = s;
}

void do_noted(struct draft *d, struct change *c)
{
    struct peer *p = map_get(&d->t->peers, get64(c->body));
    atomic_store(&p->armed, c->body[8] | EDGE_HANDSHAKE); /* what waited for a session is gone: the next packet asks for one */
    atomic_store(&p->tx_bytes, get64(c->body + 9));
    atomic_store(&p->rx_bytes, get64(c->body + 17));
    atomic_store(&p->tx_packets, get64(c->body + 25));
    atomic_store(&p->rx_packets, get64(c->body + 33));
}

void do_flows(struct draft *d, struct change *c)
{
    for (size_t i = 0; i < c->len; i += sizeof(struct flow)) {
        struct flow flow;
        memcpy(&flow, c->body + i, sizeof flow);
        flows_add(&d->t->flows, &flow);
    }
}

/* -- descriptors */

int shim_tun_fd(transport *t)
{
    return t->tun_fd;
}

int shim_socket_fd(transport *t, int uplink, int family)
{
    int slot = socket_find(t, uplink, family);
    return slot < 0 ? -1 : t->sockets[slot].fd;
}

static int read_mtu(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    memcpy(request.ifr_name, name, IFNAMSIZ);
    int result = ioctl(fd, SIOCGIFMTU, &request) < 0 ? -errno : request.ifr_mtu;
    close(fd);
    return result;
}

static int make_ours(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return 0;
}

int shim_tun_inspect(int fd, char *name, int *persistent)
{
    struct ifreq request = {0};
    if (ioctl(fd, TUNGETIFF, &request) < 0)
        return -errno;
    memcpy(name, request.ifr_name, IFNAMSIZ);
    *persistent = (request.ifr_flags & IFF_PERSIST) != 0;
    if (!(request.ifr_flags & IFF_TUN) || !(request.ifr_flags & IFF_NO_PI))
        return -EINVAL;
    int result = make_ours(fd);
    return result < 0 ? result : read_mtu(name);
}

int shim_socket_inspect(int fd, int *family)
{
    union any_address a;
    socklen_t len = sizeof a;
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || getsockname(fd, &a.plain, &len) < 0)
        return -errno;
    if (type != SOCK_DGRAM || (a.plain.sa_family != AF_INET && a.plain.sa_family != AF_INET6))
        return -EINVAL;
    *family = a.plain.sa_family == AF_INET ? 4 : 6;
    int port = ntohs(*family == 4 ? a.v4.sin_port : a.v6.sin6_port), result = make_ours(fd);
    return result < 0 ? result : port ? port : -EINVAL;
}
