/* The window that lets each packet counter in once; see replay.c. */
#ifndef SKERRY_REPLAY_H
#define SKERRY_REPLAY_H
#include <stdint.h>

#define REPLAY_WINDOW 8128
#define REPLAY_WORDS 128 /* of 64 bits: one word more than the window, so that clearing ahead cannot touch what is still inside */

struct replay {
    uint64_t newest; /* highest counter accepted */
    int any;         /* nothing accepted yet while 0 */
    uint64_t bits[REPLAY_WORDS];
};

int replay_fresh(const struct replay *r, uint64_t counter); /* 1: would be accepted */
int replay_accept(struct replay *r, uint64_t counter);      /* 1: was fresh and is now marked */
#endif
