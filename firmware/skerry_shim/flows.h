/* The flows seen outbound, whose replies the filter lets in; see flows.c. */
#ifndef SKERRY_FLOWS_H
#define SKERRY_FLOWS_H
#include <pthread.h>
#include <stdatomic.h>

#include "packet.h"

#define FLOW_GENERATION 256
#define FLOW_SLOTS 512

struct flow {
    uint8_t used, family, protocol, zero;
    uint16_t local_port, remote_port;
    uint8_t local[16], remote[16];
};
struct flows {
    pthread_mutex_t lock;
    atomic_uint_fast64_t serial; /* of the newest generation; no two anywhere have the same */
    int newest, count; /* which generation is filled, and how full it is */
    struct flow generation[2][FLOW_SLOTS];
};

void flows_init(struct flows *f);
void flows_outbound(struct flows *f, const struct packet *p); /* remember a UDP or SCTP packet that leaves */
int flows_reply(struct flows *f, const struct packet *p);     /* 1: answers a flow we remember */

/* For another process (handover.c). */
size_t flows_list(struct flows *f, struct flow out[2 * FLOW_GENERATION]); /* those remembered, the oldest generation first; how many */
int flow_valid(const struct flow *flow);                                  /* whether bytes from elsewhere are one */
void flows_add(struct flows *f, const struct flow *flow);
#endif
