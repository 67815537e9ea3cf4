/* Batches of one direction that several threads work on at a time and that leave in the order in which they came. A thread
 *
 *   order_enter    alone: takes packets in, and a place in the order with them
 *   order_leave    lets the next one in; works (seals, opens)
 *   order_wait     until everything before it has left; lets its batch out
 *   order_done
 *
 * With one thread none of it ever waits. Who has a place holds the table for reading already, so that a change, which waits for that lock,
 * cannot keep the one before it from leaving. */
#ifndef SKERRY_ORDER_H
#define SKERRY_ORDER_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct order {
    pthread_mutex_t entry, lock;
    pthread_cond_t left;
    uint64_t places; /* given out; entry */
    atomic_uint_fast64_t turn;
};

void order_init(struct order *o);
void order_destroy(struct order *o);
void order_enter(struct order *o);
uint64_t order_leave(struct order *o); /* the place */
void order_stay_out(struct order *o);  /* leave without a place: there was nothing */
void order_wait(struct order *o, uint64_t place);
void order_done(struct order *o);
void order_settle(struct order *o); /* after order_enter: wait until everything before has left; others wait at the entry meanwhile */
#endif
