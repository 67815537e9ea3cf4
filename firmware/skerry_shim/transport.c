/* The transport's life and its entry points from Python. Each takes what it needs of the table's lock, does its work, and leaves; none calls
 * back. The threads are in threads.c. */
#include "lanes.h"
#include "transport.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int shim_version(void)
{
    return 1;
}

void shim_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static void init_locks(transport *t)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    /* a steady stream of packets must not keep a change out */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&t->table, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    pthread_mutex_init(&t->retired_lock, NULL);
    pthread_mutex_init(&t->relay_in_lock, NULL);
    pthread_mutex_init(&t->relay_lock, NULL);
    pthread_mutex_init(&t->socket_options, NULL);
    pthread_mutex_init(&t->ring_lock, NULL);
    pthread_mutex_init(&t->capture.lock, NULL);
    order_init(&t->outward);
    order_init(&t->inward);
}

shim_transport *shim_transport_new(void)
{
    transport *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    init_locks(t);
    flows_init(&t->flows);
    cookie_init(&t->cookies);
    t->tun_fd = -1;
    t->wanted = FEATURES_ALL;
    t->lanes_available = lanes_available();
    t->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    t->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->tun_epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    atomic_init(&t->clock, -1);
    atomic_init(&t->answered, INT64_MIN / 2);
    uint64_t gate_secret = 0;
    int secret = RAND_bytes(t->tag_secret, sizeof t->tag_secret) == 1 && RAND_bytes((uint8_t *)&gate_secret, sizeof gate_secret) == 1;
    gate_init(&t->gate, gate_secret);
    if (secret && t->event_fd >= 0 && t->stop_fd >= 0 && t->epoll_fd >= 0 && t->tun_epoll_fd >= 0)
        return t;
    shim_transport_free(t);
    return NULL;
}

uint64_t key_tag(const transport *t, const uint8_t *key)
{
    uint64_t tag;
    shim_blake2s((uint8_t *)&tag, sizeof tag, t->tag_secret, sizeof t->tag_secret, key, 32);
    return tag;
}

static void close_if(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void free_tables(transport *t)
{
    for (size_t i = 0; i < t->peers.size; i++)
        if (t->peers.entries[i].value)
            peer_free(t->peers.entries[i].value);
    for (size_t i = 0; i < t->relays.size; i++)
        if (t->relays.entries[i].value) {
            relay_reset(t->relays.entries[i].value);
            free(t->relays.entries[i].value);
        }
    for (struct session *s = t->retired, *next; s; s = next) {
        next = s->next_retired;
        session_free(s);
    }
    map_free(&t->peers);
    map_free(&t->keys);
    map_free(&t->sessions);
    map_free(&t->relays);
    allowedips_free(&t->allowed);
    allowedips_free(&t->local);
    free(t->addresses);
    free(t->routes);
    filter_free(t->filter);
}

void shim_transport_free(shim_transport *t)
{
    if (!t)
        return;
    shim_stop(t);
    free_tables(t);
    fifo_clear(&t->ring);
    fifo_clear(&t->out_datagrams);
    fifo_clear(&t->out_packets);
    shim_capture_stop(t);
    cookie_wipe(&t->cookies);
    for (int i = 0; i < t->socket_count; i++)
        close_if(t->sockets[i].fd);
    close_if(t->tun_fd);
    close_if(t->event_fd);
    close_if(t->stop_fd);
    close_if(t->epoll_fd);
    close_if(t->tun_epoll_fd);
    pthread_rwlock_destroy(&t->table);
    pthread_mutex_destroy(&t->flows.lock);
    pthread_mutex_destroy(&t->gate.lock);
    pthread_mutex_destroy(&t->retired_lock);
    pthread_mutex_destroy(&t->relay_in_lock);
    pthread_mutex_destroy(&t->relay_lock);
    pthread_mutex_destroy(&t->socket_options);
    pthread_mutex_destroy(&t->ring_lock);
    pthread_mutex_destroy(&t->capture.lock);
    order_destroy(&t->outward);
    order_destroy(&t->inward);
    free(t);
}

void shim_set_clock(shim_transport *t, int64_t ms)
{
    atomic_store(&t->clock, ms);
}

int shim_fileno(shim_transport *t)
{
    return t->event_fd;
}

void shim_attach_tun(shim_transport *t, int fd, int mtu)
{
    pthread_rwlock_wrlock(&t->table);
    close_if(t->tun_fd);
    t->tun_fd = fd;
    t->mtu = mtu;
    tun_offload(t);
    pthread_rwlock_unlock(&t->table);
}

/* -- in and out */

void shim_send(shim_transport *t, const uint8_t *path, const uint8_t *data, size_t len)
{
    struct outbox o = {.t = t};
    struct path p;
    memcpy(&p, path, sizeof p);
    gate_know(&t->gate, &p);
    pthread_rwlock_rdlock(&t->table);
    if (len >= PROBE && p.family && !p.id && t->socket_count) {
        udp_probe(t, &p, data, len);
    } else {
        outbox_add(&o, &p, data, len, 0);
        outbox_flush(&o);
    }
    pthread_rwlock_unlock(&t->table);
}

struct relay *transport_relay(transport *t, uint32_t region)
{
    struct relay *r = map_get(&t->relays, region);
    if (r)
        return r;
    r = alloc_or_abort(sizeof *r);
    r->region = region;
    map_put(&t->relays, region, r);
    return r;
}

/* The relay, with the table locked for reading. */
static struct relay *lock_relay(transport *t, uint32_t region)
{
    for (;;) {
        pthread_rwlock_rdlock(&t->table);
        struct relay *r = map_get(&t->relays, region);
        if (r)
            return r;
        pthread_rwlock_unlock(&t->table);
        pthread_rwlock_wrlock(&t->table);
        transport_relay(t, region);
        pthread_rwlock_unlock(&t->table);
    }
}

void shim_relay_in(shim_transport *t, uint32_t region, const uint8_t *data, size_t len)
{
    struct opening opening = {.groups = 0};
    struct coalescer inward = {.t = t};
    struct outbox o = {.t = t, .opening = &opening, .inward = &inward};
    struct relay *r = lock_relay(t, region);
    pthread_mutex_lock(&t->relay_in_lock);
    const char *error = relay_feed(r, data, len, inbound_relay_frame, &o);
    opening_flush(&o);
    coalesce_flush(&inward);
    outbox_flush(&o);
    relay_settle(r);
    if (error)
        raise_bad_relay(t, region, error);
    pthread_mutex_unlock(&t->relay_in_lock);
    pthread_rwlock_unlock(&t->table);
}

int64_t shim_relay_out(shim_transport *t, uint32_t region, uint8_t *out, size_t cap, size_t limit)
{
    int64_t done = 0;
    int more = 0;
    pthread_rwlock_rdlock(&t->table);
    struct relay *r = map_get(&t->relays, region);
    if (r) {
        pthread_mutex_lock(&t->relay_lock);
        done = relay_take(r, out, cap, limit);
        if (done >= 0)
            more = r->announced = r->out.first != NULL;
        pthread_mutex_unlock(&t->relay_lock);
    }
    if (more)
        raise_relay_out(t, region);
    pthread_rwlock_unlock(&t->table);
    return done;
}

int shim_datagram(shim_transport *t, const uint8_t *path, const uint8_t *data, size_t len)
{
    struct outbox o = {.t = t};
    struct path p;
    uint8_t *copy = malloc(len + 1);
    if (!copy)
        return 0;
    memcpy(&p, path, sizeof p);
    memcpy(copy, data, len);
    pthread_rwlock_rdlock(&t->table);
    inbound_datagram(&o, &p, copy, len);
    outbox_flush(&o);
    pthread_rwlock_unlock(&t->table);
    free(copy);
    return 1;
}

int shim_packet(shim_transport *t, const uint8_t *data, size_t len)
{
    const struct vnet_header none = {0};
    size_t room = GENEVE + DATA_HEADER + len + TAIL;
    uint8_t *copy = malloc(len + room);
    if (!copy)
        return 0;
    struct sealing sealing = {.groups = 0};
    struct outbox o = {.t = t, .wire = copy + len, .wire_size = room, .sealing = &sealing};
    memcpy(copy, data, len);
    pthread_rwlock_rdlock(&t->table);
    outbound_packet(&o, &none, copy, len);
    outbox_flush(&o);
    pthread_rwlock_unlock(&t->table);
    free(copy);
    return 1;
}

static int64_t take(transport *t, struct fifo *q, uint8_t *out, size_t cap)
{
    pthread_mutex_lock(&t->ring_lock);
    int64_t done = fifo_take(q, out, cap, 256);
    pthread_mutex_unlock(&t->ring_lock);
    return done;
}

int64_t shim_datagrams(shim_transport *t, uint8_t *out, size_t cap)
{
    return take(t, &t->out_datagrams, out, cap);
}

int64_t shim_packets(shim_transport *t, uint8_t *out, size_t cap)
{
    return take(t, &t->out_packets, out, cap);
}

/* -- numbers */

int shim_peer_stats(shim_transport *t, uint64_t peer, uint64_t *out4)
{
    pthread_rwlock_rdlock(&t->table);
    struct peer *p = map_get(&t->peers, peer);
    if (p) {
        out4[0] = atomic_load(&p->tx_bytes);
        out4[1] = atomic_load(&p->rx_bytes);
        out4[2] = atomic_load(&p->tx_packets);
        out4[3] = atomic_load(&p->rx_packets);
    }
    pthread_rwlock_unlock(&t->table);
    return p != NULL;
}

#define DROP_NAME(name) "drop_" #name,
static const char *const NAMES[] = {"to_python", DROPS(DROP_NAME)};

const char *shim_counter_name(int i)
{
    return NAMES[i];
}

void shim_udp_bytes(shim_transport *t, uint64_t *out2)
{
    out2[0] = atomic_load(&t->udp_sent);
    out2[1] = atomic_load(&t->udp_received);
}

int shim_counters(shim_transport *t, uint64_t *out, int room)
{
    if (room < 1 + DROP_COUNT)
        return 0;
    out[0] = atomic_load(&t->to_python);
    for (int i = 0; i < DROP_COUNT; i++)
        out[1 + i] = atomic_load(&t->drops[i]);
    return 1 + DROP_COUNT;
}
