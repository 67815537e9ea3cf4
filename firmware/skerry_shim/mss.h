/* The maximum segment size that a TCP SYN names, lowered to what the tunnel carries; see mss.c. */
#ifndef SKERRY_MSS_H
#define SKERRY_MSS_H
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

/* p tells of the packet, whose checksum is complete and is kept right. mtu 0: unknown, nothing is done. 1: it was lowered. */
int mss_clamp(const struct packet *p, uint8_t *packet, size_t mtu);
#endif
