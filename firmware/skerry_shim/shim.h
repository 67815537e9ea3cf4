/* What Python sees of the C: cffi reads this file as it stands, so it has functions and opaque types only. */

int shim_version(void);

/* crypto.c, salsa.c: 1 done, 0 the input is refused (low-order point, bad tag, bad signature), -1 libcrypto failed */
int shim_x25519(uint8_t *shared, const uint8_t *private_key, const uint8_t *public_key);
int shim_x25519_public(uint8_t *public_key, const uint8_t *private_key);
int shim_seal(uint8_t *out, const uint8_t *key, const uint8_t *nonce12, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len);
int shim_open(uint8_t *out, const uint8_t *key, const uint8_t *nonce12, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len);
int shim_xseal(uint8_t *out, const uint8_t *key, const uint8_t *nonce24, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len);
int shim_xopen(uint8_t *out, const uint8_t *key, const uint8_t *nonce24, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len);
int shim_box_key(uint8_t *box_key, const uint8_t *private_key, const uint8_t *public_key);
int shim_box_seal(uint8_t *out, const uint8_t *box_key, const uint8_t *nonce24, const uint8_t *in, size_t len);
int shim_box_open(uint8_t *out, const uint8_t *box_key, const uint8_t *nonce24, const uint8_t *in, size_t len);
int shim_blake2s(uint8_t *out, size_t size, const uint8_t *key, size_t key_len, const uint8_t *in, size_t len);
int shim_hmac(uint8_t *out, const uint8_t *key, size_t key_len, const uint8_t *in, size_t len);
int shim_hkdf(uint8_t *out, size_t n, const uint8_t *chaining_key, const uint8_t *in, size_t len);
int shim_ed25519_verify(const uint8_t *public_key, const uint8_t *signature, const uint8_t *message, size_t len);
void shim_hsalsa20(uint8_t *out, const uint8_t *key, const uint8_t *in16);
void shim_hchacha20(uint8_t *out, const uint8_t *key, const uint8_t *in16);
