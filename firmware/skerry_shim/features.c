/* What the kernel and the processor take over from us: which of it may be used, and which of it is in use. A feature that the kernel refuses, when it is set or
 * later with a packet, is off until the features are set again. */
#include "transport.h"

unsigned shim_features(transport *t)
{
    pthread_rwlock_rdlock(&t->table);
    unsigned in_use = tun_features(t) | (t->tun_features & FEATURE_VNET); /* the device stays as it was opened */
    if (t->segment_slots)
        in_use |= FEATURE_SEGMENT;
    if (t->gro_slots)
        in_use |= FEATURE_GRO;
    if (features_lanes(t))
        in_use |= FEATURE_LANES;
    pthread_rwlock_unlock(&t->table);
    return in_use;
}

void shim_set_features(transport *t, unsigned wanted)
{
    pthread_rwlock_wrlock(&t->table);
    t->wanted = wanted & FEATURES_ALL;
    tun_offload(t);
    for (int i = 0; i < t->socket_count; i++)
        socket_offload(t, i);
    pthread_rwlock_unlock(&t->table);
}
