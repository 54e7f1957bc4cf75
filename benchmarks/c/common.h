/* Functions of all programs in this folder: time, sockets, text, commands on stdin, histogram. Linux only (epoll). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* Nanoseconds since 1970. */
static inline int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static inline void many_files(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline void no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static inline void non_blocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

/* Listen on a free port of the loopback interface, and print the port. */
static inline int listening(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (bind(fd, (void *)&address, size) || listen(fd, 1024)) die("listen");
    getsockname(fd, (void *)&address, &size);
    printf("Serving http://127.0.0.1:%d/\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static inline int connected(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(port);
    if (connect(fd, (void *)&address, sizeof address)) die("connect");
    no_delay(fd);
    return fd;
}

static inline void watch(int epoll, int fd, uint32_t events, void *with) {
    struct epoll_event event = {.events = events, .data.ptr = with};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) && epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event)) die("epoll_ctl");
}

/* Return the text after `"name":` in JSON; NULL if there is none. */
static inline const char *json_value(const char *text, size_t length, const char *name) {
    char key[64];
    int size = snprintf(key, sizeof key, "\"%s\":", name);
    const char *found = memmem(text, length, key, size);
    if (!found) return NULL;
    for (found += size; *found == ' '; found++);
    return found;
}

static inline long json_integer(const char *text, size_t length, const char *name) {
    const char *found = json_value(text, length, name);
    return found ? strtol(found, NULL, 10) : 0;
}

/* A string without escapes, of less than `room` bytes. */
static inline int json_string(const char *text, size_t length, const char *name, char *out, size_t room) {
    const char *found = json_value(text, length, name);
    if (!found || *found != '"') return 0;
    found++;
    const char *end = memchr(found, '"', text + length - found);
    if (!end || (size_t)(end - found) >= room) return 0;
    memcpy(out, found, end - found);
    out[end - found] = 0;
    return 1;
}

/* Read stdin, and pass on each line; exit at its end. */
static inline void commands(void (*obey)(char *line)) {
    static char text[4096];
    static size_t have;
    ssize_t count = read(0, text + have, sizeof text - 1 - have);
    if (count <= 0) exit(0);
    have += count;
    char *line = text, *end;
    while ((end = memchr(line, '\n', text + have - line))) {
        *end = 0;
        obey(line);
        line = end + 1;
    }
    have = text + have - line;
    memmove(text, line, have);
}

/* Count durations in nanoseconds, in steps of less than 1 %. */
enum { STEPS = 128 };
static uint64_t histogram[58 * STEPS], histogram_total;
static int64_t histogram_max;

static inline void note(int64_t value) {
    if (value < 0) value = 0;
    if (value > histogram_max) histogram_max = value;
    histogram_total++;
    int shift = value < STEPS ? 0 : 56 - __builtin_clzll(value); /* brings it below 2 * STEPS */
    histogram[shift * STEPS + (value >> shift)]++;
}

static inline double quantile(double part) { /* in milliseconds */
    uint64_t rank = histogram_total * part, seen = 0;
    for (int index = 0; index < 58 * STEPS; index++) {
        seen += histogram[index];
        if (seen > rank) {
            int shift = index / STEPS ? index / STEPS - 1 : 0;
            return ((int64_t)(index - shift * STEPS) << shift) / 1e6;
        }
    }
    return histogram_max / 1e6;
}

static inline void forget(void) {
    memset(histogram, 0, sizeof histogram);
    histogram_total = histogram_max = 0;
}
