/* The Internet checksum (RFC 1071) over bytes in memory; see checksum.c. */
#ifndef SKERRY_CHECKSUM_H
#define SKERRY_CHECKSUM_H
#include <stddef.h>
#include <stdint.h>

/* A sum goes on with every call; all parts but the last have an even length, at most 1 MiB each. Below 65536 after each call. */
uint32_t checksum_add(uint32_t sum, const uint8_t *data, size_t len);
uint32_t checksum_pseudo(int family, const uint8_t *ip, uint8_t protocol, size_t len); /* of the pseudo-header; len of the transport part */
void checksum_put(uint8_t *field, uint32_t sum);  /* complemented, as it stands in a packet */
void checksum_put0(uint8_t *field, uint32_t sum); /* UDP: never 0, which would say there is none */
void checksum_put_partial(uint8_t *field, uint32_t sum); /* as it is: whoever sends it on completes it */
#endif
