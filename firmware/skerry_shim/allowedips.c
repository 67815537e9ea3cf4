/* Longest-prefix match: a binary trie with path compression, one for IPv4 and one for IPv6.
 *
 * A node stands for a prefix and has at most two children, each longer and agreeing with it on its bits; a node without owner exists only
 * where two branches part. Hence at most 2n nodes for n prefixes and at most 32 (128) steps for a lookup. It holds no lock. */
#include "allowedips.h"

#include <stdlib.h>
#include <string.h>

#include "map.h"

struct trie_node {
    uint8_t address[16];
    int bits;
    void *owner;
    struct trie_node *child[2];
};

static int bit_at(const uint8_t *address, int i)
{
    return address[i / 8] >> (7 - i % 8) & 1;
}

/* How many leading bits agree, at most max. */
static int common(const uint8_t *a, const uint8_t *b, int max)
{
    int i = 0;
    while (i + 8 <= max && a[i / 8] == b[i / 8])
        i += 8;
    while (i < max && bit_at(a, i) == bit_at(b, i))
        i++;
    return i;
}

int prefix_normalize(struct prefix *p)
{
    if (p->bits > (p->family == 4 ? 32 : p->family == 6 ? 128 : -1))
        return 0;
    for (int i = p->bits; i < 128; i++)
        p->address[i / 8] &= (uint8_t)~(0x80 >> i % 8);
    return 1;
}

static struct trie_node *node_new(const uint8_t *address, int bits, void *owner)
{
    struct trie_node *n = alloc_or_abort(sizeof *n);
    for (int i = 0; i < bits / 8; i++)
        n->address[i] = address[i];
    if (bits % 8)
        n->address[bits / 8] = (uint8_t)(address[bits / 8] & (0xff << (8 - bits % 8)));
    n->bits = bits;
    n->owner = owner;
    return n;
}

static struct trie_node **root_of(const struct allowedips *t, int family)
{
    return (struct trie_node **)(family == 4 ? &t->root4 : &t->root6);
}

void allowedips_insert(struct allowedips *t, const struct prefix *p, void *owner)
{
    struct trie_node **at = root_of(t, p->family);
    int bits = p->bits;
    for (;;) {
        struct trie_node *n = *at;
        int same = n ? common(n->address, p->address, n->bits < bits ? n->bits : bits) : 0;
        if (!n) {
            *at = node_new(p->address, bits, owner);
            return;
        }
        if (same == n->bits && same == bits) {
            n->owner = owner;
            return;
        }
        if (same == n->bits) {
            at = &n->child[bit_at(p->address, same)];
            continue;
        }
        struct trie_node *fork = node_new(p->address, same, same == bits ? owner : NULL);
        fork->child[bit_at(n->address, same)] = n;
        if (same < bits)
            fork->child[bit_at(p->address, same)] = node_new(p->address, bits, owner);
        *at = fork;
        return;
    }
}

/* Take a node without owner out when it has at most one child. */
static void prune(struct trie_node **at)
{
    struct trie_node *n = *at;
    if (!n || n->owner || (n->child[0] && n->child[1]))
        return;
    *at = n->child[0] ? n->child[0] : n->child[1];
    free(n);
}

void allowedips_remove(struct allowedips *t, const struct prefix *p, const void *owner)
{
    struct trie_node **at = root_of(t, p->family), **parent = NULL;
    while (*at && (*at)->bits < p->bits && common((*at)->address, p->address, (*at)->bits) == (*at)->bits) {
        parent = at;
        at = &(*at)->child[bit_at(p->address, (*at)->bits)];
    }
    if (!*at || (*at)->bits != p->bits || memcmp((*at)->address, p->address, 16) || (*at)->owner != owner)
        return;
    (*at)->owner = NULL;
    prune(at);
    if (parent)
        prune(parent);
}

void *allowedips_lookup(const struct allowedips *t, int family, const uint8_t *address)
{
    int width = family == 4 ? 32 : 128;
    void *best = NULL;
    for (const struct trie_node *n = *root_of(t, family); n && common(n->address, address, n->bits) == n->bits;) {
        if (n->owner)
            best = n->owner;
        if (n->bits == width)
            break;
        n = n->child[bit_at(address, n->bits)];
    }
    return best;
}

static void node_free(struct trie_node *n)
{
    if (!n)
        return;
    node_free(n->child[0]); /* depth is at most 129 */
    node_free(n->child[1]);
    free(n);
}

void allowedips_free(struct allowedips *t)
{
    node_free(t->root4);
    node_free(t->root6);
    *t = (struct allowedips){0};
}
