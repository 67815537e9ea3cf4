/* ChaCha20-Poly1305 of several messages at a time, a lane each; see lanes.c. */
#ifndef SKERRY_LANES_H
#define SKERRY_LANES_H
#include <stdint.h>

#include "aead.h"

int lanes_available(void); /* this processor has what it takes */
/* Messages under one key. ok of those that were done is set to 1, or to 0 where the tag is wrong; the rest is left for others to do: messages
 * that have too few neighbours of their length, or a length that is no multiple of 16. */
void lanes_seal(const uint8_t key[32], struct aead_item *items, int count);
void lanes_open(const uint8_t key[32], struct aead_item *items, int count);
#endif
