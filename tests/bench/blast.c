/* UDP in numbers: `blast send ADDRESS PORT BYTES PER_SECOND MILLISECONDS` sends numbered datagrams at that rate; `blast receive ADDRESS PORT` counts
 * different ones until none came for 300 ms after the first, and prints how many came and over how many ms.
 *
 * A datagram begins with its number, u32 little-endian. Up to 16 leave with one call; the sender keeps the rate on the average and never sends
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

enum { BATCH = 16, TAKE = 64, MOST = 1 << 24, BUFFER = 4 << 20, QUIET_MS = 300, PATIENCE_MS = 8000 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int open_socket(const char *address, int port, int receive)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = BUFFER;
    if (fd < 0 || inet_pton(AF_INET, address, &a.sin_addr) != 1)
        return -1;
    setsockopt(fd, SOL_SOCKET, receive ? SO_RCVBUFFORCE : SO_SNDBUFFORCE, &size, sizeof size);
    int result = receive ? bind(fd, (struct sockaddr *)&a, sizeof a) : connect(fd, (struct sockaddr *)&a, sizeof a);
    return result < 0 ? -1 : fd;
}

static int send_all(int fd, size_t bytes, double per_ms, double ms)
{
    static uint8_t data[BATCH][65507];
    struct iovec v[BATCH];
    struct mmsghdr m[BATCH];
    double start = now_ms(), lost = 0;
    uint32_t sent = 0;
    memset(m, 0, sizeof m);
    for (int i = 0; i < BATCH; i++) {
        v[i] = (struct iovec){data[i], bytes};
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    }
    for (double at; (at = now_ms() - start) < ms && sent < MOST;) {
        double due = (at - lost) * per_ms - sent;
        if (due > per_ms + BATCH) /* we were held up: that time is gone */
            lost += (due - BATCH) / per_ms;
        int n = due > BATCH ? BATCH : (int)due;
        if (n < 1) {
            struct timespec rest = {0, 20000};
            nanosleep(&rest, NULL);
            continue;
        }
        for (int i = 0; i < n; i++)
            memcpy(data[i], &(uint32_t){sent + (uint32_t)i}, 4);
        n = sendmmsg(fd, m, (unsigned)n, 0);
        if (n < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
            return perror("send"), 1;
        sent += n > 0 ? (uint32_t)n : 0;
    }
    printf("%u %.3f\n", sent, now_ms() - start);
    return 0;
}

static int receive_all(int fd)
{
    static uint8_t data[TAKE][2048], seen[MOST / 8];
    struct iovec v[TAKE];
    struct mmsghdr m[TAKE];
    struct pollfd p = {fd, POLLIN, 0};
    uint32_t count = 0, number;
    double first = 0, last = 0;
    memset(m, 0, sizeof m);
    for (int i = 0; i < TAKE; i++) {
        v[i] = (struct iovec){data[i], sizeof data[i]};
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    }
    printf("ready\n");
    fflush(stdout);
    while (poll(&p, 1, count ? QUIET_MS : PATIENCE_MS) > 0) {
        int n = recvmmsg(fd, m, TAKE, MSG_DONTWAIT, NULL);
        last = now_ms();
        first = first ? first : last;
        for (int i = 0; i < n; i++) {
            memcpy(&number, data[i], 4);
            if (m[i].msg_len >= 4 && number < MOST && !(seen[number / 8] >> number % 8 & 1)) {
                seen[number / 8] |= (uint8_t)(1 << number % 8);
                count++;
            }
        }
    }
    printf("%u %.3f\n", count, last - first);
    return 0;
}

int main(int argc, char **argv)
{
    int receive = argc == 4 && !strcmp(argv[1], "receive"), send = argc == 7 && !strcmp(argv[1], "send");
    if (!receive && !send)
        return fprintf(stderr, "usage: blast send ADDRESS PORT BYTES PER_SECOND MILLISECONDS | blast receive ADDRESS PORT\n"), 2;
    int fd = open_socket(argv[2], atoi(argv[3]), receive);
    if (fd < 0)
        return perror(argv[2]), 1;
    if (receive)
        return receive_all(fd);
    size_t bytes = (size_t)atoi(argv[4]);
    return bytes < 4 || bytes > 65507 ? 2 : send_all(fd, bytes, atof(argv[5]) / 1e3, atof(argv[6]));
}
