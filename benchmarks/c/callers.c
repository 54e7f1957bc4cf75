/* Callers of REST in one process: callers PORT PATH N
 *
 * Open N connections that stay open, each with one request at a time. Print "ready" when all are connected.
 * Commands on stdin:
 *
 *   go       begin, and reset all counters
 *   report   print the counters: answers, those with a status other than 200, and milliseconds from a request to its
 *            answer
 *   stop     no more requests
 */
#include "ws.h"

enum { ROOM = 1 << 16 };

typedef struct {
    int fd, busy;
    size_t have;
    int64_t begin;
    char in[ROOM];
} Caller;

static Caller *callers;
static int count, going, request_length;
static char request[1000];
static uint64_t answers, failures;

static void call(Caller *who) {
    who->begin = now();
    who->busy = 1;
    if (send(who->fd, request, request_length, MSG_NOSIGNAL) != request_length) die("send");
}

static void receive(Caller *who) {
    ssize_t size = recv(who->fd, who->in + who->have, ROOM - 1 - who->have, 0);
    if (size <= 0) die("the gateway has closed");
    who->in[who->have += size] = 0;
    char *body = strstr(who->in, "\r\n\r\n"), *length = strcasestr(who->in, "\r\ncontent-length:");
    if (!body || !length || (size_t)(body + 4 - who->in) + strtoul(length + 17, NULL, 10) > who->have) return;
    note(now() - who->begin);
    answers++;
    failures += strncmp(who->in, "HTTP/1.1 200", 12) != 0;
    who->have = who->busy = 0;
    if (going) call(who);
}

static void obey(char *line) {
    if (!strcmp(line, "report")) {
        printf("{\"answers\": %llu, \"failures\": %llu, \"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f}\n",
               (unsigned long long)answers, (unsigned long long)failures, quantile(0.5), quantile(0.99),
               histogram_max / 1e6);
        fflush(stdout);
        return;
    }
    going = !strcmp(line, "go");
    if (!going) return;
    forget();
    answers = failures = 0;
    for (int i = 0; i < count; i++)
        if (!callers[i].busy) call(&callers[i]);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int epoll = epoll_create1(0);
    count = atoi(argv[3]);
    callers = calloc(count, sizeof *callers);
    request_length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[2]);
    many_files();
    watch(epoll, 0, EPOLLIN, NULL);
    for (int i = 0; i < count; i++) {
        callers[i].fd = connected(atoi(argv[1]));
        watch(epoll, callers[i].fd, EPOLLIN, &callers[i]);
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[64];
        int happened = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < happened; i++) {
            if (events[i].data.ptr) receive(events[i].data.ptr);
            else commands(obey);
        }
    }
}
