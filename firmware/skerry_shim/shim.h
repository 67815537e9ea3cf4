/* What Python sees of the C: cffi reads this file as it stands, so it has functions and opaque types only. */

int shim_version(void);
void shim_trim(void); /* give memory that was freed back to the system, where the C library keeps it */

/* crypto.c, salsa.c: 1 done, 0 the input is refused (low-order point, bad tag, bad signature), -1 libcrypto failed */
int shim_x25519(uint8_t *shared, const uint8_t *private_key, const uint8_t *public_key);
int shim_x25519_public(uint8_t *public_key, const uint8_t *private_key);
int shim_seal(uint8_t *out, const uint8_t *key, const uint8_t *nonce12, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len);
int shim_open(uint8_t *out, const uint8_t *key, const uint8_t *nonce12, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len);
int shim_xseal(uint8_t *out, const uint8_t *key, const uint8_t *nonce24, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len);
int shim_xopen(uint8_t *out, const uint8_t *key, const uint8_t *nonce24, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len);
int shim_box_key(uint8_t *box_key, const uint8_t *private_key, const uint8_t *public_key);
int shim_box_seal(uint8_t *out, const uint8_t *box_key, const uint8_t *nonce24, const uint8_t *in, size_t len);
int shim_box_open(uint8_t *out, const uint8_t *box_key, const uint8_t *nonce24, const uint8_t *in, size_t len);
void shim_blake2s(uint8_t *out, size_t size, const uint8_t *key, size_t key_len, const uint8_t *in, size_t len);
int shim_sha256(uint8_t *out, const uint8_t *in, size_t len);
void shim_hmac(uint8_t *out, const uint8_t *key, size_t key_len, const uint8_t *in, size_t len);
void shim_hkdf(uint8_t *out, size_t n, const uint8_t *chaining_key, const uint8_t *in, size_t len);
int shim_ed25519_verify(const uint8_t *public_key, const uint8_t *signature, const uint8_t *message, size_t len);
void shim_hsalsa20(uint8_t *out, const uint8_t *key, const uint8_t *in16);
void shim_hchacha20(uint8_t *out, const uint8_t *key, const uint8_t *in16);

/* tun.c: name has room for 16 bytes and holds the real name afterwards; the descriptor, or -errno */
int shim_tun_open(char *name, int mtu, int header); /* header: IFF_VNET_HDR, where the kernel has it */
int shim_tun_offload(int fd, unsigned flags);

/* The packet path: transport.c, apply.c, events.c, udp.c. Data is copied before a call returns. Paths are packed as in fifo.h. */
typedef struct shim_transport shim_transport;
shim_transport *shim_transport_new(void);
void shim_transport_free(shim_transport *t);
void shim_set_clock(shim_transport *t, int64_t ms); /* -1: the monotonic clock */
int shim_apply(shim_transport *t, uint8_t *data, size_t len, char *error, size_t error_size); /* 1, or 0 and the sentence; data is wiped */
void shim_send(shim_transport *t, const uint8_t *path, const uint8_t *data, size_t len);
void shim_relay_in(shim_transport *t, uint32_t region, const uint8_t *data, size_t len);
int64_t shim_relay_out(shim_transport *t, uint32_t region, uint8_t *out, size_t cap, size_t limit); /* bytes, or -needed */
int64_t shim_poll(shim_transport *t, uint8_t *out, size_t cap); /* records; bytes, or -needed */
int shim_peer_stats(shim_transport *t, uint64_t peer, uint64_t *out4); /* 0: no such peer */
int shim_counters(shim_transport *t, uint64_t *out, int room); /* how many; the first is to_python */
const char *shim_counter_name(int i);
void shim_udp_bytes(shim_transport *t, uint64_t *out2); /* sent, received by all sockets, with UDP and IP headers */
int shim_datagram(shim_transport *t, const uint8_t *path, const uint8_t *data, size_t len);
int shim_packet(shim_transport *t, const uint8_t *data, size_t len); /* both: 0 without memory */
int64_t shim_datagrams(shim_transport *t, uint8_t *out, size_t cap);
int64_t shim_packets(shim_transport *t, uint8_t *out, size_t cap);
void shim_attach_tun(shim_transport *t, int fd, int mtu); /* takes the descriptor over */
unsigned shim_features(shim_transport *t); /* in use; bits as in transport.h */
void shim_set_features(shim_transport *t, unsigned wanted);
/* handover.c: the state for another process. 0 < result <= cap: written, and the sessions are gone from here; > cap: nothing was done, it
 * needs that much; -EBUSY: the threads run. It is taken in by shim_apply. */
int64_t shim_export(shim_transport *t, uint8_t *out, size_t cap);
int shim_tun_fd(shim_transport *t);                                /* -1: none */
int shim_socket_fd(shim_transport *t, int uplink, int family);     /* -1: none */
int shim_tun_inspect(int fd, char *name, int *persistent); /* the MTU, or -errno; name has room for 16 bytes */
int shim_socket_inspect(int fd, int *family);              /* the port, or -errno: no bound UDP socket */
int shim_adopt_socket(shim_transport *t, int uplink, int fd); /* one that was inspected, taken over; the port, or -errno */
int shim_bind(shim_transport *t, int uplink, int family, uint16_t port); /* the port, or -errno */
int shim_start(shim_transport *t, int threads); /* in all; 0: by the processors. 0, or -errno */
void shim_stop(shim_transport *t);
int shim_fileno(shim_transport *t);

/* capture.c: side 1 inside, 2 outside; peer -1: all. 0, or -errno: there is one already */
int shim_capture_start(shim_transport *t, int side, int64_t peer, size_t snaplen);
void shim_capture_stop(shim_transport *t);
int64_t shim_capture_take(shim_transport *t, uint8_t *out, size_t cap, uint64_t *lost); /* records; bytes, or -needed. lost: since the start */

/* peerrelay.c: a UDP peer relay. Network ids are 1 to 2^24 - 1; keys are disco keys, 32 bytes; addresses packed paths, uplink = socket */
typedef struct shim_peerrelay shim_peerrelay;
shim_peerrelay *shim_peerrelay_new(void);
void shim_peerrelay_free(shim_peerrelay *r);
int shim_peerrelay_adopt(shim_peerrelay *r, int fd); /* a bound UDP socket, taken over: its number, or -errno and it stays the caller's */
void shim_peerrelay_set_features(shim_peerrelay *r, unsigned wanted); /* bits: 1 UDP_SEGMENT, 2 UDP_GRO */
int shim_peerrelay_open(shim_peerrelay *r, uint32_t vni, const uint8_t *one, const uint8_t *other); /* 0: there is that id already */
int shim_peerrelay_bind(shim_peerrelay *r, uint32_t vni, const uint8_t *one, const uint8_t *other); /* 0: no such id, or socket */
int shim_peerrelay_close(shim_peerrelay *r, uint32_t vni);                                          /* 0: no such id */
int shim_peerrelay_stats(shim_peerrelay *r, uint32_t vni, uint64_t *out6); /* packets, bytes, last heard (ms), twice; 0: no such id */
int shim_peerrelay_counters(shim_peerrelay *r, uint64_t *out, int room);
const char *shim_peerrelay_counter_name(int i);
int64_t shim_peerrelay_poll(shim_peerrelay *r, uint8_t *out, size_t cap); /* records; bytes, or -needed */
void shim_peerrelay_send(shim_peerrelay *r, const uint8_t *path, const uint8_t *data, size_t len);
int shim_peerrelay_start(shim_peerrelay *r); /* 0, or -errno */
void shim_peerrelay_stop(shim_peerrelay *r);
int shim_peerrelay_fileno(shim_peerrelay *r);
