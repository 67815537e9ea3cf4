/* ChaCha20-Poly1305 over libcrypto with a context that keeps its key; see aead.c. */
#ifndef SKERRY_AEAD_H
#define SKERRY_AEAD_H
#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#define AEAD_TAG 16

/* One message of a batch, sealed or opened in place. */
struct aead_item {
    uint8_t *data;    /* the packet; its tag is the 16 bytes behind */
    size_t len;       /* without the tag */
    uint64_t counter; /* the nonce is 4 zero bytes and the counter, little-endian */
    int ecn;          /* of the packet; of the datagram it came in (ecn.h). Not looked at here */
    int ok;           /* 1: done; 0: its bytes are of no use */
};

/* A context with its key set for one direction; NULL when libcrypto fails. Freed, and its key wiped, by EVP_CIPHER_CTX_free. */
EVP_CIPHER_CTX *aead_new(const uint8_t *key, int seal);
/* out: len + 16 bytes; may be the same as in. 1 done, -1 libcrypto failed. */
int aead_seal(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *nonce12, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len);
/* len counts the tag; out: len - 16 bytes, may be the same as in. 1 done, 0 not authentic, -1 libcrypto failed. */
int aead_open(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *nonce12, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len);
/* Messages under one key, no additional data; lanes: those that fit may be done several at a time (lanes.h). Any thread, without a lock; no
 * key is kept. */
void aead_seal_items(const uint8_t key[32], struct aead_item *items, int count, int lanes);
void aead_open_items(const uint8_t key[32], struct aead_item *items, int count, int lanes);
#endif
