/* Packets on their way out, sealed together; see sealing.c. */
#ifndef SKERRY_SEALING_H
#define SKERRY_SEALING_H
#include <stddef.h>
#include <stdint.h>

#include "aead.h"

enum { SEALING_ITEMS = 256, SEALING_GROUPS = 32 };

struct outbox;
struct peer;
struct segments;

/* Packets of one peer under one session. */
struct seal_group {
    struct peer *peer;
    uint8_t key[32];
    int first, count;
};

struct sealing {
    struct peer *peer; /* whose packets are gathered behind the last group, or NULL */
    int gathered;      /* where they begin */
    int groups, count;
    struct seal_group group[SEALING_GROUPS];
    struct aead_item items[SEALING_ITEMS];
};

void sealing_add(struct outbox *o, struct peer *p, struct segments *s); /* all of it, side by side on the outbox's wire */
void sealing_close(struct outbox *o); /* give the packets gathered their counters, or keep them for a session that is to come */
void sealing_seal(struct outbox *o);
void sealing_post(struct outbox *o); /* into the outbox */
#endif
