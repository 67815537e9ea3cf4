/* A transaction while it is judged: its changes as packed by changes.py, the draft of what would be, and the checks; see draft.c. */
#ifndef SKERRY_DRAFT_H
#define SKERRY_DRAFT_H
#include <string.h>

#include "transport.h"

enum { IDENTITY = 1, ADDRESSES, LOCAL_ROUTES, PEER, REMOVE, PATHS, SESSION, EXPIRE, ARM, KEEPALIVE, FILTER, RELAY, PURGE,
    RESUME, NOTED, FLOWS, MTU, OPERATIONS }; /* RESUME to FLOWS: handover.c */
enum { RESUME_PREVIOUS, RESUME_CURRENT, RESUME_NEXT, RESUME_SLOTS };
enum { RESUME_SIZE = 98 + 8 * REPLAY_WORDS, NOTED_SIZE = 41 };

struct change {
    int operation;
    uint8_t *body;
    size_t len;
};

struct draft {
    transport *t;
    struct map peers, keys, sessions; /* by number, key, index: mark() of the peer that has it, or GONE; nothing: as in t */
    int sessions_drafted; /* some of them are new: a removal has to look for its own */
    void **made;
    size_t made_count, made_used, made_room;
    char *error;
    size_t error_size;
};

/* Unaligned, little-endian. */
static inline uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Each judges one change of a length that fits, over the draft: 1, or 0 and the sentence is in d->error. */
typedef int check_fn(struct draft *d, struct change *c);
check_fn check_identity, check_addresses, check_local_routes, check_peer, check_remove, check_paths, check_session, check_expire, check_arm,
    check_nothing, check_filter, check_resume, check_noted, check_flows;

int draft_has_peer(const struct draft *d, uint64_t id);
int draft_fail(struct draft *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
void draft_free(struct draft *d); /* not what was made */

/* handover.c */
struct session *resume_session(const uint8_t *body);
void do_resume(struct draft *d, struct change *c);
void do_noted(struct draft *d, struct change *c);
void do_flows(struct draft *d, struct change *c);
#endif
