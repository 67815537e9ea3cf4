/* Forged handshakes: `forge ADDRESS PORT PER_SECOND MILLISECONDS` sends the 148-byte messages of its standard input, in turns, at that rate, each
 * from a made-up IPv4 source. Prints how many left, and over how many ms. Needs CAP_NET_RAW.
 *
 * IPv4 header (RFC 791) and UDP header (RFC 768, without a checksum), written by hand; up to 32 datagrams leave with one call. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 148, HEADERS = 28, WHOLE = HEADERS + MESSAGE, MOST = 4096, BATCH = 32 };

static uint8_t messages[MOST][MESSAGE];

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static uint32_t any_number(void) /* xorshift32 */
{
    static uint32_t seed = 2463534242u;
    seed ^= seed << 13;
    seed ^= seed >> 17;
    return seed ^= seed << 5;
}

static void write_datagram(uint8_t *d, const struct sockaddr_in *to, const uint8_t *message)
{
    uint32_t source = any_number();
    uint16_t source_port = (uint16_t)(1024 + any_number() % 60000), port = ntohs(to->sin_port), udp = 8 + MESSAGE;
    uint8_t head[HEADERS] = {0x45, 0, 0, WHOLE, 0, 0, 0, 0, 64, IPPROTO_UDP, 0, 0, (uint8_t)(11 + source % 80), (uint8_t)(source >> 8), (uint8_t)(source >> 16), (uint8_t)(source >> 24)};
    memcpy(head + 16, &to->sin_addr, 4);
    head[20] = (uint8_t)(source_port >> 8);
    head[21] = (uint8_t)source_port;
    head[22] = (uint8_t)(port >> 8);
    head[23] = (uint8_t)port;
    head[24] = (uint8_t)(udp >> 8);
    head[25] = (uint8_t)udp;
    memcpy(d, head, HEADERS);
    memcpy(d + HEADERS, message, MESSAGE);
}

static int send_some(int fd, struct sockaddr_in *to, int count, int known)
{
    static uint8_t datagrams[BATCH][WHOLE];
    struct iovec v[BATCH];
    struct mmsghdr m[BATCH];
    static int next;
    for (int i = 0; i < count; i++) {
        write_datagram(datagrams[i], to, messages[next++ % known]);
        v[i] = (struct iovec){datagrams[i], WHOLE};
        m[i] = (struct mmsghdr){.msg_hdr = {.msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &v[i], .msg_iovlen = 1}};
    }
    return sendmmsg(fd, m, (unsigned)count, 0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    int known = (int)(fread(messages, MESSAGE, MOST, stdin)), fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), n;
    if (argc != 5 || known < 1 || fd < 0 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
        fprintf(stderr, "usage: forge ADDRESS PORT PER_SECOND MILLISECONDS < messages of %d bytes; it needs CAP_NET_RAW\n", MESSAGE);
        return 2;
    }
    to.sin_port = htons((uint16_t)atoi(argv[2]));
    double per_ms = atof(argv[3]) / 1e3, ms = atof(argv[4]), start = now_ms(), passed;
    long sent = 0;
    while ((passed = now_ms() - start) < ms) {
        long due = (long)(passed * per_ms) - sent;
        if (due <= 0) {
            usleep(200);
        } else if ((n = send_some(fd, &to, due > BATCH ? BATCH : (int)due, known)) > 0) {
            sent += n;
        } else {
            perror("forge");
            return 1;
        }
    }
    printf("%ld %.1f\n", sent, passed);
    return 0;
}
