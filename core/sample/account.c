#include "sample/account.h"

/* The golden ratio: multiples of it spread evenly over a period, however many there are. */
#define PHASE_STEP UINT64_C(0x9e3779b97f4a7c15)

void accounts_init(struct accounts *accounts, uint64_t period_ns, uint64_t random)
{
    accounts->period_ns = period_ns;
    accounts->phase = random;
    accounts->error_ns = 0;
    accounts->first = accounts->count = 0;
}

static struct account *waiting(struct accounts *accounts, size_t place)
{
    return &accounts->waiting[(accounts->first + place) % ACCOUNTS_WAITING];
}

/* The first sample is due after a part of the period. */
static struct account open_account(struct accounts *accounts)
{
    accounts->phase += PHASE_STEP;
    int64_t first = 1 + (int64_t)((accounts->phase >> 32) * accounts->period_ns >> 32);
    return (struct account){.late_ns = -first, .began_ns = -first};
}

struct account accounts_take(struct accounts *accounts)
{
    if (accounts->count == 0)
        return open_account(accounts);
    struct account oldest = *waiting(accounts, 0);
    accounts->first = (accounts->first + 1) % ACCOUNTS_WAITING;
    accounts->count--;
    return oldest;
}

/* From here on the difference is part of the sum. */
static void note_difference(struct accounts *accounts, struct account *account)
{
    accounts->error_ns += account->late_ns - account->began_ns;
    account->began_ns = account->late_ns;
}

uint32_t accounts_pay(struct accounts *accounts, struct account *account)
{
    int64_t period = (int64_t)accounts->period_ns;
    int64_t due = account->late_ns / period + 1;
    account->late_ns -= due * period;
    account->holder = NULL;
    note_difference(accounts, account);
    int64_t half = accounts->error_ns < 0 ? -period / 2 : period / 2;
    int64_t more = (accounts->error_ns + half) / period;
    if (more < -due)
        more = -due;
    accounts->error_ns -= more * period;
    return (uint32_t)(due + more);
}

bool accounts_leave(struct accounts *accounts, struct account account, uint32_t *due)
{
    bool overdue = account.late_ns >= 0;
    *due = 0;
    if (!overdue)
        account.holder = NULL;
    if (accounts->count < ACCOUNTS_WAITING) {
        *waiting(accounts, accounts->count++) = account;
        return account.holder != NULL;
    }
    if (overdue)
        *due = accounts_pay(accounts, &account);
    else
        note_difference(accounts, &account);
    return false;
}

struct account *accounts_held(struct accounts *accounts, size_t *cursor)
{
    while (*cursor < accounts->count) {
        struct account *account = waiting(accounts, (*cursor)++);
        if (account->holder != NULL)
            return account;
    }
    return NULL;
}

void accounts_close(struct accounts *accounts)
{
    for (size_t i = 0; i < accounts->count; i++)
        if (waiting(accounts, i)->holder == NULL)
            note_difference(accounts, waiting(accounts, i));
}
