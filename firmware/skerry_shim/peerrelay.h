/* A UDP peer relay's packet side; see peerrelay.c. Who may touch what:
 *
 * table (rwlock)   open, bind, close and adopt write; the thread reads for the length of one batch, in which nothing blocks
 * ring_lock        a leaf
 * rates            the thread alone */
#ifndef SKERRY_PEERRELAY_H
#define SKERRY_PEERRELAY_H
#include <pthread.h>
#include <stdatomic.h>

#include "fifo.h"
#include "map.h"
#include "rate.h"
#include "shim.h"

enum { PLACE_SOCKETS = 8, PLACE_RING = 1024, PLACE_HELD = 2, PLACE_HELD_ALL = 4096, MAX_VNI = 0xffffff };
#define PLACE_RING_BYTES (1u << 20)

/* Names of the counters drop_<name>. malformed: nothing a relay takes, or of a wrong length; unknown: no such network id; key: a sender that is
 * none of the pair; unbound: data before both are bound (disco
 * is held for a while: hold.c); source: data from an address that is neither; rate: above what Python is
 * troubled with; ring: Python is behind; send: the socket refused. */
#define PLACE_DROPS(X) X(malformed) X(unknown) X(key) X(unbound) X(source) X(rate) X(ring) X(send)
#define PLACE_ENUM(name) LOST_##name,
enum place_drop { PLACE_DROPS(PLACE_ENUM) LOST_COUNT };
enum { PLACE_SEGMENT = 1, PLACE_GRO = 2 }; /* features, as bits */

struct place_side {
    uint8_t key[32]; /* disco */
    struct path path;
    atomic_ullong packets, bytes; /* received from it and forwarded */
    atomic_llong seen;            /* monotonic ms; 0: never */
    struct fifo held;             /* see hold.c */
};

struct place { /* one pair of clients */
    uint32_t vni;
    int bound;
    struct rate control;
    struct place_side sides[2];
};

struct shim_peerrelay {
    pthread_rwlock_t table;
    struct map places; /* by network id */
    int fds[PLACE_SOCKETS];
    uint8_t families[PLACE_SOCKETS];
    int socket_count, held;
    atomic_uint wanted, segment_slots;

    pthread_mutex_t ring_lock;
    struct fifo ring;

    uint64_t secret; /* keeps others from choosing whose bucket they share */
    struct rate sources[RATE_SOURCES], all_plain, all_control;

    int event_fd, stop_fd, epoll_fd, started;
    pthread_t thread;
    atomic_ullong to_python, packets, bytes, drops[LOST_COUNT];
};
typedef struct shim_peerrelay peerrelay;

static inline struct place *place_of(const peerrelay *r, const uint8_t *geneve)
{
    return map_get(&r->places, (uint32_t)geneve[4] << 16 | (uint32_t)geneve[5] << 8 | geneve[6]);
}

/* peerrelay.c */
void lose(peerrelay *r, enum place_drop reason, unsigned count);
void peerrelay_raise(peerrelay *r, const struct path *from, const uint8_t *data, size_t len);

/* A message of a client was forwarded. */
void count_side(peerrelay *r, struct place_side *side, size_t len, int messages, int64_t now_ms);
int64_t relay_now_us(void);

/* hold.c: 1 when it is kept. */
int hold(peerrelay *r, struct place *place, const struct path *from, const uint8_t *data, size_t len, int64_t now_ms);
void hold_release(peerrelay *r, struct place *place, int64_t now_ms); /* the pair was bound */
void hold_forget(peerrelay *r, struct place *place);

/* admit.c */
/* What is no data of a pair: 1, it is for Python; 0, it is dropped and counted. */
int admit(peerrelay *r, const struct path *from, const uint8_t *data, size_t len, int64_t now_us);

/* forward.c */
/* What one receive gave, with the table locked by the caller: datagrams of `size`, the last may be shorter. For tests; the thread has batches. */
void forward_one(peerrelay *r, const struct path *from, int64_t now_us, uint8_t *data, size_t len, size_t size);
void *forward_thread(void *relay);
#endif
