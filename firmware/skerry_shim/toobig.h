/* The answer to a packet that the tunnel cannot carry; see toobig.c. */
#ifndef SKERRY_TOOBIG_H
#define SKERRY_TOOBIG_H
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

enum { TOOBIG_ROOM = 1280 };

/* The ICMP message for the sender of p into out; its length, or 0: nobody must be answered. */
size_t toobig_answer(uint8_t out[TOOBIG_ROOM], const struct packet *p, const uint8_t *packet, size_t mtu);
#endif
