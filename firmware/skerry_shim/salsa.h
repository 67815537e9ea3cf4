/* Salsa20's and ChaCha20's cores where libcrypto has no name for them; see salsa.c. */
#ifndef SKERRY_SALSA_H
#define SKERRY_SALSA_H
#include <stddef.h>
#include <stdint.h>

/* XOR len bytes with the Salsa20 stream of (key, nonce8), starting skip (< 64) bytes into block 0. */
void salsa20_xor(uint8_t *out, const uint8_t *in, size_t len, const uint8_t *key, const uint8_t *nonce8, size_t skip);
#endif
