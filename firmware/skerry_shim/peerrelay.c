/* A UDP peer relay: its sockets, the pairs it forwards between, and the ring up to Python. What passes through is in forward.c, what is let
 * up to Python in admit.c.
 *
 * It decides nothing. Python opens a network id for two disco keys, binds it to two addresses once it has proof of both, and closes it; each
 * is one step that the next batch of datagrams sees whole. Addresses are paths whose uplink is the number of the socket, in the order in
 * which sockets were adopted: a client is answered from the socket it spoke to. It makes no handshake, no allocation, and knows no lifetime:
 * it tells when each side was heard last. */
#include "peerrelay.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "sockets.h"
#include "transport.h"

static void set_up_locks(peerrelay *r)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    /* a change does not wait for the end of a load */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&r->table, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    pthread_mutex_init(&r->ring_lock, NULL);
}

shim_peerrelay *shim_peerrelay_new(void)
{
    peerrelay *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    set_up_locks(r);
    r->wanted = PLACE_SEGMENT | PLACE_GRO;
    r->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event stop = {.events = EPOLLIN, .data.u32 = PLACE_SOCKETS};
    if (r->event_fd < 0 || r->stop_fd < 0 || epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->stop_fd, &stop) < 0 ||
        getrandom(&r->secret, sizeof r->secret, 0) != sizeof r->secret) {
        shim_peerrelay_free(r);
        return NULL;
    }
    return r;
}

static void close_all(peerrelay *r)
{
    const int others[] = {r->event_fd, r->stop_fd, r->epoll_fd};
    for (int i = 0; i < r->socket_count; i++)
        close(r->fds[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] >= 0)
            close(others[i]);
}

void shim_peerrelay_free(shim_peerrelay *r)
{
    shim_peerrelay_stop(r);
    close_all(r);
    for (size_t i = 0; i < r->places.size; i++)
        if (r->places.entries[i].value) {
            hold_forget(r, r->places.entries[i].value);
            free(r->places.entries[i].value);
        }
    map_free(&r->places);
    fifo_clear(&r->ring);
    pthread_mutex_destroy(&r->ring_lock);
    pthread_rwlock_destroy(&r->table);
    free(r);
}

/* -- sockets */

static void offload(peerrelay *r, int slot)
{
    int fd = r->fds[slot], none = 0, gro = (r->wanted & PLACE_GRO) != 0;
    setsockopt(fd, IPPROTO_UDP, SOCKET_GRO, &gro, sizeof gro); /* without it datagrams come one by one */
    if ((r->wanted & PLACE_SEGMENT) && setsockopt(fd, IPPROTO_UDP, SOCKET_SEGMENT, &none, sizeof none) == 0)
        atomic_fetch_or(&r->segment_slots, 1u << slot);
    else
        atomic_fetch_and(&r->segment_slots, ~(1u << slot));
}

static int adopt_locked(peerrelay *r, int fd)
{
    int family, port = shim_socket_inspect(fd, &family), slot = r->socket_count;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)slot};
    if (port < 0)
        return port;
    if (slot == PLACE_SOCKETS)
        return -EMFILE;
    socket_prepare(fd, family);
    if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return -errno;
    r->fds[slot] = fd;
    r->families[slot] = (uint8_t)family;
    r->socket_count++;
    offload(r, slot);
    return slot;
}

int shim_peerrelay_adopt(shim_peerrelay *r, int fd)
{
    pthread_rwlock_wrlock(&r->table);
    int result = adopt_locked(r, fd);
    pthread_rwlock_unlock(&r->table);
    return result;
}

void shim_peerrelay_set_features(shim_peerrelay *r, unsigned wanted)
{
    pthread_rwlock_wrlock(&r->table);
    r->wanted = wanted;
    for (int i = 0; i < r->socket_count; i++)
        offload(r, i);
    pthread_rwlock_unlock(&r->table);
}

/* -- pairs */

int shim_peerrelay_open(shim_peerrelay *r, uint32_t vni, const uint8_t *one, const uint8_t *other)
{
    struct place *place = vni && vni <= MAX_VNI ? calloc(1, sizeof *place) : NULL;
    if (!place)
        return 0;
    place->vni = vni;
    memcpy(place->sides[0].key, one, 32);
    memcpy(place->sides[1].key, other, 32);
    pthread_rwlock_wrlock(&r->table);
    int taken = map_get(&r->places, vni) != NULL;
    if (!taken)
        map_put(&r->places, vni, place);
    pthread_rwlock_unlock(&r->table);
    if (taken)
        free(place);
    return !taken;
}

static int has_socket(const peerrelay *r, const uint8_t *packed)
{
    struct path path;
    memcpy(&path, packed, sizeof path);
    return path.uplink < r->socket_count && path.family == r->families[path.uplink];
}

int shim_peerrelay_bind(shim_peerrelay *r, uint32_t vni, const uint8_t *one, const uint8_t *other)
{
    pthread_rwlock_wrlock(&r->table);
    struct place *place = map_get(&r->places, vni);
    int possible = place && has_socket(r, one) && has_socket(r, other);
    if (possible) {
        memcpy(&place->sides[0].path, one, sizeof(struct path));
        memcpy(&place->sides[1].path, other, sizeof(struct path));
        place->bound = 1;
        hold_release(r, place, relay_now_us() / 1000);
    }
    pthread_rwlock_unlock(&r->table);
    return possible;
}

int shim_peerrelay_close(shim_peerrelay *r, uint32_t vni)
{
    pthread_rwlock_wrlock(&r->table);
    struct place *place = map_get(&r->places, vni);
    if (place)
        hold_forget(r, place);
    map_remove(&r->places, vni);
    pthread_rwlock_unlock(&r->table);
    free(place);
    return place != NULL;
}

/* -- numbers */

void lose(peerrelay *r, enum place_drop reason, unsigned count)
{
    atomic_fetch_add_explicit(&r->drops[reason], count, memory_order_relaxed);
}

int shim_peerrelay_stats(shim_peerrelay *r, uint32_t vni, uint64_t *out6)
{
    pthread_rwlock_rdlock(&r->table);
    struct place *place = map_get(&r->places, vni);
    for (int i = 0; place && i < 2; i++) {
        out6[3 * i] = atomic_load(&place->sides[i].packets);
        out6[3 * i + 1] = atomic_load(&place->sides[i].bytes);
        out6[3 * i + 2] = (uint64_t)atomic_load(&place->sides[i].seen);
    }
    pthread_rwlock_unlock(&r->table);
    return place != NULL;
}

int shim_peerrelay_counters(shim_peerrelay *r, uint64_t *out, int room)
{
    const uint64_t whole[] = {atomic_load(&r->to_python), atomic_load(&r->packets), atomic_load(&r->bytes)};
    enum { WHOLE = sizeof whole / sizeof *whole };
    int count = 0;
    for (; count < room && count < WHOLE + LOST_COUNT; count++)
        out[count] = count < WHOLE ? whole[count] : atomic_load(&r->drops[count - WHOLE]);
    return count;
}

const char *shim_peerrelay_counter_name(int i)
{
#define PLACE_NAME(name) "drop_" #name,
    static const char *const names[] = {"to_python", "packets", "bytes", PLACE_DROPS(PLACE_NAME)};
    return i >= 0 && i < (int)(sizeof names / sizeof *names) ? names[i] : "";
}

/* -- Python's datagrams */

void peerrelay_raise(peerrelay *r, const struct path *from, const uint8_t *data, size_t len)
{
    static const uint64_t one = 1;
    pthread_mutex_lock(&r->ring_lock);
    int room = r->ring.count < PLACE_RING && r->ring.bytes + len <= PLACE_RING_BYTES;
    struct record *record = room ? record_new(len) : NULL;
    if (record) {
        record->head.kind = EVENT_DATAGRAM;
        record->head.path = *from;
        memcpy(record->data, data, len);
        int wake = r->ring.first == NULL;
        fifo_push(&r->ring, record);
        if (wake && write(r->event_fd, &one, sizeof one) < 0) {
            /* full is readable */
        }
        atomic_fetch_add_explicit(&r->to_python, 1, memory_order_relaxed);
    } else {
        lose(r, LOST_ring, 1);
    }
    pthread_mutex_unlock(&r->ring_lock);
}

int64_t shim_peerrelay_poll(shim_peerrelay *r, uint8_t *out, size_t cap)
{
    uint64_t any;
    pthread_mutex_lock(&r->ring_lock);
    int64_t done = fifo_take(&r->ring, out, cap, PLACE_RING);
    if (!r->ring.first && read(r->event_fd, &any, sizeof any) < 0) {
        /* was not readable: nothing had been raised */
    }
    pthread_mutex_unlock(&r->ring_lock);
    return done;
}

void shim_peerrelay_send(shim_peerrelay *r, const uint8_t *packed, const uint8_t *data, size_t len)
{
    struct path path;
    union any_address to;
    int sent = 0;
    memcpy(&path, packed, sizeof path);
    pthread_rwlock_rdlock(&r->table);
    if (has_socket(r, packed)) {
        socklen_t size = socket_address(&to, path.family, path.address, path.port);
        sent = sendto(r->fds[path.uplink], data, len, MSG_DONTWAIT, &to.plain, size) >= 0;
    }
    pthread_rwlock_unlock(&r->table);
    if (!sent)
        lose(r, LOST_send, 1);
}

/* -- the thread */

int shim_peerrelay_start(shim_peerrelay *r)
{
    sigset_t all, before;
    if (r->started)
        return 0;
    sigfillset(&all); /* signals stay with Python's main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&r->thread, NULL, forward_thread, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    r->started = error == 0;
    return -error;
}

void shim_peerrelay_stop(shim_peerrelay *r)
{
    uint64_t value = 1;
    if (!r->started)
        return;
    if (write(r->stop_fd, &value, sizeof value) < 0) {
        /* full means set */
    }
    pthread_join(r->thread, NULL);
    r->started = 0;
    if (read(r->stop_fd, &value, sizeof value) < 0) {
        /* it was not set */
    }
}

int shim_peerrelay_fileno(shim_peerrelay *r)
{
    return r->event_fd;
}
