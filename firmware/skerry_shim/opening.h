/* Messages that arrived, opened together; see opening.c. */
#ifndef SKERRY_OPENING_H
#define SKERRY_OPENING_H
#include <stddef.h>
#include <stdint.h>

#include "aead.h"

enum { OPENING_ITEMS = 256, OPENING_GROUPS = 32 };

struct order;
struct outbox;
struct session;

/* Messages of one session that follow each other. */
struct open_group {
    struct session *session;
    int first, count;
};

struct opening {
    int groups, count;
    uint64_t total; /* messages so far */
    struct open_group group[OPENING_GROUPS];
    struct aead_item items[OPENING_ITEMS];
    struct order *order; /* wait there before anything is delivered; NULL: there is nobody else */
    uint64_t place;
};

/* A data message whose session is s, gathered in the outbox's opening, or opened and delivered at once where there is none. */
void opening_add(struct outbox *o, struct session *s, uint8_t *packet, size_t len, uint64_t counter);
void opening_flush(struct outbox *o); /* open and deliver all */
#endif
