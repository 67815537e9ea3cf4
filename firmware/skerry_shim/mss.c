/* Lowers the MSS option (RFC 9293, 3.2: kind 2, length 4, u16) of SYN packets to the tunnel's MTU less the headers (40 or 60 bytes), for
 * connections between hosts behind subnet routers, who know nothing of the tunnel and may never hear that a packet was too big.
 *
 * Options that are cut, malformed or missing stay as they are: a SYN without the option means 536 bytes, which pass. */
#include "mss.h"

enum { SYN = 2, OPTION_END = 0, OPTION_NOTHING = 1, OPTION_MSS = 2 };

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* RFC 1624: what replacing a word by another does to the sum; odd: the word lies across two words of the sum. */
static void update(uint8_t *checksum, uint32_t old, uint32_t fresh, int odd)
{
    if (odd) {
        old = (old >> 8 | old << 8) & 0xffff;
        fresh = (fresh >> 8 | fresh << 8) & 0xffff;
    }
    uint32_t sum = (~be16(checksum) & 0xffff) + (~old & 0xffff) + fresh;
    sum = (sum & 0xffff) + (sum >> 16);
    put16(checksum, ~((sum & 0xffff) + (sum >> 16)));
}

/* Where the option's value is, or NULL. */
static uint8_t *find_option(uint8_t *at, const uint8_t *end)
{
    while (at < end && *at != OPTION_END) {
        if (*at == OPTION_NOTHING) {
            at++;
            continue;
        }
        if (end - at < 2 || at[1] < 2 || at[1] > end - at)
            return NULL;
        if (*at == OPTION_MSS)
            return at[1] == 4 ? at + 2 : NULL;
        at += at[1];
    }
    return NULL;
}

int mss_clamp(const struct packet *p, uint8_t *packet, size_t mtu)
{
    size_t ip = p->family == 4 ? 4u * (packet[0] & 15) : 40, headers = p->family == 4 ? 40 : 60;
    if (mtu <= headers || p->protocol != PROTO_TCP || p->later_fragment || !(p->tcp_flags & SYN) || (p->family == 6 && packet[6] != PROTO_TCP))
        return 0;
    uint8_t *tcp = packet + ip;
    size_t size = 4u * (tcp[12] >> 4);
    if (size < 20 || ip + size > p->length)
        return 0;
    uint8_t *mss = find_option(tcp + 20, tcp + size);
    if (!mss || be16(mss) <= mtu - headers)
        return 0;
    update(tcp + 16, be16(mss), (uint32_t)(mtu - headers), (mss - tcp) & 1);
    put16(mss, (uint32_t)(mtu - headers));
    return 1;
}
