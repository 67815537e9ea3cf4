/* BLAKE2s, HMAC-BLAKE2s and Noise's HKDF over libcrypto; see blake.c and shim.h. */
#ifndef SKERRY_BLAKE_H
#define SKERRY_BLAKE_H
#include <stddef.h>
#include <stdint.h>

/* BLAKE2s-256 of two pieces. 1 done, -1 libcrypto failed. */
int blake2s_pair(uint8_t *out, const void *a, size_t a_len, const void *b, size_t b_len);
#endif
