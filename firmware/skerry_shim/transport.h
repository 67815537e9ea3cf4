/* The packet path's own structures. Who may touch what:
 *
 * table (rwlock)      apply, bind and tear-down write; everything else reads. Peers, sessions, tries, filter, relays and sockets come and go
 *                     under the write lock alone, so a reader may use what it found until it lets go. Nothing that blocks runs under it.
 * peer.lock           slots, queue, send keys and counters. Taken below table.
 * session.receive_lock  the receive key and its replay window. Taken below table; peer.lock may be held.
 * relay_lock, ring_lock, flows.lock, cookies.lock, gate.lock, capture.lock   leaves.
 * order.entry           taken below table, alone: while packets are taken in (order.h).
 *
 * A thread of the packet path never takes the table for writing, is never cancelled, and cannot end alone: signals are blocked in it, so a
 * fault ends the process. A half-written table is therefore met by nobody. What outlives the process is the descriptors, which the kernel
 * keeps whole, and the state of handover.c, which is written when no thread runs and is checked like a transaction when it is read. */
#ifndef SKERRY_TRANSPORT_H
#define SKERRY_TRANSPORT_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "aead.h"
#include "allowedips.h"
#include "capture.h"
#include "coalesce.h"
#include "cookie.h"
#include "fifo.h"
#include "filter.h"
#include "flows.h"
#include "gate.h"
#include "map.h"
#include "opening.h"
#include "order.h"
#include "relay.h"
#include "replay.h"
#include "sealing.h"
#include "segments.h"
#include "shim.h"

enum { DATA_HEADER = 16, DATA_OVERHEAD = 32, PAD = 16, TAIL = 32 }; /* TAIL: padding and tag behind a packet */
enum { EDGE_SENT = 1, EDGE_RECEIVED = 2, EDGE_HANDSHAKE = 4, EDGE_CONFIRMED = 8, EDGE_LIMIT = 16, EDGE_DATA = 32 };
#define EDGES_ARMABLE (EDGE_SENT | EDGE_RECEIVED | EDGE_HANDSHAKE | EDGE_DATA)
enum { EVENT_DATAGRAM = 1, EVENT_FRAME, EVENT_BAD_RELAY, EVENT_EDGE, EVENT_RELAY_OUT, EVENT_PACKET };
enum { MAX_PATHS = 16, MAX_SOCKETS = 32, MAX_PACKET = 65535, SLOT = 65536 + 64, BATCH = 32, OUTBOX = 64 };
enum { WORKERS = 4 }; /* threads for one direction, at most */
enum { PROBE = 1000 }; /* a control datagram this long asks for the path's MTU and goes in one piece */
enum { GENEVE = 8, RUN_MESSAGES = 64, RUN_BYTES = 65507 }; /* a run: what kernels take as one UDP_SEGMENT send */
enum { WIRE = 256 << 10, WIRE_FILL = 128 << 10 };          /* sealed messages side by side; enough for one batch */
enum { QUEUE_PACKETS = 128, RING_EVENTS = 4096, OUTPUT_RECORDS = 4096 };
#define RING_BYTES (8u << 20)
#define REKEY_AFTER_MESSAGES (1ULL << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (1ULL << 13))

/* Names of the counters drop_<name>. The meanings are those of skerry_core.transport; send: a socket refused or there is none for the path;
 * tun: the device refused; ecn: the network told of congestion and the packet cannot carry that; too_big: longer than the tunnel's MTU;
 * rate: more datagrams for Python than gate.h lets through. */
#define DROPS(X)                                                                                                                            \
    X(malformed) X(unknown) X(mac1) X(cookie) X(index) X(auth) X(replay) X(source) X(no_route) X(queue) X(poll) X(output) X(relay) X(send)   \
    X(tun) X(multicast) X(link_local) X(destination) X(tsmp) X(filter) X(ecn) X(too_big) X(rate)
#define DROP_ENUM(name) DROP_##name,
enum drop { DROPS(DROP_ENUM) DROP_COUNT };

struct peer;

struct session {
    uint32_t local, remote;
    struct peer *peer;
    uint8_t send_key[32]; /* this and the next two: peer.lock */
    uint64_t counter;
    int limit_told;
    pthread_mutex_t receive_lock; /* for what follows */
    uint8_t receive_key[32];
    int retired; /* the keys are wiped */
    struct replay replay;
    struct session *next_retired;
};

struct peer {
    uint64_t id;
    uint8_t key[32];
    struct prefix *prefixes;
    size_t prefix_count;
    pthread_mutex_t lock;
    struct path *paths; /* path_count of them; they change under the write lock alone */
    int path_count;
    size_t mtu; /* the largest packet that its path carries whole, or 0: as the tunnel; changes under the write lock alone */
    struct session *previous, *current;
    _Atomic(struct session *) next;
    atomic_uint armed;
    struct fifo queue; /* data: DATA_HEADER of room, packet, TAIL of room */
    atomic_ullong tx_bytes, rx_bytes, tx_packets, rx_packets;
};

/* What the kernel or the processor may take over; see features.c. */
enum feature {
    FEATURE_VNET = 1,      /* TUN: a virtio header in front of each packet */
    FEATURE_TSO = 2,       /* TUN: TCP super-packets are read */
    FEATURE_USO = 4,       /* TUN: UDP super-packets are read */
    FEATURE_MERGE_TCP = 8, /* TUN: TCP super-packets are written */
    FEATURE_MERGE_UDP = 16,
    FEATURE_SEGMENT = 32, /* sockets: UDP_SEGMENT */
    FEATURE_GRO = 64,     /* sockets: UDP_GRO */
    FEATURE_LANES = 128,  /* several messages are sealed and opened at a time: lanes.h */
    FEATURES_ALL = 255
};

struct udp_socket {
    int fd;
    uint8_t uplink, family;
    uint16_t port;
};

struct shim_transport {
    pthread_rwlock_t table;
    struct map peers, keys, sessions, relays; /* by number, key_tag(), local index, region */
    uint8_t tag_secret[32];
    struct allowedips allowed, local;
    struct prefix *addresses, *routes; /* what local was built from */
    size_t address_count, route_count;
    struct filter *filter;
    struct flows flows;
    struct cookie_checker cookies;
    struct gate gate;

    pthread_mutex_t retired_lock;
    struct session *retired;

    pthread_mutex_t relay_in_lock, relay_lock; /* deframers; frames going out */

    pthread_mutex_t ring_lock;
    struct fifo ring, out_datagrams, out_packets;
    size_t ring_bounded; /* records in ring that count against its bound */
    int event_fd;

    struct udp_socket sockets[MAX_SOCKETS];
    int socket_count;
    int tun_fd, mtu;
    int lanes_available;
    atomic_uint wanted;                   /* features that may be used */
    atomic_uint tun_features;             /* of the device: those it has accepted and not refused since */
    atomic_uint segment_slots, gro_slots; /* sockets, a bit for each slot, that do UDP_SEGMENT and UDP_GRO */
    int epoll_fd, tun_epoll_fd, stop_fd;
    atomic_int started;
    struct order outward, inward; /* of the batches from TUN, from the sockets */
    pthread_mutex_t socket_options; /* leaf: while they differ for one send */
    pthread_t threads[2 * WORKERS];
    int thread_count;

    struct capture capture;
    atomic_ullong udp_sent, udp_received; /* bytes, with UDP and IP headers */

    atomic_llong clock; /* ms, or -1: the monotonic clock */
    atomic_llong answered; /* when a packet was last answered as too big */
    atomic_ullong to_python, drops[DROP_COUNT];
};
typedef struct shim_transport transport;

/* Datagrams on their way out; the data must live until the flush. Neighbours in memory of one size to one path are a run, which may leave as
 * one send. */
struct outbox {
    transport *t;
    uint8_t *wire; /* room for messages, or NULL */
    size_t wire_size, wire_used;
    struct sealing *sealing;  /* where there is a wire: packets gathered on it */
    int ecn;                  /* of the datagram that is being taken in */
    struct order *order;      /* a flush in between waits until what came before has left; NULL: there is nobody else */
    struct opening *opening;  /* messages are gathered here until opening_flush, or NULL: opened at once */
    struct coalescer *inward; /* packets for TUN are gathered here, or NULL: written at once */
    int count;
    struct outbox_item {
        struct path path;
        uint8_t geneve[GENEVE];
        int front; /* geneve goes in front; then it is one message */
        const uint8_t *data;
        size_t len, size; /* of all, of each; the last may be shorter */
        int messages, ecn;
    } items[OUTBOX];
};

/* events.c */
void drop(transport *t, enum drop reason);
void raise_datagram(transport *t, const struct path *path, const uint8_t *data, size_t len);
void raise_frame(transport *t, uint32_t region, uint8_t type, const uint8_t *data, size_t len);
void raise_bad_relay(transport *t, uint32_t region, const char *text);
void raise_edge(transport *t, const struct peer *p, uint8_t what);
void raise_relay_out(transport *t, uint32_t region);
void events_forget_peer(transport *t, uint64_t peer); /* edges of a peer that is no more */
int64_t now_ms(const transport *t);

/* outbox.c */
void outbox_add(struct outbox *o, const struct path *path, const uint8_t *data, size_t len, int ecn);
void outbox_add_whole(struct outbox *o, const struct path *path, const uint8_t *data, size_t len, int ecn); /* UDP; a Geneve header is in it already */
void outbox_geneve(uint8_t out[GENEVE], uint32_t vni, const uint8_t *data, size_t len);
uint8_t *outbox_room(struct outbox *o, size_t len); /* on the wire; flushes when there is none. len <= wire_size */
void outbox_send(struct outbox *o);  /* what is sealed */
void outbox_flush(struct outbox *o); /* all of it: what is gathered is sealed first */

/* session.c */
struct session *session_new(uint32_t local, uint32_t remote, const uint8_t *send_key, const uint8_t *receive_key);
void session_retire(transport *t, struct session *s); /* peer.lock held; keys are gone when it returns */
void session_free(struct session *s);
void session_received(struct outbox *o, struct session *s, int data); /* after a packet of it opened: promotion, edges */
void peer_install(struct outbox *o, struct peer *p, struct session *s, int as_next);
/* Headers, counters and key for those that the current session can seal, from the first on; the rest waits for a session. How many. */
int peer_begin(transport *t, struct peer *p, struct aead_item *items, int count, uint8_t key[32]);
/* The sealed message to every path; front: bytes of room before it for a Geneve header, or 0. */
void peer_post(struct outbox *o, const struct peer *p, const struct aead_item *item, size_t front);
size_t message_padded(const transport *t, size_t len); /* what is sealed for a packet of len bytes */
void peer_keepalive(struct outbox *o, struct peer *p);
void peer_purge(transport *t, struct peer *p); /* drop what waits for a session; its HANDSHAKE edge is armed again */
void peer_arm(transport *t, struct peer *p, unsigned mask);
void peer_expire(transport *t, struct peer *p, struct session *s);
void peer_drain(struct outbox *o, struct peer *p); /* peer.lock held by the caller */
void peer_free(struct peer *p);

/* outbound.c, inbound.c */
void outbound_packet(struct outbox *o, const struct vnet_header *v, uint8_t *packet, size_t len); /* the outbox has a wire */
void inbound_datagram(struct outbox *o, const struct path *from, uint8_t *data, size_t len);
void inbound_deliver(struct outbox *o, struct peer *peer, const struct aead_item *message); /* a packet that was opened */
void inbound_relay_frame(void *outbox, struct relay *r, uint8_t type, uint8_t *payload, size_t len);

/* transport.c */
uint64_t key_tag(const transport *t, const uint8_t *key); /* stands for a public key: nobody outside can find two keys with one tag */
struct relay *transport_relay(transport *t, uint32_t region); /* made when there is none; the write lock is held */

/* sockets.c, udp.c, tun.c, features.c */
int socket_find(const transport *t, int uplink, int family); /* the slot, or -1 */
void socket_offload(transport *t, int slot);                 /* what is wanted and what the kernel accepts */
struct work; /* what a thread works with */
size_t udp_receive(struct work *w, int slot); /* bytes */
void udp_probe(transport *t, const struct path *path, const uint8_t *data, size_t len); /* in one piece or not at all */
int udp_send(transport *t, const struct outbox_item *items, int count); /* messages that the sockets took */
void tun_offload(transport *t);
int tun_write(transport *t, const struct iovec *parts, int count); /* the first is the vnet header; 0 or errno */
int tun_write_packet(transport *t, const uint8_t *packet, size_t len); /* 1, or 0: the device refused */
void tun_deliver(struct outbox *o, const uint8_t *packet, size_t len);
int tun_read_batch(struct work *w); /* 0: the device is gone */
static inline size_t peer_mtu(const transport *t, const struct peer *p)
{
    return p->mtu && (!t->mtu || p->mtu < (size_t)t->mtu) ? p->mtu : (size_t)t->mtu;
}
static inline int features_lanes(const transport *t)
{
    return (atomic_load_explicit(&t->wanted, memory_order_relaxed) & FEATURE_LANES) && t->lanes_available;
}
static inline unsigned tun_features(const transport *t)
{
    return atomic_load_explicit(&t->tun_features, memory_order_relaxed) & atomic_load_explicit(&t->wanted, memory_order_relaxed);
}
#endif
