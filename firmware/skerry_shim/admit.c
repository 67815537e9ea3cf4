/* What a UDP relay lets up to Python: three kinds of datagrams, each checked for its length and limited, so that floods end here.
 *
 *   STUN      a Binding request of 40 bytes, or 96 (behaviour)  50 a second of one IPv4 address or IPv6 /64, 4000 in all
 *   disco     124 to 1500 bytes: a ping with its sender's key   the same, together with STUN
 *   Geneve    control bit, disco, 168 bytes or a little more: the handshake of a pair. Its network id has to be open and the sender's key
 *             one of the two that the id was opened for; 20 a second of one id, 1000 in all
 */
#include <string.h>

#include "peerrelay.h"

enum { STUN_REQUEST = 40, STUN_BEHAVIOUR = 96, DISCO_HEAD = 6 + 32 + 24, DISCO_SEAL = 16 + 2, GENEVE_HEAD = 8 };
enum { PING = DISCO_HEAD + DISCO_SEAL + 12 + 32, PING_MOST = 1500 };
enum { HANDSHAKE = GENEVE_HEAD + DISCO_HEAD + DISCO_SEAL + 72, HANDSHAKE_MOST = HANDSHAKE + 96 };

static const struct limit of_source = {20000, 64}, of_plain = {250, 500}, of_place = {50000, 64}, of_control = {1000, 250};
static const uint8_t magic[6] = {'T', 'S', 0xf0, 0x9f, 0x92, 0xac}, cookie[4] = {0x21, 0x12, 0xa4, 0x42};

static int plain(peerrelay *r, const struct path *from, int64_t now_us)
{
    if (rate_take(&r->sources[rate_source(from, r->secret)], &of_source, now_us) && rate_take(&r->all_plain, &of_plain, now_us))
        return 1;
    lose(r, LOST_rate, 1);
    return 0;
}

static int handshake(peerrelay *r, const uint8_t *data, int64_t now_us)
{
    struct place *place = place_of(r, data);
    const uint8_t *key = data + GENEVE_HEAD + sizeof magic;
    if (!place) {
        lose(r, LOST_unknown, 1);
        return 0;
    }
    if (memcmp(key, place->sides[0].key, 32) != 0 && memcmp(key, place->sides[1].key, 32) != 0) {
        lose(r, LOST_key, 1);
        return 0;
    }
    if (rate_take(&place->control, &of_place, now_us) && rate_take(&r->all_control, &of_control, now_us))
        return 1;
    lose(r, LOST_rate, 1);
    return 0;
}

static int is_handshake(const uint8_t *data, size_t len)
{
    return len >= HANDSHAKE && len <= HANDSHAKE_MOST && data[0] == 0 && data[1] == 0x80 && data[2] == 0x7a && data[3] == 0x11 && data[7] == 0 &&
           memcmp(data + GENEVE_HEAD, magic, sizeof magic) == 0;
}

int admit(peerrelay *r, const struct path *from, const uint8_t *data, size_t len, int64_t now_us)
{
    if (!from->port) { /* nobody can be answered there */
        lose(r, LOST_malformed, 1);
        return 0;
    }
    if (is_handshake(data, len))
        return handshake(r, data, now_us);
    if ((len == STUN_REQUEST || len == STUN_BEHAVIOUR) && data[0] == 0 && data[1] == 1 && memcmp(data + 4, cookie, sizeof cookie) == 0)
        return plain(r, from, now_us);
    if (len >= PING && len <= PING_MOST && memcmp(data, magic, sizeof magic) == 0)
        return plain(r, from, now_us);
    lose(r, LOST_malformed, 1);
    return 0;
}
