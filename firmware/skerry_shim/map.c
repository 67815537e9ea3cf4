/* Open addressing with linear probing and backward-shift deletion: no tombstones, so churn does not slow it. Keys are the engine's own
 * numbers or random session indices, mixed all the same. Without memory for a table the process ends: half an update is worse. */
#include "map.h"

#include <stdio.h>
#include <stdlib.h>

void *alloc_or_abort(size_t size)
{
    void *p = calloc(1, size);
    if (!p) {
        fprintf(stderr, "skerry: out of memory (%zu bytes)\n", size);
        abort();
    }
    return p;
}

static size_t home(const struct map *m, uint64_t key)
{
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdULL;
    key ^= key >> 29;
    return (size_t)key & (m->size - 1);
}

static size_t find(const struct map *m, uint64_t key)
{
    size_t i = home(m, key);
    while (m->entries[i].value && m->entries[i].key != key)
        i = (i + 1) & (m->size - 1);
    return i;
}

void *map_get(const struct map *m, uint64_t key)
{
    return m->size ? m->entries[find(m, key)].value : NULL;
}

static void grow(struct map *m)
{
    struct map old = *m;
    m->size = old.size ? old.size * 2 : 16;
    m->entries = alloc_or_abort(m->size * sizeof *m->entries);
    for (size_t i = 0; i < old.size; i++)
        if (old.entries[i].value)
            m->entries[find(m, old.entries[i].key)] = old.entries[i];
    free(old.entries);
}

void map_put(struct map *m, uint64_t key, void *value)
{
    if (2 * (m->used + 1) > m->size)
        grow(m);
    struct map_entry *e = &m->entries[find(m, key)];
    m->used += e->value == NULL;
    e->key = key;
    e->value = value;
}

void map_remove(struct map *m, uint64_t key)
{
    if (!m->size)
        return;
    size_t hole = find(m, key), i = hole;
    if (!m->entries[hole].value)
        return;
    m->used--;
    for (;;) {
        m->entries[hole].value = NULL;
        size_t start;
        do {
            i = (i + 1) & (m->size - 1);
            if (!m->entries[i].value)
                return;
            start = home(m, m->entries[i].key);
        } while (hole <= i ? (hole < start && start <= i) : (hole < start || start <= i));
        m->entries[hole] = m->entries[i];
        hole = i;
    }
}

void map_free(struct map *m)
{
    free(m->entries);
    *m = (struct map){0};
}
