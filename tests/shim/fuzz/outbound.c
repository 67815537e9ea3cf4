/* What TUN gives: a virtio header (the first ten bytes) and a packet. Every message that comes of it opens, to a packet that can be judged. */
#include "packet.h"
#include "world.h"

static void check(uint8_t *message, size_t len)
{
    struct packet p;
    struct aead_item item = {.data = message + 16, .len = len - 32};
    memcpy(&item.counter, message + 8, 8);
    aead_open_items(SEND_KEY, &item, 1, 0);
    if (len < 32 || !item.ok || message[0] != 4 || message[4] != REMOTE || !packet_inspect(&p, item.data, item.len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static transport *t;
    static uint8_t packet[65536], wire[WIRE], out[1 << 20];
    static struct sealing sealing;
    struct vnet_header v;
    if (!t)
        t = world_new();
    if (size < sizeof v || size - sizeof v > sizeof packet)
        return 0;
    struct outbox o = {.t = t, .wire = wire, .wire_size = WIRE, .sealing = &sealing};
    memcpy(&v, data, sizeof v);
    memcpy(packet, data + sizeof v, size - sizeof v);
    t->mtu = data[0] & 1 ? 65535 : 1280;
    pthread_rwlock_rdlock(&t->table);
    outbound_packet(&o, &v, packet, size - sizeof v);
    outbox_flush(&o);
    pthread_rwlock_unlock(&t->table);
    for (int64_t n; (n = shim_datagrams(t, out, sizeof out)) > 0;)
        for (int64_t at = 0; at < n;) {
            struct record_head head;
            memcpy(&head, out + at, sizeof head);
            check(out + at + sizeof head, head.len);
            at += (int64_t)(sizeof head + head.len);
        }
    world_drain(t);
    return 0;
}
