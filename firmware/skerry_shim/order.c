#include "order.h"

void order_init(struct order *o)
{
    pthread_mutex_init(&o->entry, NULL);
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->left, NULL);
}

void order_destroy(struct order *o)
{
    pthread_mutex_destroy(&o->entry);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->left);
}

void order_enter(struct order *o)
{
    pthread_mutex_lock(&o->entry);
}

uint64_t order_leave(struct order *o)
{
    uint64_t place = o->places++;
    pthread_mutex_unlock(&o->entry);
    return place;
}

void order_stay_out(struct order *o)
{
    pthread_mutex_unlock(&o->entry);
}

void order_wait(struct order *o, uint64_t place)
{
    if (atomic_load_explicit(&o->turn, memory_order_acquire) == place)
        return;
    pthread_mutex_lock(&o->lock);
    while (atomic_load_explicit(&o->turn, memory_order_acquire) != place)
        pthread_cond_wait(&o->left, &o->lock);
    pthread_mutex_unlock(&o->lock);
}

void order_done(struct order *o)
{
    pthread_mutex_lock(&o->lock);
    atomic_fetch_add_explicit(&o->turn, 1, memory_order_release);
    pthread_cond_broadcast(&o->left);
    pthread_mutex_unlock(&o->lock);
}

void order_settle(struct order *o)
{
    order_wait(o, o->places);
}
