/* The threads beside each other and beside changes, for the sanitizers, ThreadSanitizer most of all: batches that leave in order, the ring with
 * many writers, sessions that rotate under load without a lost packet, a removal that stops packets at once, a crash. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "transport.h"

enum { BATCHES = 20000, LOG = 3 * BATCHES, WINDOW = 64, PACKETS = 30000, ROTATE_AFTER = 250, PACKET = 128, OFFERS = 300 };

/* -- order */

static struct order order;
static uint64_t next_taken, log_end, logged[LOG]; /* plain numbers: order alone keeps threads apart */

static void *work_in_order(void *seed_of)
{
    uint32_t mine = (uint32_t)(uintptr_t)seed_of;
    for (int i = 0; i < BATCHES; i++) {
        order_enter(&order);
        if ((mine = mine * 1664525 + 1013904223) >> 28 == 0) {
            order_stay_out(&order);
            continue;
        }
        uint64_t number = next_taken++, place = order_leave(&order);
        if (mine >> 26 == 7)
            sched_yield();
        order_wait(&order, place);
        logged[log_end++] = number;
        order_done(&order);
    }
    return NULL;
}

static void test_order(void)
{
    pthread_t threads[3];
    order_init(&order);
    for (uintptr_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, work_in_order, (void *)(i + 1)) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(log_end == next_taken && log_end > BATCHES);
    for (uint64_t i = 0; i < log_end; i++)
        CHECK(logged[i] == i);
    order_destroy(&order);
}

/* -- changes, as apply takes them */

static void put_change(uint8_t *buffer, size_t *filled, uint8_t operation, const void *body, size_t len)
{
    uint32_t size = (uint32_t)len;
    buffer[*filled] = operation;
    memcpy(buffer + *filled + 1, &size, 4);
    memcpy(buffer + *filled + 5, body, len);
    *filled += 5 + len;
}

static void apply(transport *t, uint8_t operation, const void *body, size_t len)
{
    uint8_t buffer[512];
    char error[256] = "";
    size_t filled = 0;
    put_change(buffer, &filled, operation, body, len);
    if (!shim_apply(t, buffer, filled, error, sizeof error)) {
        fprintf(stderr, "operation %d: %s\n", operation, error);
        exit(1);
    }
}

static void set_peer(transport *t, uint64_t id, uint8_t last)
{
    uint8_t body[58] = {0};
    memcpy(body, &id, 8);
    memset(body + 8, last, 32);
    memcpy(body + 40, "\4\x20\x64\x40\0", 5);
    body[45] = last;
    apply(t, 4, body, sizeof body);
}

static void set_session(transport *t, uint64_t id, uint8_t slot, uint32_t local, uint32_t remote, uint8_t send, uint8_t receive)
{
    uint8_t body[81];
    memcpy(body, &id, 8);
    body[8] = slot;
    memcpy(body + 9, &local, 4);
    memcpy(body + 13, &remote, 4);
    memset(body + 17, send, 32);
    memset(body + 49, receive, 32);
    apply(t, 7, body, sizeof body);
}

static void set_path(transport *t, int port)
{
    uint8_t body[8 + sizeof(struct path)] = {1};
    struct path p = {.family = 4, .port = (uint16_t)port, .address = {127, 0, 0, 1}};
    memcpy(body + 8, &p, sizeof p);
    apply(t, 6, body, sizeof body);
}

static void remove_peer(transport *t, uint64_t id)
{
    apply(t, 5, &id, 8);
}

static void set_filter(transport *t)
{
    uint8_t all[80] = {[0 ... 31] = 0xff, [35] = 1, [39] = 1, [40] = 4, [58] = 4, [78] = 0xff, [79] = 0xff};
    apply(t, 11, all, sizeof all);
}

/* -- two nodes: a device each, of which the test has the other end; sockets on loopback */

struct node {
    transport *t;
    int device, port;
};

static struct node open_node(uint8_t own, uint8_t other)
{
    int ends[2], size = 4 << 20;
    uint8_t prefix[18] = {4, 32, 0x64, 0x40, 0, own};
    struct node n = {.t = shim_transport_new()};
    CHECK(n.t && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) == 0 || setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    shim_attach_tun(n.t, ends[0], 1280);
    n.device = ends[1];
    n.port = shim_bind(n.t, 0, 4, 0);
    CHECK(n.port > 0);
    apply(n.t, 2, prefix, sizeof prefix);
    set_filter(n.t);
    set_peer(n.t, 1, other);
    return n;
}

static void close_node(struct node *n)
{
    shim_transport_free(n->t);
    close(n->device);
}

static void write_packet(uint8_t d[PACKET], uint32_t number)
{
    static const uint8_t head[24] = {0x45, 0, 0, PACKET, 0, 0, 0, 0, 64, 17, 0, 0, 0x64, 0x40, 0, 1, 0x64, 0x40, 0, 2, 0, 9, 0, 9};
    memset(d, 0, PACKET);
    memcpy(d, head, sizeof head);
    d[24 + 1] = PACKET - 20;
    memcpy(d + 28, &number, 4);
}

static struct node a, b;
static atomic_uint received;
static atomic_int finished;

static void *send_numbered(void *nothing)
{
    uint8_t packet[PACKET];
    for (uint32_t i = 0; i < PACKETS; i++) {
        while (i - atomic_load(&received) >= WINDOW) /* no more under way than every buffer takes */
            sched_yield();
        write_packet(packet, i);
        CHECK(send(a.device, packet, sizeof packet, 0) == sizeof packet);
    }
    return nothing;
}

static void *receive_numbered(void *nothing)
{
    static uint8_t seen[PACKETS];
    uint8_t packet[2000];
    struct pollfd p = {.fd = b.device, .events = POLLIN};
    for (uint32_t i = 0, number; i < PACKETS; i++) {
        CHECK(poll(&p, 1, 20000) == 1); /* none is lost */
        CHECK(recv(b.device, packet, sizeof packet, 0) == PACKET);
        memcpy(&number, packet + 28, 4);
        CHECK(number < PACKETS && !seen[number]); /* loopback has a queue for each processor: one may be overtaken */
        seen[number] = 1;
        atomic_store(&received, i + 1);
    }
    atomic_store(&finished, 1);
    return nothing;
}

static void introduce(void)
{
    a = open_node(1, 2);
    b = open_node(2, 1);
    set_path(a.t, b.port);
    set_path(b.t, a.port);
    set_session(b.t, 1, 1, 500, 400, 2, 1);
    CHECK(shim_start(a.t, 6) == 0 && shim_start(b.t, 6) == 0);
    set_session(a.t, 1, 0, 400, 500, 1, 2);
}

/* What else goes on in a node, none of it in the way of the packets. */
static void change_something(uint32_t round)
{
    static uint8_t out[1 << 17];
    uint64_t counters[64], stats[4], lost;
    struct node *n = round & 1 ? &a : &b;
    set_peer(n->t, 50, 50);
    set_session(n->t, 50, (uint8_t)(round & 1), 9000 + round, 1, 7, 7);
    set_filter(n->t);
    shim_set_features(n->t, round & 2 ? FEATURES_ALL : FEATURES_ALL & ~(unsigned)FEATURE_LANES);
    if (shim_capture_start(n->t, 1 + (int)(round & 1), -1, 64) == 0) {
        shim_capture_take(n->t, out, sizeof out, &lost);
        shim_capture_stop(n->t);
    }
    CHECK(shim_counters(n->t, counters, 64) > 0 && shim_peer_stats(n->t, 1, stats));
    shim_poll(n->t, out, sizeof out);
    remove_peer(n->t, 50);
}

static void test_rotation(void)
{
    pthread_t sender, receiver;
    uint32_t rotated = 0;
    introduce();
    CHECK(pthread_create(&receiver, NULL, receive_numbered, NULL) == 0 && pthread_create(&sender, NULL, send_numbered, NULL) == 0);
    for (uint32_t round = 0, last = 0; !atomic_load(&finished); round++) {
        change_something(round);
        if (atomic_load(&received) - last < ROTATE_AFTER) /* the one before has not been used yet, which two minutes apart it would */
            continue;
        rotated++;
        set_session(b.t, 1, 1, 500 + rotated, 400 + rotated, 2, 1);
        set_session(a.t, 1, 0, 400 + rotated, 500 + rotated, 1, 2);
        last = atomic_load(&received);
    }
    CHECK(pthread_join(sender, NULL) == 0 && pthread_join(receiver, NULL) == 0);
    CHECK(rotated > 20);
    for (int i = 0; i < DROP_COUNT; i++)
        CHECK(atomic_load(&a.t->drops[i]) == 0 && atomic_load(&b.t->drops[i]) == 0);
    close_node(&a);
    close_node(&b);
}

/* -- removal */

static void *send_without_end(void *nothing)
{
    uint8_t packet[PACKET];
    fcntl(a.device, F_SETFL, O_NONBLOCK);
    for (uint32_t i = 0; !atomic_load(&finished); i++) {
        write_packet(packet, i);
        if (send(a.device, packet, sizeof packet, 0) < 0)
            sched_yield();
    }
    return nothing;
}

/* How many packets are there, at once or within some ms. */
static int readable(int fd, int ms)
{
    uint8_t packet[2000];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int count = 0;
    while (poll(&p, 1, count ? 0 : ms) == 1 && recv(fd, packet, sizeof packet, MSG_DONTWAIT) > 0)
        count++;
    return count;
}

static void test_removal(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    pthread_t sender;
    int outside = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(outside >= 0 && bind(outside, (struct sockaddr *)&here, size) == 0 && getsockname(outside, (struct sockaddr *)&here, &size) == 0);
    introduce();
    atomic_store(&finished, 0);
    CHECK(pthread_create(&sender, NULL, send_without_end, NULL) == 0);
    for (uint32_t i = 1; i < 6; i++) { /* the receiver forgets the sender */
        CHECK(readable(b.device, 20000) > 0);
        remove_peer(b.t, 1);
        readable(b.device, 0); /* what came before */
        CHECK(readable(b.device, 20) == 0);
        set_peer(b.t, 1, 1);
        set_path(b.t, a.port);
        set_session(b.t, 1, 1, 500 + i, 400 + i, 2, 1);
        set_session(a.t, 1, 0, 400 + i, 500 + i, 1, 2);
    }
    for (uint32_t i = 6; i < 12; i++) { /* the sender forgets the receiver */
        set_path(a.t, ntohs(here.sin_port));
        CHECK(readable(outside, 20000) > 0);
        remove_peer(a.t, 1);
        readable(outside, 0);
        CHECK(readable(outside, 20) == 0);
        set_peer(a.t, 1, 2);
        set_session(a.t, 1, 0, 400 + i, 500 + i, 1, 2);
    }
    atomic_store(&finished, 1);
    CHECK(pthread_join(sender, NULL) == 0);
    close(outside);
    close_node(&a);
    close_node(&b);
}

/* -- a thread that crashes */

/* A fault in a worker ends the process, so nobody goes on with what it held; what outlives the process is never written by a worker. */
static void test_crash(void)
{
    uint8_t packet[PACKET];
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        dup2(open("/dev/null", O_WRONLY), 2); /* the sanitizer's report */
        introduce();
        b.t->filter = (struct filter *)8;
        for (uint32_t i = 0; i < 100; i++) {
            write_packet(packet, i);
            send(a.device, packet, sizeof packet, 0);
            usleep(50000);
        }
        _exit(0); /* it lived on */
    }
    CHECK(waitpid(child, &status, 0) == child && (WIFSIGNALED(status) || WEXITSTATUS(status) != 0));
}

/* -- the ring */

static void *offer(void *number)
{
    uint8_t disco[124] = "TS\xf0\x9f\x92\xac";
    struct path from = {.family = 4, .port = 5, .address = {10, 0, 0, (uint8_t)(uintptr_t)number}};
    for (int i = 0; i < OFFERS; i++)
        CHECK(shim_datagram(a.t, (const uint8_t *)&from, disco, sizeof disco));
    return NULL;
}

static void test_ring(void)
{
    static uint8_t out[1 << 17];
    pthread_t writers[3];
    int64_t bytes = 0;
    a = open_node(1, 2);
    for (uintptr_t i = 0; i < 3; i++)
        CHECK(pthread_create(&writers[i], NULL, offer, (void *)(i + 1)) == 0);
    while (bytes < 3 * OFFERS * (80 + 124)) {
        struct pollfd p = {.fd = shim_fileno(a.t), .events = POLLIN};
        CHECK(poll(&p, 1, 20000) == 1);
        bytes += shim_poll(a.t, out, sizeof out);
    }
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(writers[i], NULL) == 0);
    CHECK(bytes == 3 * OFFERS * (80 + 124) && atomic_load(&a.t->to_python) == 3 * OFFERS);
    close_node(&a);
}

int main(void)
{
    test_crash();
    test_order();
    test_ring();
    test_rotation();
    test_removal();
    return 0;
}
