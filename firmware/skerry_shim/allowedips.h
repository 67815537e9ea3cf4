/* Longest-prefix match from addresses to owners; see allowedips.c. */
#ifndef SKERRY_ALLOWEDIPS_H
#define SKERRY_ALLOWEDIPS_H
#include <stdint.h>

struct prefix {
    uint8_t family; /* 4 or 6 */
    uint8_t bits;
    uint8_t address[16]; /* IPv4 in the first 4; bits beyond the prefix are zero */
};
_Static_assert(sizeof(struct prefix) == 18, "Python packs 18 bytes");

struct trie_node;
struct allowedips {
    struct trie_node *root4, *root6;
};

int prefix_normalize(struct prefix *p); /* clears the bits beyond; 0: family or bits are wrong */
void allowedips_insert(struct allowedips *t, const struct prefix *p, void *owner); /* the newest owner of a prefix has it */
void allowedips_remove(struct allowedips *t, const struct prefix *p, const void *owner); /* nothing when somebody else has it */
void *allowedips_lookup(const struct allowedips *t, int family, const uint8_t *address); /* NULL: nobody's */
void allowedips_free(struct allowedips *t);
#endif
