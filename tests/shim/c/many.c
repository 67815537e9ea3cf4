/* Ten thousand peers: what one change costs does not grow with how many there are. Times are of this thread's CPU, and told. */
#include <time.h>

#include "check.h"
#include "transport.h"

enum { PEERS = 10000, SOME = 500, TIMES = 5 };

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void apply(transport *t, uint8_t operation, const void *body, uint32_t len)
{
    uint8_t buffer[128];
    char error[256] = "";
    buffer[0] = operation;
    memcpy(buffer + 1, &len, 4);
    memcpy(buffer + 5, body, len);
    if (!shim_apply(t, buffer, 5 + len, error, sizeof error)) {
        fprintf(stderr, "operation %d: %s\n", operation, error);
        exit(1);
    }
}

static void add(transport *t, uint64_t id) /* with its IPv4 address and an IPv6 one */
{
    uint8_t body[40 + 2 * 18] = {0};
    memcpy(body, &id, 8);
    memcpy(body + 8, &id, 8);
    body[39] = 1;
    memcpy(body + 40, (uint8_t[]){4, 32, 100, 64, (uint8_t)(id >> 8), (uint8_t)id}, 6);
    memcpy(body + 58, (uint8_t[]){6, 128, 0xfd, 0x7a}, 4);
    memcpy(body + 70, &id, 6);
    apply(t, 4, body, sizeof body);
}

static void session(transport *t, uint64_t id)
{
    uint8_t body[81] = {0};
    memcpy(body, &id, 8);
    memcpy(body + 9, &id, 4);
    memset(body + 17, 1, 64);
    apply(t, 7, body, sizeof body);
}

/* The least CPU time of some tries for adding SOME peers, giving each a session, and removing them again. */
static double *costs(transport *t, uint64_t first)
{
    static double least[3];
    for (int try = 0; try < TIMES; try++) {
        double start[4] = {cpu_us()};
        for (uint64_t i = 0; i < SOME; i++)
            add(t, first + i);
        start[1] = cpu_us();
        for (uint64_t i = 0; i < SOME; i++)
            session(t, first + i);
        start[2] = cpu_us();
        for (uint64_t i = 0; i < SOME; i++)
            apply(t, 5, &(uint64_t){first + i}, 8);
        start[3] = cpu_us();
        for (int i = 0; i < 3; i++) {
            double each = (start[i + 1] - start[i]) / SOME;
            least[i] = try == 0 || each < least[i] ? each : least[i];
        }
    }
    return least;
}

int main(void)
{
    static const char *const names[] = {"adding", "a session", "removing"};
    double few[3];
    transport *t = shim_transport_new();
    CHECK(t);
    memcpy(few, costs(t, 1), sizeof few);
    for (uint64_t i = 0; i < PEERS; i++)
        add(t, 20000 + i);
    CHECK(t->peers.used == PEERS);
    const double *many = costs(t, 1);
    for (int i = 0; i < 3; i++) {
        printf("%s: %.1f us with no other peer, %.1f with %d\n", names[i], few[i], many[i], PEERS);
        CHECK(many[i] < 2 * few[i] + 3); /* caches are colder; a walk through them all would be a hundred times more */
    }
    CHECK(t->peers.used == PEERS && t->sessions.used == 0);
    shim_transport_free(t);
    return 0;
}
