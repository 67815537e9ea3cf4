/* UDP in batches: received with recvmmsg, where the kernel has gathered datagrams of one sender and size (UDP_GRO), sent with sendmmsg, where it cuts
 * runs apart (UDP_SEGMENT). Nothing waits: a datagram that the socket will not take is dropped and counted; TCP inside the tunnel copes,
 * and so does everything else that may lose packets. A run that is refused goes out message by message; when that works where the run did
 * not, and its size was not the reason, the socket gets no more runs. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "sockets.h"
#include "transport.h"
#include "work.h"

/* Forged handshakes come one by one, and waking for each costs more than judging it: after a small batch of nothing else some are left to
 * gather. */
enum { FLOOD_PAUSE_US = 300 };

static size_t headers(const struct path *p, size_t datagrams)
{
    return datagrams * (p->family == 4 ? 28 : 48);
}

static void take_in(struct outbox *o, const struct path *from, uint8_t *data, size_t len, size_t size)
{
    do {
        size_t n = len < size ? len : size;
        inbound_datagram(o, from, data, n);
        data += n;
        len -= n;
    } while (len);
}

size_t udp_receive(struct work *w, int slot)
{
    transport *t = w->t;
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    union any_address from[BATCH];
    union control controls[BATCH];
    struct outbox o = {.t = t, .opening = &w->opening, .inward = &w->inward};
    struct path path;
    size_t bytes = 0, wire = 0;
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){w->receive_buffers + (size_t)i * SLOT, SLOT};
        messages[i] = (struct mmsghdr){.msg_hdr = {&from[i], sizeof from[i], &vectors[i], 1, &controls[i], sizeof controls[i], 0}};
    }
    uint64_t data_before = w->opening.total;
    pthread_rwlock_rdlock(&t->table);
    const struct udp_socket *s = &t->sockets[slot];
    order_enter(&t->inward);
    int count = recvmmsg(s->fd, messages, BATCH, MSG_DONTWAIT, NULL);
    if (count <= 0) {
        order_stay_out(&t->inward);
        pthread_rwlock_unlock(&t->table);
        return 0;
    }
    w->opening.place = order_leave(&t->inward);
    for (int i = 0; i < count; i++) {
        size_t len = messages[i].msg_len;
        socket_path(&path, &from[i], s->uplink);
        size_t size = socket_gathered(&messages[i].msg_hdr, len, &o.ecn);
        if (capture_is(&t->capture, CAPTURE_OUTER))
            capture_received(t, &path, vectors[i].iov_base, len, size);
        take_in(&o, &path, vectors[i].iov_base, len, size);
        bytes += len;
        wire += len + headers(&path, size && len ? (len + size - 1) / size : 1);
    }
    atomic_fetch_add_explicit(&t->udp_received, wire, memory_order_relaxed);
    opening_flush(&o);
    order_wait(&t->inward, w->opening.place);
    coalesce_flush(&w->inward);
    outbox_flush(&o);
    order_done(&t->inward);
    pthread_rwlock_unlock(&t->table);
    if (count < BATCH / 2 && w->opening.total == data_before && atomic_load_explicit(&t->cookies.loaded, memory_order_relaxed))
        usleep(FLOOD_PAUSE_US);
    return bytes;
}

/* -- sending */

static void fill(struct mmsghdr *m, struct iovec *v, union any_address *to, union control *control, const struct outbox_item *item)
{
    v[0] = (struct iovec){(void *)item->geneve, GENEVE};
    v[1] = (struct iovec){(void *)item->data, item->len};
    *m = (struct mmsghdr){.msg_hdr = {.msg_name = to, .msg_iov = item->front ? v : v + 1, .msg_iovlen = item->front ? 2 : 1}};
    m->msg_hdr.msg_namelen = socket_address(to, item->path.family, item->path.address, item->path.port);
    if (item->ecn)
        socket_put_ecn(&m->msg_hdr, control, item->path.family, item->ecn);
}

/* A run, each message by itself. */
static int send_each(int fd, const struct outbox_item *item)
{
    struct mmsghdr messages[RUN_MESSAGES];
    struct iovec vectors[RUN_MESSAGES][2];
    union any_address to;
    union control control; /* the same for all */
    for (int i = 0; i < item->messages; i++) {
        size_t at = (size_t)i * item->size, rest = item->len - at;
        fill(&messages[i], vectors[i], &to, &control, item);
        vectors[i][1] = (struct iovec){(void *)(item->data + at), rest < item->size ? rest : item->size};
    }
    return socket_send_all(fd, messages, item->messages);
}

static int send_refused(transport *t, int slot, const struct outbox_item *item, int error)
{
    if (!socket_refuses_run(error))
        return 0;
    int sent = send_each(t->sockets[slot].fd, item);
    if (error != EMSGSIZE && sent == item->messages)
        atomic_fetch_and(&t->segment_slots, ~(1u << slot));
    return sent;
}

/* Items of one socket that does UDP_SEGMENT. */
static int send_runs(transport *t, int slot, const struct outbox_item *items, int count)
{
    struct mmsghdr messages[OUTBOX];
    struct iovec vectors[OUTBOX][2];
    union any_address to[OUTBOX];
    union control controls[OUTBOX];
    int sent = 0, n;
    for (int i = 0; i < count; i++) {
        fill(&messages[i], vectors[i], &to[i], &controls[i], &items[i]);
        if (items[i].messages > 1)
            socket_put_size(&messages[i].msg_hdr, &controls[i], items[i].size);
    }
    for (int at = 0; at < count;) {
        n = sendmmsg(t->sockets[slot].fd, messages + at, (unsigned)(count - at), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            sent += items[at].messages > 1 ? send_refused(t, slot, &items[at], errno) : 0;
            at++;
        }
        for (; n > 0; n--)
            sent += items[at++].messages;
    }
    return sent;
}

static void set_whole(int fd, int family, int whole)
{
    int v4 = whole ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT, v6 = whole ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_WANT;
    if (family == 4) {
        setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof v4);
    } else {
        setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof v6);
        setsockopt(fd, IPPROTO_IPV6, IPV6_DONTFRAG, &whole, sizeof whole);
    }
}

/* What else leaves the socket in this moment may be whole as well, which is a loss at worst; a refusal tells as much as no answer. */
void udp_probe(transport *t, const struct path *path, const uint8_t *data, size_t len)
{
    union any_address to;
    int slot = socket_find(t, path->uplink, path->family);
    if (slot < 0)
        return;
    socklen_t size = socket_address(&to, path->family, path->address, path->port);
    pthread_mutex_lock(&t->socket_options);
    set_whole(t->sockets[slot].fd, path->family, 1);
    if (sendto(t->sockets[slot].fd, data, len, MSG_DONTWAIT, &to.plain, size) > 0)
        atomic_fetch_add_explicit(&t->udp_sent, len + headers(path, 1), memory_order_relaxed);
    set_whole(t->sockets[slot].fd, path->family, 0);
    pthread_mutex_unlock(&t->socket_options);
}

static int send_group(transport *t, int slot, const struct outbox_item *items, int count)
{
    int sent = 0;
    if (slot < 0)
        return 0;
    if (atomic_load_explicit(&t->segment_slots, memory_order_relaxed) >> slot & 1)
        return send_runs(t, slot, items, count);
    for (int i = 0; i < count; i++)
        sent += send_each(t->sockets[slot].fd, &items[i]);
    return sent;
}

static size_t group_bytes(const struct outbox_item *items, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += items[i].len + headers(&items[i].path, (size_t)items[i].messages) + (items[i].front ? GENEVE * (size_t)items[i].messages : 0);
    return bytes;
}

int udp_send(transport *t, const struct outbox_item *items, int count)
{
    int sent = 0, run;
    for (int i = 0; i < count; i += run) {
        int slot = socket_find(t, items[i].path.uplink, items[i].path.family);
        for (run = 1; i + run < count && items[i + run].path.uplink == items[i].path.uplink &&
                      items[i + run].path.family == items[i].path.family;)
            run++;
        int went = send_group(t, slot, items + i, run);
        if (went)
            atomic_fetch_add_explicit(&t->udp_sent, group_bytes(items + i, run), memory_order_relaxed);
        sent += went;
    }
    return sent;
}
