/* BLAKE2s, HMAC-BLAKE2s and Noise's HKDF; see blake.c and shim.h. */
#ifndef SKERRY_BLAKE_H
#define SKERRY_BLAKE_H
#include <stddef.h>
#include <stdint.h>

/* What has been hashed so far. The last bytes wait in the block: who hashes the end of a message is told so. */
struct blake2s {
    uint32_t h[8];
    uint64_t length; /* of what went in */
    size_t waiting, size;
    uint8_t block[64];
};

void blake2s_start(struct blake2s *b, size_t size, const uint8_t *key, size_t key_len); /* size 1 to 32, key_len 0 to 32 */
void blake2s_add(struct blake2s *b, const void *data, size_t len);
void blake2s_end(struct blake2s *b, uint8_t *out); /* and wipe */

/* A key of which the first block is hashed already, for many short messages. */
void blake2s_prepare(struct blake2s *key_state, size_t size, const uint8_t *key, size_t key_len);
void blake2s_keyed(const struct blake2s *key_state, uint8_t *out, const void *data, size_t len);

void blake2s_pair(uint8_t *out, const void *a, size_t a_len, const void *b, size_t b_len); /* BLAKE2s-256 of two pieces */
#endif
