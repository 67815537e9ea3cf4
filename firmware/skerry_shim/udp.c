/* UDP sockets, one for each uplink and family: opened with large buffers, read and written in batches, never waited for. A datagram that
 * the socket will not take is dropped and counted; TCP inside the tunnel copes, and so does everything else that may lose packets. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport.h"

#define BUFFER_BYTES (4 << 20)

static void enlarge(int fd, int forced, int plain)
{
    int size = BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size); /* then the system's limit holds */
}

union any_address {
    struct sockaddr plain;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t make_address(union any_address *a, int family, const uint8_t *address, uint16_t port)
{
    memset(a, 0, sizeof *a);
    if (family == 4) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(port);
        memcpy(&a->v4.sin_addr, address, 4);
        return sizeof a->v4;
    }
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons(port);
    memcpy(&a->v6.sin6_addr, address, 16);
    return sizeof a->v6;
}

/* A bound socket, or -errno. */
static int open_socket(int family, uint16_t *port)
{
    static const uint8_t any[16];
    union any_address a;
    int on = 1, error;
    socklen_t len = make_address(&a, family, any, *port);
    int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    if ((family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) || bind(fd, &a.plain, len) < 0 ||
        getsockname(fd, &a.plain, &len) < 0) {
        error = errno;
        close(fd);
        return -error;
    }
    *port = ntohs(family == 4 ? a.v4.sin_port : a.v6.sin6_port);
    return fd;
}

static int find_socket(const transport *t, int uplink, int family)
{
    for (int i = 0; i < t->socket_count; i++)
        if (t->sockets[i].uplink == uplink && t->sockets[i].family == family)
            return i;
    return -1;
}

/* Watch the socket and put it in place of the one the slot had; 0 or -errno. */
static int place(transport *t, int slot, struct udp_socket fresh)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)slot};
    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fresh.fd, &event) < 0)
        return -errno;
    if (slot < t->socket_count)
        close(t->sockets[slot].fd);
    else
        t->socket_count++;
    t->sockets[slot] = fresh;
    return 0;
}

static int bind_locked(transport *t, int uplink, int family, uint16_t port)
{
    int slot = find_socket(t, uplink, family), result;
    if (slot >= 0 && port && t->sockets[slot].port == port)
        return port;
    if (slot < 0 && t->socket_count == MAX_SOCKETS)
        return -EMFILE;
    int fd = open_socket(family, &port);
    if (fd < 0)
        return fd; /* the old one stays */
    result = place(t, slot < 0 ? t->socket_count : slot, (struct udp_socket){fd, (uint8_t)uplink, (uint8_t)family, port});
    if (result < 0)
        close(fd);
    return result < 0 ? result : port;
}

int shim_bind(transport *t, int uplink, int family, uint16_t port)
{
    pthread_rwlock_wrlock(&t->table);
    int result = bind_locked(t, uplink, family, port);
    pthread_rwlock_unlock(&t->table);
    return result;
}

static void path_of(struct path *p, const struct udp_socket *s, const union any_address *a)
{
    memset(p, 0, sizeof *p);
    p->uplink = s->uplink;
    p->family = s->family;
    p->port = ntohs(s->family == 4 ? a->v4.sin_port : a->v6.sin6_port);
    if (s->family == 4)
        memcpy(p->address, &a->v4.sin_addr, 4);
    else
        memcpy(p->address, &a->v6.sin6_addr, 16);
}

void udp_receive(transport *t, int slot, uint8_t *buffers)
{
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    union any_address from[BATCH];
    struct outbox o = {.t = t};
    struct path path;
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){buffers + (size_t)i * SLOT, SLOT};
        messages[i] = (struct mmsghdr){.msg_hdr = {&from[i], sizeof from[i], &vectors[i], 1, NULL, 0, 0}};
    }
    pthread_rwlock_rdlock(&t->table);
    const struct udp_socket *s = &t->sockets[slot];
    int count = recvmmsg(s->fd, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        path_of(&path, s, &from[i]);
        inbound_datagram(&o, &path, vectors[i].iov_base, messages[i].msg_len);
    }
    outbox_flush(&o);
    pthread_rwlock_unlock(&t->table);
}

static void fill(struct mmsghdr *m, struct iovec *v, union any_address *to, const struct outbox_item *item)
{
    int header = item->path.id != 0;
    v[0] = (struct iovec){(void *)item->geneve, 8};
    v[1] = (struct iovec){(void *)item->data, item->len};
    *m = (struct mmsghdr){.msg_hdr = {.msg_name = to, .msg_iov = header ? v : v + 1, .msg_iovlen = header ? 2 : 1}};
    m->msg_hdr.msg_namelen = make_address(to, item->path.family, item->path.address, item->path.port);
}

/* A run of messages for one socket; one that is refused is skipped. */
static int send_run(int fd, struct mmsghdr *messages, int count)
{
    int sent = 0;
    for (int at = 0; at < count;) {
        int n = sendmmsg(fd, messages + at, (unsigned)(count - at), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        sent += n > 0 ? n : 0;
        at += n > 0 ? n : 1;
    }
    return sent;
}

int udp_send(transport *t, struct outbox_item *items, int count)
{
    struct mmsghdr messages[OUTBOX];
    struct iovec vectors[OUTBOX][2];
    union any_address to[OUTBOX];
    int sent = 0, run;
    for (int i = 0; i < count; i++)
        fill(&messages[i], vectors[i], &to[i], &items[i]);
    for (int i = 0; i < count; i += run) {
        int slot = find_socket(t, items[i].path.uplink, items[i].path.family);
        for (run = 1; i + run < count && items[i + run].path.uplink == items[i].path.uplink &&
                      items[i + run].path.family == items[i].path.family;)
            run++;
        if (slot >= 0)
            sent += send_run(t->sockets[slot].fd, messages + i, run);
    }
    return sent;
}
