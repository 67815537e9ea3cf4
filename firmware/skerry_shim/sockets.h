/* Socket addresses, and the UDP options that older headers lack; see sockets.c. */
#ifndef SKERRY_SOCKETS_H
#define SKERRY_SOCKETS_H
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

enum { SOCKET_SEGMENT = 103, SOCKET_GRO = 104 }; /* linux/udp.h: UDP_SEGMENT (u16 with a send), UDP_GRO (int with what is received) */

union any_address {
    struct sockaddr plain;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

socklen_t socket_address(union any_address *a, int family, const uint8_t *address, uint16_t port); /* the length */
#endif
