/* Singly linked queues of records. Bounds are the callers': each knows whether the newest or the oldest is dropped, and counts it. */
#include "fifo.h"

#include <stdlib.h>
#include <string.h>

struct record *record_new(size_t len)
{
    struct record *r = malloc(sizeof *r + len);
    if (r) {
        r->next = NULL;
        memset(&r->head, 0, sizeof r->head);
        r->head.len = (uint32_t)len;
    }
    return r;
}

void fifo_push(struct fifo *q, struct record *r)
{
    if (q->last)
        q->last->next = r;
    else
        q->first = r;
    q->last = r;
    q->count++;
    q->bytes += r->head.len;
}

struct record *fifo_pop(struct fifo *q)
{
    struct record *r = q->first;
    if (!r)
        return NULL;
    q->first = r->next;
    if (!q->first)
        q->last = NULL;
    q->count--;
    q->bytes -= r->head.len;
    r->next = NULL;
    return r;
}

void fifo_clear(struct fifo *q)
{
    for (struct record *r; (r = fifo_pop(q));)
        free(r);
}

int64_t fifo_take(struct fifo *q, uint8_t *out, size_t cap, size_t max_records)
{
    size_t done = 0;
    for (; q->first && max_records; max_records--) {
        size_t need = sizeof(struct record_head) + q->first->head.len;
        if (done + need > cap)
            return done ? (int64_t)done : -(int64_t)need;
        struct record *r = fifo_pop(q);
        memcpy(out + done, &r->head, sizeof r->head);
        memcpy(out + done + sizeof r->head, r->data, r->head.len);
        done += need;
        free(r);
    }
    return (int64_t)done;
}
