/* A wall clock that is off by CLOCK_OFFSET_MS milliseconds, for one process: gcc -shared -fPIC, then LD_PRELOAD.
 *
 * It asks the kernel itself and allocates nothing. libfaketime looks the real functions up, which allocates, and the
 * servers' allocator asks for the time before it can allocate: the two cannot be had together.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void shift(struct timespec *ts) {
    static long offset_ms;
    static int known;
    if (!known) {
        const char *s = getenv("CLOCK_OFFSET_MS");
        offset_ms = s ? atol(s) : 0;
        known = 1;
    }
    ts->tv_sec += offset_ms / 1000;
    ts->tv_nsec += offset_ms % 1000 * 1000000;
    if (ts->tv_nsec >= 1000000000) {
        ts->tv_sec++;
        ts->tv_nsec -= 1000000000;
    } else if (ts->tv_nsec < 0) {
        ts->tv_sec--;
        ts->tv_nsec += 1000000000;
    }
}

int clock_gettime(clockid_t id, struct timespec *ts) {
    int failed = syscall(SYS_clock_gettime, id, ts);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) shift(ts);
    return failed;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
    struct timespec ts;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &ts)) return -1;
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *t) {
    struct timespec ts;
    if (clock_gettime(CLOCK_REALTIME, &ts)) return -1;
    if (t) *t = ts.tv_sec;
    return ts.tv_sec;
}
