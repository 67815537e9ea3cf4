/* The TUN device: raw IP packets, one a read or write (IFF_TUN | IFF_NO_PI), with a virtio header in front where the kernel has it
 * (IFF_VNET_HDR): then one read or write may be a super-packet of up to 64 KB. Addresses, routes and "up" are the node's. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "transport.h"
#include "work.h"

static int set_mtu(const char *name, int mtu)
{
    struct ifreq request = {.ifr_mtu = mtu};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    memcpy(request.ifr_name, name, IFNAMSIZ);
    int result = ioctl(fd, SIOCSIFMTU, &request) < 0 ? -errno : 0;
    close(fd);
    return result;
}

static int knows_header(int fd)
{
    unsigned features = 0;
    return ioctl(fd, TUNGETFEATURES, &features) == 0 && (features & IFF_VNET_HDR);
}

int shim_tun_open(char *name, int mtu, int header)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    memcpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (header && knows_header(fd))
        request.ifr_flags |= IFF_VNET_HDR;
    int result = ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0;
    memcpy(name, request.ifr_name, IFNAMSIZ);
    if (result == 0)
        result = set_mtu(name, mtu);
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

int shim_tun_offload(int fd, unsigned flags)
{
    return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) < 0 ? -errno : 0;
}

static void to_tests(transport *t, const uint8_t *packet, size_t len)
{
    struct record *r = record_new(len);
    if (!r)
        return;
    r->head.kind = EVENT_PACKET;
    memcpy(r->data, packet, len);
    pthread_mutex_lock(&t->ring_lock);
    int full = t->out_packets.count >= OUTPUT_RECORDS;
    if (!full)
        fifo_push(&t->out_packets, r);
    pthread_mutex_unlock(&t->ring_lock);
    if (full) {
        drop(t, DROP_output);
        free(r);
    }
}

enum { TUN_USO4 = 0x20, TUN_USO6 = 0x40 }; /* linux/if_tun.h since 6.2; only both together */

static unsigned offload_flags(unsigned features)
{
    return TUN_F_CSUM | (features & FEATURE_TSO ? TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN : 0) |
           (features & FEATURE_USO ? TUN_USO4 | TUN_USO6 : 0);
}

/* What the device copes with, from most to least; the kernel names none of it, it accepts or refuses. */
void tun_offload(transport *t)
{
    static const unsigned steps[] = {FEATURE_TSO | FEATURE_USO, FEATURE_TSO};
    struct ifreq request = {0};
    unsigned wanted = t->wanted, features = 0;
    if (t->tun_fd >= 0 && ioctl(t->tun_fd, TUNGETIFF, &request) == 0 && (request.ifr_flags & IFF_VNET_HDR)) {
        features = FEATURE_VNET | FEATURE_MERGE_TCP | FEATURE_MERGE_UDP;
        int i = 0;
        while (i < 2 && (!(steps[i] & wanted) || shim_tun_offload(t->tun_fd, offload_flags(steps[i] & wanted)) < 0))
            i++;
        if (i < 2)
            features |= steps[i] & wanted;
        else if (shim_tun_offload(t->tun_fd, TUN_F_CSUM) < 0)
            shim_tun_offload(t->tun_fd, 0);
    }
    atomic_store(&t->tun_features, features);
}

static int has_header(const transport *t)
{
    return (atomic_load_explicit(&t->tun_features, memory_order_relaxed) & FEATURE_VNET) != 0;
}

int tun_write(transport *t, const struct iovec *parts, int count)
{
    int skip = !has_header(t);
    if (t->tun_fd < 0)
        return ENODEV;
    while (writev(t->tun_fd, parts + skip, count - skip) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

int tun_write_packet(transport *t, const uint8_t *packet, size_t len)
{
    struct vnet_header none = {0};
    const struct iovec parts[2] = {{&none, sizeof none}, {(void *)packet, len}};
    return tun_write(t, parts, 2) == 0;
}

void tun_deliver(struct outbox *o, const uint8_t *packet, size_t len)
{
    transport *t = o->t;
    if (t->tun_fd < 0 && !t->started)
        to_tests(t, packet, len);
    else if (o->inward)
        coalesce_add(o->inward, packet, len);
    else if (!tun_write_packet(t, packet, len))
        drop(t, DROP_tun);
}

static void take_in(struct outbox *o, uint8_t *data, size_t len)
{
    struct vnet_header v = {0};
    size_t header = has_header(o->t) ? sizeof v : 0;
    if (len < header) {
        drop(o->t, DROP_malformed);
        return;
    }
    memcpy(&v, data, header);
    outbound_packet(o, &v, data + header, len - header);
}

/* Takes packets in until there is none, or enough: errno of the last read, or 0. */
static int read_some(struct outbox *o, uint8_t *buffer, int *reads)
{
    ssize_t len = 1;
    for (; len > 0 && *reads < RUN_MESSAGES && o->wire_used < WIRE_FILL; ++*reads) {
        len = read(o->t->tun_fd, buffer, SLOT);
        if (len > 0)
            take_in(o, buffer, (size_t)len);
    }
    return len < 0 ? errno : 0;
}

int tun_read_batch(struct work *w)
{
    transport *t = w->t;
    struct outbox o = {.t = t, .wire = w->wire, .wire_size = WIRE, .sealing = &w->sealing, .order = &t->outward};
    int reads = 0;
    pthread_rwlock_rdlock(&t->table);
    order_enter(&t->outward);
    int error = read_some(&o, w->tun_buffer, &reads);
    sealing_close(&o);
    uint64_t place = order_leave(&t->outward);
    sealing_seal(&o);
    order_wait(&t->outward, place);
    outbox_send(&o);
    order_done(&t->outward);
    pthread_rwlock_unlock(&t->table);
    return !error || reads > 1 || error == EAGAIN || error == EINTR;
}
