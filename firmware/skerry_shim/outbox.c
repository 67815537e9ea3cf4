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

void outbox_geneve(uint8_t out[GENEVE], uint32_t vni, const uint8_t *data, size_t len)
{
    int disco = len >= 6 && !memcmp(data, DISCO_MAGIC, 6);
    uint8_t header[8] = {0, 0, 0x7a, disco ? 0x11 : 0x12, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8), (uint8_t)vni, 0};
    memcpy(out, header, 8);
}

/* Whether the message goes on where the run ends; then it is part of it. A shorter one is the last. */
static int extends(struct outbox_item *run, const struct path *path, const uint8_t *data, size_t len, int ecn)
{
    if (!len || run->data + run->len != data || len > run->size || run->len % run->size || run->front || run->messages == RUN_MESSAGES ||
        run->ecn != ecn ||
        run->len + len > RUN_BYTES || memcmp(&run->path, path, sizeof *path))
        return 0;
    run->len += len;
    run->messages++;
    return 1;
}

static void send_all(struct outbox *o);

static struct outbox_item *new_item(struct outbox *o, const struct path *path, const uint8_t *data, size_t len, int ecn)
{
    if (o->count == OUTBOX)
        send_all(o);
    struct outbox_item *item = &o->items[o->count++];
    item->path = *path;
    item->front = 0;
    item->data = data;
    item->len = item->size = len;
    item->messages = 1;
    item->ecn = ecn;
    return item;
}

void outbox_add_whole(struct outbox *o, const struct path *path, const uint8_t *data, size_t len, int ecn)
{
    for (int i = o->count - 1; i >= 0 && i >= o->count - MAX_PATHS; i--) /* a peer's paths take turns */
        if (extends(&o->items[i], path, data, len, ecn))
            return;
    new_item(o, path, data, len, ecn);
}

void outbox_add(struct outbox *o, const struct path *path, const uint8_t *data, size_t len, int ecn)
{
    if (path->family == 0) {
        to_relay(o->t, path, data, len);
    } else if (path->id) {
        struct outbox_item *item = new_item(o, path, data, len, ecn);
        item->front = 1;
        outbox_geneve(item->geneve, path->id, data, len);
    } else {
        outbox_add_whole(o, path, data, len, ecn);
    }
}

uint8_t *outbox_room(struct outbox *o, size_t len)
{
    if (o->wire_used + len > o->wire_size)
        outbox_flush(o);
    return o->wire + o->wire_used;
}

static void to_tests(transport *t, const struct outbox_item *item, const uint8_t *data, size_t len)
{
    size_t header = item->front ? GENEVE : 0;
    struct record *r = record_new(header + len);
    if (!r)
        return;
    r->head.kind = EVENT_DATAGRAM;
    r->head.path = item->path;
    r->head.path.id = 0; /* the bytes have it */
    memcpy(r->data, item->geneve, header);
    memcpy(r->data + header, data, len);
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

static void run_to_tests(transport *t, const struct outbox_item *item)
{
    for (size_t at = 0; at < item->len || (at == 0 && item->len == 0); at += item->size ? item->size : 1)
        to_tests(t, item, item->data + at, item->len - at < item->size ? item->len - at : item->size);
}

static int messages_in(const struct outbox *o)
{
    int messages = 0;
    for (int i = 0; i < o->count; i++)
        messages += o->items[i].messages;
    return messages;
}

static void send_all(struct outbox *o)
{
    transport *t = o->t;
    if (t->socket_count == 0 && !t->started) {
        for (int i = 0; i < o->count; i++)
            run_to_tests(t, &o->items[i]);
    } else if (o->count) {
        if (capture_is(&t->capture, CAPTURE_OUTER))
            capture_sent(t, o->items, o->count);
        int lost = messages_in(o) - udp_send(t, o->items, o->count);
        for (; lost > 0; lost--)
            drop(t, DROP_send);
    }
    o->count = 0;
}

void outbox_send(struct outbox *o)
{
    if (o->sealing)
        sealing_post(o);
    send_all(o);
    o->wire_used = 0;
}

void outbox_flush(struct outbox *o)
{
    if (o->sealing) {
        sealing_close(o);
        sealing_seal(o);
    }
    if (o->order)
        order_settle(o->order);
    outbox_send(o);
}
