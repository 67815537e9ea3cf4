/* The packet path's own structures. Who may touch what:
 *
 * table (rwlock)      apply, bind and tear-down write; everything else reads. Peers, sessions, tries, filter, relays and sockets come and go
 *                     under the write lock alone, so a reader may use what it found until it lets go. Nothing that blocks runs under it.
 * peer.lock           slots, queue and sealing: send keys and counters. Taken below table.
 * session.receive_lock  the receive key and its replay window. Taken below table; peer.lock may be held.
 * relay_lock, ring_lock, flows.lock, cookies.lock   leaves. */
#ifndef SKERRY_TRANSPORT_H
#define SKERRY_TRANSPORT_H
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "aead.h"
#include "allowedips.h"
#include "cookie.h"
#include "fifo.h"
#include "filter.h"
#include "flows.h"
#include "map.h"
#include "relay.h"
#include "replay.h"
#include "shim.h"

enum { DATA_HEADER = 16, DATA_OVERHEAD = 32, PAD = 16, TAIL = 32 }; /* TAIL: padding and tag behind a packet */
enum { EDGE_SENT = 1, EDGE_RECEIVED = 2, EDGE_HANDSHAKE = 4, EDGE_CONFIRMED = 8, EDGE_LIMIT = 16, EDGE_DATA = 32 };
#define EDGES_ARMABLE (EDGE_SENT | EDGE_RECEIVED | EDGE_HANDSHAKE | EDGE_DATA)
enum { EVENT_DATAGRAM = 1, EVENT_FRAME, EVENT_BAD_RELAY, EVENT_EDGE, EVENT_RELAY_OUT, EVENT_PACKET };
enum { MAX_PATHS = 16, MAX_SOCKETS = 32, MAX_PACKET = 65535, SLOT = 65536 + 64, BATCH = 32, OUTBOX = 64 };
enum { QUEUE_PACKETS = 128, RING_EVENTS = 4096, OUTPUT_RECORDS = 4096 };
#define RING_BYTES (8u << 20)
#define REKEY_AFTER_MESSAGES (1ULL << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (1ULL << 13))

/* Names of the counters drop_<name>. The meanings are those of skerry_core.transport; send: a socket refused or there is none for the path;
 * tun: the device refused. */
#define DROPS(X)                                                                                                                            \
    X(malformed) X(unknown) X(mac1) X(cookie) X(index) X(auth) X(replay) X(source) X(no_route) X(queue) X(poll) X(output) X(relay) X(send)   \
    X(tun) X(multicast) X(link_local) X(destination) X(tsmp) X(filter)
#define DROP_ENUM(name) DROP_##name,
enum drop { DROPS(DROP_ENUM) DROP_COUNT };

struct peer;

struct session {
    uint32_t local, remote;
    struct peer *peer;
    EVP_CIPHER_CTX *send; /* peer.lock */
    uint64_t counter;     /* peer.lock */
    int limit_told;       /* peer.lock */
    pthread_mutex_t receive_lock;
    EVP_CIPHER_CTX *receive; /* NULL once retired */
    struct replay replay;
    struct session *next_retired;
};

struct peer {
    uint64_t id;
    uint8_t key[32];
    struct prefix *prefixes;
    size_t prefix_count;
    pthread_mutex_t lock;
    struct path paths[MAX_PATHS];
    int path_count;
    struct session *previous, *current;
    _Atomic(struct session *) next;
    atomic_uint armed;
    struct fifo queue; /* data: DATA_HEADER of room, packet, TAIL of room */
    atomic_ullong tx_bytes, rx_bytes, tx_packets, rx_packets;
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
    int epoll_fd, stop_fd, tun_running;
    atomic_int started;
    pthread_t threads[2];

    atomic_llong clock; /* ms, or -1: the monotonic clock */
    atomic_ullong to_python, drops[DROP_COUNT];
};
typedef struct shim_transport transport;

/* Datagrams on their way out; the data must live until the flush. */
struct outbox {
    transport *t;
    int count;
    struct outbox_item {
        struct path path;
        uint8_t geneve[8];
        const uint8_t *data;
        size_t len;
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
void outbox_add(struct outbox *o, const struct path *path, const uint8_t *data, size_t len);
void outbox_flush(struct outbox *o);

/* session.c */
struct session *session_new(uint32_t local, uint32_t remote, const uint8_t *send_key, const uint8_t *receive_key);
void session_retire(transport *t, struct session *s); /* peer.lock held; keys are gone when it returns */
void session_free(struct session *s);
void session_received(struct outbox *o, struct session *s, int data); /* after a packet of it opened: promotion, edges */
void peer_install(struct outbox *o, struct peer *p, struct session *s, int as_next);
void peer_send(struct outbox *o, struct peer *p, uint8_t *packet, size_t len); /* room of DATA_HEADER before and TAIL behind */
void peer_keepalive(struct outbox *o, struct peer *p);
void peer_purge(transport *t, struct peer *p); /* drop what waits for a session; its HANDSHAKE edge is armed again */
void peer_arm(transport *t, struct peer *p, unsigned mask);
void peer_expire(transport *t, struct peer *p, struct session *s);
void peer_drain(struct outbox *o, struct peer *p); /* peer.lock held by the caller */
void peer_free(struct peer *p);

/* outbound.c, inbound.c */
void outbound_packet(struct outbox *o, uint8_t *packet, size_t len); /* same room */
void inbound_datagram(struct outbox *o, const struct path *from, uint8_t *data, size_t len);
void inbound_relay_frame(void *outbox, struct relay *r, uint8_t type, uint8_t *payload, size_t len);

/* transport.c */
uint64_t key_tag(const transport *t, const uint8_t *key); /* stands for a public key: nobody outside can find two keys with one tag */
struct relay *transport_relay(transport *t, uint32_t region); /* made when there is none; the write lock is held */

/* udp.c, tun.c */
void udp_receive(transport *t, int slot, uint8_t *buffers);
int udp_send(transport *t, struct outbox_item *items, int count);
void tun_deliver(transport *t, const uint8_t *packet, size_t len);
int tun_read_batch(transport *t, uint8_t *buffers);
#endif
