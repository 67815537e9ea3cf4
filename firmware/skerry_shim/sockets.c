/* UDP sockets, one for each uplink and family: opened with large buffers, replaced by bind, told what they may offload to the kernel. What goes
 * through them is in udp.c. */
#include "sockets.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "transport.h"

#define BUFFER_BYTES (4 << 20)

static void enlarge(int fd, int forced, int plain)
{
    int size = BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size); /* then the system's limit holds */
}

socklen_t socket_address(union any_address *a, int family, const uint8_t *address, uint16_t port)
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

void socket_path(struct path *p, const union any_address *a, int uplink)
{
    memset(p, 0, sizeof *p);
    p->uplink = (uint8_t)uplink;
    p->family = a->plain.sa_family == AF_INET ? 4 : 6;
    p->port = ntohs(p->family == 4 ? a->v4.sin_port : a->v6.sin6_port);
    if (p->family == 4)
        memcpy(p->address, &a->v4.sin_addr, 4);
    else
        memcpy(p->address, &a->v6.sin6_addr, 16);
}

void socket_prepare(int fd, int family)
{
    int on = 1, may_cut = IP_PMTUDISC_DONT;
    enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    /* without it ECN ends here, which is no reason to do without the socket */
    setsockopt(fd, family == 4 ? IPPROTO_IP : IPPROTO_IPV6, family == 4 ? IP_RECVTOS : IPV6_RECVTCLASS, &on, sizeof on);
    /* IPv4 goes out without DF, so that a router with a small MTU cuts it and does not lose it (the system's default sets DF and trusts that
     * ICMP comes through); IPv6 is cut by this host once a router has told it. So nothing the tunnel carries is too big for a socket. */
    if (family == 4)
        setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &may_cut, sizeof may_cut);
}

/* A bound socket, or -errno. */
static int open_socket(int family, uint16_t *port)
{
    static const uint8_t any[16];
    union any_address a;
    int on = 1, error;
    socklen_t len = socket_address(&a, family, any, *port);
    int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    socket_prepare(fd, family);
    if ((family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) || bind(fd, &a.plain, len) < 0 ||
        getsockname(fd, &a.plain, &len) < 0) {
        error = errno;
        close(fd);
        return -error;
    }
    *port = ntohs(family == 4 ? a.v4.sin_port : a.v6.sin6_port);
    return fd;
}

int socket_find(const transport *t, int uplink, int family)
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
    int mark = OUTSIDE_MARK;
    setsockopt(fresh.fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark); /* not without CAP_NET_ADMIN, which whoever routes has */
    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fresh.fd, &event) < 0)
        return -errno;
    if (slot < t->socket_count)
        close(t->sockets[slot].fd);
    else
        t->socket_count++;
    t->sockets[slot] = fresh;
    socket_offload(t, slot);
    return 0;
}

static int bind_locked(transport *t, int uplink, int family, uint16_t port)
{
    int slot = socket_find(t, uplink, family), result;
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

int shim_adopt_socket(transport *t, int uplink, int fd)
{
    int family, port = shim_socket_inspect(fd, &family), result;
    if (port < 0)
        return port;
    pthread_rwlock_wrlock(&t->table);
    int slot = socket_find(t, uplink, family);
    if (slot < 0 && t->socket_count == MAX_SOCKETS)
        result = -EMFILE;
    else
        result = place(t, slot < 0 ? t->socket_count : slot, (struct udp_socket){fd, (uint8_t)uplink, (uint8_t)family, (uint16_t)port});
    pthread_rwlock_unlock(&t->table);
    return result < 0 ? result : port;
}

static void set_bit(atomic_uint *bits, int slot, int on)
{
    if (on)
        atomic_fetch_or(bits, 1u << slot);
    else
        atomic_fetch_and(bits, ~(1u << slot));
}

void socket_offload(transport *t, int slot)
{
    int fd = t->sockets[slot].fd, none = 0, gro = (t->wanted & FEATURE_GRO) != 0;
    int accepted = setsockopt(fd, IPPROTO_UDP, SOCKET_GRO, &gro, sizeof gro) == 0;
    set_bit(&t->gro_slots, slot, gro && accepted);
    accepted = setsockopt(fd, IPPROTO_UDP, SOCKET_SEGMENT, &none, sizeof none) == 0; /* each send names its size */
    set_bit(&t->segment_slots, slot, (t->wanted & FEATURE_SEGMENT) && accepted);
}

/* -- datagrams that kernels gather and cut */

size_t socket_gathered(struct msghdr *m, size_t len, int *ecn)
{
    size_t size = len;
    int value;
    *ecn = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS && c->cmsg_len >= CMSG_LEN(1)) {
            *ecn = *CMSG_DATA(c) & 3;
            continue;
        }
        if (c->cmsg_len < CMSG_LEN(sizeof value))
            continue;
        memcpy(&value, CMSG_DATA(c), sizeof value);
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == SOCKET_GRO && value > 0 && (size_t)value < len)
            size = (size_t)value;
        else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
            *ecn = value & 3;
    }
    return size;
}

static void put_control(struct msghdr *m, union control *control, int level, int type, const void *value, size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)(control->bytes + m->msg_controllen);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};
    memcpy(CMSG_DATA(c), value, len);
    m->msg_control = control;
    m->msg_controllen += CMSG_SPACE(len);
}

void socket_put_size(struct msghdr *m, union control *control, size_t size)
{
    uint16_t value = (uint16_t)size;
    put_control(m, control, IPPROTO_UDP, SOCKET_SEGMENT, &value, sizeof value);
}

void socket_put_ecn(struct msghdr *m, union control *control, int family, int ecn)
{
    if (family == 4)
        put_control(m, control, IPPROTO_IP, IP_TOS, &ecn, sizeof ecn);
    else
        put_control(m, control, IPPROTO_IPV6, IPV6_TCLASS, &ecn, sizeof ecn);
}

int socket_send_all(int fd, struct mmsghdr *messages, int count)
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

int socket_refuses_run(int error)
{
    return error == EMSGSIZE || error == EINVAL || error == EIO || error == EOPNOTSUPP || error == ENOPROTOOPT;
}
