/* The inbound packet filter over rules compiled by skerry_core.filter; see filter.c. */
#ifndef SKERRY_FILTER_H
#define SKERRY_FILTER_H
#include "allowedips.h"
#include "flows.h"
#include "packet.h"

enum verdict {
    FILTER_ACCEPT,
    FILTER_MALFORMED,
    FILTER_MULTICAST,
    FILTER_LINK_LOCAL,
    FILTER_DESTINATION,
    FILTER_TSMP,
    FILTER_REFUSED,
};

struct filter; /* immutable */

struct filter *filter_new(const uint8_t *compiled, size_t len); /* NULL: not of the layout */
void filter_free(struct filter *f);
const uint8_t *filter_bytes(const struct filter *f, size_t *len); /* what it was made from; f may be NULL */
/* MULTICAST or LINK_LOCAL whatever the rules say, in both directions, or ACCEPT. */
enum verdict filter_unfit(const struct packet *p);
/* local: who owns our destinations; f NULL allows nothing. */
enum verdict filter_inbound(const struct filter *f, const struct allowedips *local, struct flows *flows, const struct packet *p);
#endif
