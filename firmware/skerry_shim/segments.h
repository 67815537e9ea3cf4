/* A packet as TUN gives it, cut into the packets that go over the wire; see segments.c. */
#ifndef SKERRY_SEGMENTS_H
#define SKERRY_SEGMENTS_H
#include <stddef.h>
#include <stdint.h>

/* struct virtio_net_hdr (virtio 1.2, 5.1.6), in front of each packet of a TUN opened with IFF_VNET_HDR; native byte order. */
struct vnet_header {
    uint8_t flags, gso_type;
    uint16_t hdr_len; /* a hint, which nothing here relies on */
    uint16_t gso_size;
    uint16_t csum_start, csum_offset;
};
_Static_assert(sizeof(struct vnet_header) == 10, "TUN's default header");
enum { VNET_NEEDS_CSUM = 1 };
enum { VNET_NONE = 0, VNET_TCP4 = 1, VNET_TCP6 = 4, VNET_UDP = 5, VNET_ECN = 0x80 };

struct segments {
    const uint8_t *packet;
    size_t len, ip, header; /* of the whole, of the IP header, of all headers */
    size_t size;            /* payload of each segment; 0: the packet is not to be cut */
    size_t at;              /* where the next payload starts */
    uint32_t index;
    int family;
    uint8_t protocol;
};

/* Completes the checksum in place where the header asks for it. 1, or 0 when header and packet do not fit together. */
int segments_open(struct segments *s, const struct vnet_header *v, uint8_t *packet, size_t len);
size_t segments_length(const struct segments *s);     /* of the next one; 0: that was all */
void segments_write(struct segments *s, uint8_t *out); /* the next one */
#endif
