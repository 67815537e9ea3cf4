/* Where datagrams leave: a UDP socket (in batches), a relay's queue of frames, or, while no socket is bound, a queue that tests read.
 * A path with a Geneve network id gets the header (RFC 8926, 8 bytes: 0 | control | u16 protocol 7a12 | u24 id | 0) in front. */
#include <stdlib.h>
#include <string.h>

#include "transport.h"

static void to_relay(transport *t, const struct path *path, const uint8_t *data, size_t len)
{
    struct relay *r = map_get(&t->relays, path->id);
    int dropped, announce = 0;
    if (!r || !r->up || r->bad || len > RELAY_MAX_PACKET) {
        drop(t, DROP_relay);
        return;
    }
    pthread_mutex_lock(&t->relay_lock);
    dropped = relay_queue(r, path->key, data, len);
    if (dropped >= 0 && !r->announced)
        announce = r->announced = 1;
    pthread_mutex_unlock(&t->relay_lock);
    for (; dropped != 0; dropped -= dropped > 0 ? 1 : dropped)
        drop(t, DROP_relay);
    if (announce)
        raise_relay_out(t, path->id);
}

static const uint8_t DISCO_MAGIC[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};

static void geneve(uint8_t out[8], uint32_t vni, const uint8_t *data, size_t len)
{
    int disco = len >= 6 && !memcmp(data, DISCO_MAGIC, 6);
    uint8_t header[8] = {0, 0, 0x7a, disco ? 0x11 : 0x12, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8), (uint8_t)vni, 0};
    memcpy(out, header, 8);
}

void outbox_add(struct outbox *o, const struct path *path, const uint8_t *data, size_t len)
{
    if (path->family == 0) {
        to_relay(o->t, path, data, len);
        return;
    }
    if (o->count == OUTBOX)
        outbox_flush(o);
    struct outbox_item *item = &o->items[o->count++];
    item->path = *path;
    item->data = data;
    item->len = len;
    if (path->id)
        geneve(item->geneve, path->id, data, len);
}

static void to_tests(transport *t, const struct outbox_item *item)
{
    size_t header = item->path.id ? 8 : 0;
    struct record *r = record_new(header + item->len);
    if (!r)
        return;
    r->head.kind = EVENT_DATAGRAM;
    r->head.path = item->path;
    r->head.path.id = 0; /* the bytes have it */
    memcpy(r->data, item->geneve, header);
    memcpy(r->data + header, item->data, item->len);
    pthread_mutex_lock(&t->ring_lock);
    int full = t->out_datagrams.count >= OUTPUT_RECORDS;
    if (!full)
        fifo_push(&t->out_datagrams, r);
    pthread_mutex_unlock(&t->ring_lock);
    if (full) {
        drop(t, DROP_output);
        free(r);
    }
}

void outbox_flush(struct outbox *o)
{
    transport *t = o->t;
    if (t->socket_count == 0 && !t->started) {
        for (int i = 0; i < o->count; i++)
            to_tests(t, &o->items[i]);
    } else if (o->count) {
        int lost = o->count - udp_send(t, o->items, o->count);
        for (; lost > 0; lost--)
            drop(t, DROP_send);
    }
    o->count = 0;
}
