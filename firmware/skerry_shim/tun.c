/* The TUN device: raw IP packets, one a read or write, no header in front (IFF_TUN | IFF_NO_PI). Addresses, routes and "up" are the node's. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport.h"

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

int shim_tun_open(char *name, int mtu)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    memcpy(request.ifr_name, name, IFNAMSIZ - 1);
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

void tun_deliver(transport *t, const uint8_t *packet, size_t len)
{
    if (t->tun_fd < 0 && !t->started)
        to_tests(t, packet, len);
    else if (t->tun_fd < 0 || write(t->tun_fd, packet, len) < 0)
        drop(t, DROP_tun);
}

int tun_read_batch(transport *t, uint8_t *buffers)
{
    struct outbox o = {.t = t};
    ssize_t sizes[BATCH];
    int count = 0;
    for (; count < BATCH; count++) {
        sizes[count] = read(t->tun_fd, buffers + (size_t)count * SLOT + DATA_HEADER, MAX_PACKET);
        if (sizes[count] < 0)
            break;
    }
    int broken = count == 0 && errno != EAGAIN && errno != EINTR;
    pthread_rwlock_rdlock(&t->table);
    for (int i = 0; i < count; i++)
        outbound_packet(&o, buffers + (size_t)i * SLOT + DATA_HEADER, (size_t)sizes[i]);
    outbox_flush(&o);
    pthread_rwlock_unlock(&t->table);
    return !broken;
}
