/* Packets' headers: inspection, MSS and ECN leave the checksums as right or wrong as they were, and change no length. */
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "ecn.h"
#include "mss.h"
#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t tcp_sum(const uint8_t *d, size_t ip, size_t len)
{
    return checksum_add(checksum_pseudo(d[0] >> 4, d, PROTO_TCP, len - ip), d + ip, len - ip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet p;
    uint8_t *d = malloc(size + 1);
    memcpy(d, data, size);
    if (packet_inspect(&p, d, size)) {
        size_t ip = p.family == 4 ? 4u * (d[0] & 15) : 40;
        uint32_t before = p.length > ip ? tcp_sum(d, ip, p.length) : 0;
        if (p.length > size || ip > p.length)
            abort();
        if (mss_clamp(&p, d, 1280) && tcp_sum(d, ip, p.length) % 0xffff != before % 0xffff)
            abort();
        int right = p.family == 6 || checksum_add(0, d, ip) == 0xffff, outer = (int)size & 3;
        if (ecn_combine(d, outer) && right && p.family == 4 && checksum_add(0, d, ip) != 0xffff)
            abort();
    }
    free(d);
    return 0;
}
