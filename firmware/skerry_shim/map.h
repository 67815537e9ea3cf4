/* A hash table from u64 to a pointer, for peers by number and sessions by index; see map.c. */
#ifndef SKERRY_MAP_H
#define SKERRY_MAP_H
#include <stddef.h>
#include <stdint.h>

struct map_entry {
    uint64_t key;
    void *value; /* NULL: free */
};
struct map {
    struct map_entry *entries;
    size_t size, used; /* size is 0 or a power of two */
};

void *map_get(const struct map *m, uint64_t key);
void map_put(struct map *m, uint64_t key, void *value); /* value not NULL; replaces; aborts without memory */
void map_remove(struct map *m, uint64_t key);
void map_free(struct map *m);
void *alloc_or_abort(size_t size); /* zeroed */
#endif
