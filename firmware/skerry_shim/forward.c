/* A UDP relay's thread: datagrams in by recvmmsg, where the kernel has gathered those of one sender and size (UDP_GRO), and out by sendmmsg, unchanged, from the
 * one of a pair to the other. Datagrams that follow each other to one address, all of one size but for the last, are a run and leave as one
 * send that the kernel cuts (UDP_SEGMENT), whether they came gathered or not.
 *
 *   Geneve  u8 0 | u8 0 | u16 7a11 disco, 7a12 WireGuard | u24 network id | u8 0 | what is forwarded and never looked at
 *
 * Nothing waits but disco before its pair is bound (hold.c): what the socket will not take is dropped and counted. A run that is refused goes out message by message; when that works
 * where the run did not, and its size was not the reason, the socket gets no more runs. ECN is carried over. Everything that is not data
 * goes through admit(). */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>

#include "peerrelay.h"
#include "sockets.h"
#include "transport.h"

enum { BUFFERS = BATCH * SLOT, BUSY = 4 * SLOT, IDLE_MS = 1000, RUNS = 64, PARTS = 256 };

struct run {
    const struct path *to;
    size_t size, bytes; /* of each message but the last; of all */
    int messages, ecn, first, parts;
};

struct forward {
    peerrelay *r;
    uint8_t *buffers;
    int64_t now_us;
    int run_count, part_count;
    struct run runs[RUNS];
    struct iovec parts[PARTS];
};

/* -- out */

static void fill(const struct forward *f, struct mmsghdr *m, union any_address *to, union control *control, const struct run *run)
{
    *m = (struct mmsghdr){.msg_hdr = {.msg_name = to, .msg_iov = (struct iovec *)&f->parts[run->first], .msg_iovlen = (size_t)run->parts}};
    m->msg_hdr.msg_namelen = socket_address(to, run->to->family, run->to->address, run->to->port);
    if (run->ecn)
        socket_put_ecn(&m->msg_hdr, control, run->to->family, run->ecn);
}

/* A run, each message by itself. */
static int send_each(const struct forward *f, const struct run *run)
{
    struct mmsghdr messages[RUN_MESSAGES];
    struct iovec vectors[RUN_MESSAGES];
    union any_address to;
    union control control; /* the same for all */
    int count = 0;
    for (int i = run->first; i < run->first + run->parts; i++)
        for (size_t at = 0; at < f->parts[i].iov_len; at += run->size, count++) {
            size_t rest = f->parts[i].iov_len - at;
            fill(f, &messages[count], &to, &control, run);
            vectors[count] = (struct iovec){(uint8_t *)f->parts[i].iov_base + at, rest < run->size ? rest : run->size};
            messages[count].msg_hdr.msg_iov = &vectors[count];
            messages[count].msg_hdr.msg_iovlen = 1;
        }
    return socket_send_all(f->r->fds[run->to->uplink], messages, count);
}

static int send_refused(const struct forward *f, const struct run *run, int error)
{
    if (run->messages < 2 || !socket_refuses_run(error))
        return 0;
    int sent = send_each(f, run);
    if (error != EMSGSIZE && sent == run->messages)
        atomic_fetch_and(&f->r->segment_slots, ~(1u << run->to->uplink));
    return sent;
}

/* Runs out of one socket that does UDP_SEGMENT. */
static int send_runs(const struct forward *f, const struct run *runs, int count)
{
    struct mmsghdr messages[RUNS];
    union any_address to[RUNS];
    union control controls[RUNS];
    int sent = 0, n;
    for (int i = 0; i < count; i++) {
        fill(f, &messages[i], &to[i], &controls[i], &runs[i]);
        if (runs[i].messages > 1)
            socket_put_size(&messages[i].msg_hdr, &controls[i], runs[i].size);
    }
    for (int at = 0; at < count;) {
        n = sendmmsg(f->r->fds[runs->to->uplink], messages + at, (unsigned)(count - at), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            sent += send_refused(f, &runs[at], errno);
            at++;
        }
        for (; n > 0; n--)
            sent += runs[at++].messages;
    }
    return sent;
}

static void flush(struct forward *f)
{
    int wanted = 0, sent = 0, same;
    for (int i = 0; i < f->run_count; i += same) {
        const struct run *runs = &f->runs[i];
        for (same = 1; i + same < f->run_count && runs[same].to->uplink == runs->to->uplink;)
            same++;
        if (atomic_load_explicit(&f->r->segment_slots, memory_order_relaxed) >> runs->to->uplink & 1)
            sent += send_runs(f, runs, same);
        else
            for (int j = 0; j < same; j++)
                sent += send_each(f, &runs[j]);
        for (int j = 0; j < same; j++)
            wanted += runs[j].messages;
    }
    f->run_count = f->part_count = 0;
    if (wanted > sent)
        lose(f->r, LOST_send, (unsigned)(wanted - sent));
}

static int continues(const struct run *run, const struct path *to, int ecn, size_t size, size_t len, int messages)
{
    int uniform = size == run->size || (messages == 1 && len < run->size);
    return run->to == to && run->ecn == ecn && uniform && run->bytes == run->size * (size_t)run->messages &&
           run->messages + messages <= RUN_MESSAGES && run->bytes + len <= RUN_BYTES;
}

static void add(struct forward *f, struct place *place, int side, int ecn, uint8_t *data, size_t len, size_t size, int messages)
{
    const struct path *to = &place->sides[!side].path;
    struct run *run = f->run_count ? &f->runs[f->run_count - 1] : NULL;
    if (f->part_count == PARTS || (f->run_count == RUNS && !continues(run, to, ecn, size, len, messages))) {
        flush(f);
        run = NULL;
    }
    if (!run || !continues(run, to, ecn, size, len, messages)) {
        run = &f->runs[f->run_count++];
        *run = (struct run){.to = to, .size = size, .ecn = ecn, .first = f->part_count};
    }
    f->parts[f->part_count++] = (struct iovec){data, len};
    run->parts++;
    run->bytes += len;
    run->messages += messages;
}

/* -- in */

static int is_data(const uint8_t *data, size_t len)
{
    return len > GENEVE && data[0] == 0 && data[1] == 0 && data[2] == 0x7a && (data[3] == 0x11 || data[3] == 0x12) && data[7] == 0;
}

static int is_from(const struct place_side *side, const struct path *from)
{
    return memcmp(&side->path, from, sizeof *from) == 0;
}

void count_side(peerrelay *r, struct place_side *side, size_t len, int messages, int64_t now_ms)
{
    atomic_fetch_add_explicit(&side->packets, (unsigned)messages, memory_order_relaxed);
    atomic_fetch_add_explicit(&side->bytes, len, memory_order_relaxed);
    atomic_store_explicit(&side->seen, now_ms, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->packets, (unsigned)messages, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->bytes, len, memory_order_relaxed);
}

/* Datagrams of one network id, side by side in memory. */
static void relay(struct forward *f, const struct path *from, int ecn, uint8_t *data, size_t len, size_t size, int messages)
{
    struct place *place = place_of(f->r, data);
    int side = place && place->bound && !is_from(&place->sides[0], from);
    if (!place || !place->bound || !is_from(&place->sides[side], from)) {
        if (place && messages == 1 && hold(f->r, place, from, data, len, f->now_us / 1000))
            return;
        lose(f->r, !place ? LOST_unknown : !place->bound ? LOST_unbound : LOST_source, (unsigned)messages);
        return;
    }
    count_side(f->r, &place->sides[side], len, messages, f->now_us / 1000);
    add(f, place, side, ecn, data, len, size, messages);
}

/* What the kernel gave in one piece: datagrams of `size`, the last may be shorter. */
static void take_in(struct forward *f, const struct path *from, int ecn, uint8_t *data, size_t len, size_t size)
{
    for (size_t n; len; data += n, len -= n) {
        size_t first = n = len < size ? len : size, next;
        int messages = 1;
        if (!is_data(data, n)) {
            if (admit(f->r, from, data, n, f->now_us))
                peerrelay_raise(f->r, from, data, n);
            continue;
        }
        for (; n < len && messages < RUN_MESSAGES; n += next, messages++) {
            next = len - n < size ? len - n : size;
            if (next <= GENEVE || n + next > RUN_BYTES || memcmp(data + n, data, GENEVE) != 0)
                break;
        }
        relay(f, from, ecn, data, n, first, messages);
    }
}

void forward_one(peerrelay *r, const struct path *from, int64_t now_us, uint8_t *data, size_t len, size_t size)
{
    struct forward f = {.r = r, .now_us = now_us};
    take_in(&f, from, 0, data, len, size);
    flush(&f);
}

int64_t relay_now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static size_t receive(struct forward *f, int slot)
{
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    union any_address from[BATCH];
    union control controls[BATCH];
    struct path path;
    size_t bytes = 0;
    int ecn;
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){f->buffers + (size_t)i * SLOT, SLOT};
        messages[i] = (struct mmsghdr){.msg_hdr = {&from[i], sizeof from[i], &vectors[i], 1, &controls[i], sizeof controls[i], 0}};
    }
    pthread_rwlock_rdlock(&f->r->table);
    int received = recvmmsg(f->r->fds[slot], messages, BATCH, MSG_DONTWAIT, NULL);
    f->now_us = relay_now_us();
    for (int i = 0; i < received; i++) {
        size_t len = messages[i].msg_len, size = socket_gathered(&messages[i].msg_hdr, len, &ecn);
        socket_path(&path, &from[i], slot);
        take_in(f, &path, ecn, vectors[i].iov_base, len, size);
        bytes += len;
    }
    flush(f);
    pthread_rwlock_unlock(&f->r->table);
    return bytes;
}

/* After a load the buffers are given back once, when a second passed without a datagram. */
static void run_until_stopped(struct forward *f)
{
    struct epoll_event events[PLACE_SOCKETS + 1];
    for (int rest = -1;;) {
        int n = epoll_wait(f->r->epoll_fd, events, PLACE_SOCKETS + 1, rest);
        if (n < 0 && errno != EINTR)
            return;
        if (n == 0) {
            madvise(f->buffers, BUFFERS, MADV_DONTNEED);
            rest = -1;
        }
        for (int i = 0; i < n; i++) {
            if (events[i].data.u32 == PLACE_SOCKETS)
                return;
            if (receive(f, (int)events[i].data.u32) > BUSY)
                rest = IDLE_MS;
        }
    }
}

void *forward_thread(void *relay_)
{
    struct forward f;
    memset(&f, 0, sizeof f);
    f.r = relay_;
    f.buffers = mmap(NULL, BUFFERS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f.buffers == MAP_FAILED)
        return NULL;
    run_until_stopped(&f);
    munmap(f.buffers, BUFFERS);
    return NULL;
}
