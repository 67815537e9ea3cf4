/* Socket addresses, and the UDP options that older headers lack; see sockets.c. */
#ifndef SKERRY_SOCKETS_H
#define SKERRY_SOCKETS_H
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "fifo.h"

enum { SOCKET_SEGMENT = 103, SOCKET_GRO = 104 }; /* linux/udp.h: UDP_SEGMENT (u16 with a send), UDP_GRO (int with what is received) */

enum { OUTSIDE_MARK = 0x530000 }; /* skerry_node/netlink.py routes what carries it (mask 0xff0000) past the tunnel */

union any_address {
    struct sockaddr plain;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

enum { SOCKET_CONTROL = CMSG_SPACE(sizeof(int)) };

union control { /* aligned as control messages have to be; room for the size of segments and for ECN */
    struct cmsghdr head;
    uint8_t bytes[2 * SOCKET_CONTROL];
};

socklen_t socket_address(union any_address *a, int family, const uint8_t *address, uint16_t port); /* the length */
void socket_path(struct path *p, const union any_address *a, int uplink); /* where something came from */
void socket_prepare(int fd, int family); /* large buffers, ECN told, no DF */
/* What the kernel tells of what it gives: the size of the datagrams in it (all of it when it is one), and their ECN. */
size_t socket_gathered(struct msghdr *m, size_t len, int *ecn);
void socket_put_size(struct msghdr *m, union control *control, size_t size); /* of the segments it is to be cut into */
void socket_put_ecn(struct msghdr *m, union control *control, int family, int ecn);
/* One call after the other for what is left; a message that is refused is skipped. How many went out. */
int socket_send_all(int fd, struct mmsghdr *messages, int count);
int socket_refuses_run(int error); /* the run, not the datagrams in it */
#endif
