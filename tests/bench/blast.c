/* UDP in numbers: `blast send ADDRESS PORT BYTES PER_SECOND MILLISECONDS` sends numbered datagrams at that rate; `blast receive ADDRESS PORT` counts
 * different ones until none came for 300 ms after the first, and prints how many came and over how many ms.
 *
 *   -g VNI       through a UDP relay: a Geneve header of that network id in front, on either side
 *   -p PORT      send from that port
 *   -s SEGMENTS  send so many at a time for the kernel to cut (UDP_SEGMENT); on the receiver any number means UDP_GRO
 *
 * A datagram begins with its number, u32 little-endian, behind the Geneve header if there is one. Up to 16 leave with one call; the sender keeps the rate on the average and never sends
 * faster to catch up with more than a millisecond. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 16, TAKE = 64, SEGMENT = 103, GRO = 104, LONGEST = 65507, MOST = 1 << 24, BUFFER = 4 << 20, QUIET_MS = 300, PATIENCE_MS = 8000 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int vni, own_port, segments = 1;

static int open_socket(const char *address, int port, int receive)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)own_port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = BUFFER;
    if (fd < 0 || inet_pton(AF_INET, address, &a.sin_addr) != 1)
        return -1;
    setsockopt(fd, SOL_SOCKET, receive ? SO_RCVBUFFORCE : SO_SNDBUFFORCE, &size, sizeof size);
    if (receive)
        return bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -1 : fd;
    return bind(fd, (struct sockaddr *)&own, sizeof own) < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -1 : fd;
}

static size_t head(uint8_t *data)
{
    const uint8_t geneve[8] = {0, 0, 0x7a, 0x12, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8), (uint8_t)vni, 0};
    memcpy(data, geneve, vni ? sizeof geneve : 0);
    return vni ? sizeof geneve : 0;
}

static int send_all(int fd, size_t bytes, double per_ms, double ms)
{
    static uint8_t data[BATCH][LONGEST];
    struct iovec v[BATCH];
    struct mmsghdr m[BATCH];
    double start = now_ms(), lost = 0;
    uint32_t sent = 0, number;
    int cut = (int)bytes, n;
    if (segments > 1 && setsockopt(fd, IPPROTO_UDP, SEGMENT, &cut, sizeof cut) < 0)
        return perror("UDP_SEGMENT"), 1;
    memset(m, 0, sizeof m);
    for (int i = 0; i < BATCH; i++) {
        v[i] = (struct iovec){data[i], bytes * (size_t)segments};
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    }
    for (double at; (at = now_ms() - start) < ms && sent < MOST;) {
        double due = (at - lost) * per_ms - sent;
        if (due > per_ms + BATCH * segments) /* we were held up: that time is gone */
            lost += (due - BATCH * segments) / per_ms;
        n = due > BATCH * segments ? BATCH : (int)(due / segments);
        if (n < 1) {
            struct timespec rest = {0, 20000};
            nanosleep(&rest, NULL);
            continue;
        }
        for (int i = 0; i < n * segments; i++) {
            uint8_t *one = data[i / segments] + bytes * (size_t)(i % segments);
            number = sent + (uint32_t)i;
            memcpy(one + head(one), &number, 4);
        }
        n = sendmmsg(fd, m, (unsigned)n, 0);
        if (n < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
            return perror("send"), 1;
        sent += n > 0 ? (uint32_t)(n * segments) : 0;
    }
    printf("%u %.3f\n", sent, now_ms() - start);
    return 0;
}

/* The size of the datagrams that the kernel gathered. */
static size_t gathered(struct msghdr *m, size_t len)
{
    int size;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == GRO) {
            memcpy(&size, CMSG_DATA(c), sizeof size);
            return (size_t)size;
        }
    return len;
}

static int receive_all(int fd)
{
    static uint8_t data[TAKE][LONGEST], seen[MOST / 8], control[TAKE][64], unused[8];
    struct iovec v[TAKE];
    struct mmsghdr m[TAKE];
    struct pollfd p = {fd, POLLIN, 0};
    uint32_t count = 0, number;
    double first = 0, last = 0;
    int gro = segments > 1;
    if (gro && setsockopt(fd, IPPROTO_UDP, GRO, &gro, sizeof gro) < 0)
        return perror("UDP_GRO"), 1;
    memset(m, 0, sizeof m);
    for (int i = 0; i < TAKE; i++)
        v[i] = (struct iovec){data[i], sizeof data[i]};
    printf("ready\n");
    fflush(stdout);
    while (poll(&p, 1, count ? QUIET_MS : PATIENCE_MS) > 0) {
        for (int i = 0; i < TAKE; i++)
            m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = sizeof control[i]};
        int n = recvmmsg(fd, m, TAKE, MSG_DONTWAIT, NULL);
        last = now_ms();
        first = first ? first : last;
        for (int i = 0; i < n; i++) {
            size_t len = m[i].msg_len, size = gathered(&m[i].msg_hdr, len), from = head(unused);
            for (size_t at = 0; at + from + 4 <= len; at += size) {
                memcpy(&number, data[i] + at + from, 4);
                if (number < MOST && !(seen[number / 8] >> number % 8 & 1)) {
                    seen[number / 8] |= (uint8_t)(1 << number % 8);
                    count++;
                }
            }
        }
    }
    printf("%u %.3f\n", count, last - first);
    return 0;
}

int main(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "g:p:s:")) != -1;)
        *(option == 'g' ? &vni : option == 'p' ? &own_port : &segments) = atoi(optarg);
    argc -= optind;
    argv += optind;
    int receive = argc == 3 && !strcmp(argv[0], "receive"), send = argc == 6 && !strcmp(argv[0], "send");
    if (!receive && !send)
        return fprintf(stderr, "usage: blast [-g VNI] [-p PORT] [-s SEGMENTS] send ADDRESS PORT BYTES PER_SECOND MILLISECONDS | receive ADDRESS PORT\n"), 2;
    int fd = open_socket(argv[1], atoi(argv[2]), receive);
    if (fd < 0)
        return perror(argv[1]), 1;
    if (receive)
        return receive_all(fd);
    size_t bytes = (size_t)atoi(argv[3]);
    if (bytes < 12 || segments < 1 || bytes * (size_t)segments > LONGEST)
        return fprintf(stderr, "blast: %zu bytes in %d segments; need 12 or more, %d in all\n", bytes, segments, LONGEST), 2;
    return send_all(fd, bytes, atof(argv[4]) / 1e3, atof(argv[5]));
}
