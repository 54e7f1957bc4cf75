/* Subscribers in one process: receivers PORT PATH N S K SYMBOL
 *
 * Open N connections, each subscribed to SYMBOL, or with S > 1 to K random symbols of SYMBOL0 ... SYMBOL(S-1).
 * Print "ready" when all are confirmed. Commands on stdin:
 *
 *   go       reset all counters
 *   report   print the counters: frames, of all and of the subscribers with the fewest and the most; reads of a
 *            socket (fewer than frames if updates were joined); messages that the gateway skipped; milliseconds from the
 *            DateTime of a message to its arrival; frames since the start; subscribers that the gateway has closed
 */
#include "ws.h"

enum { ROOM = 1 << 18 };

typedef struct {
    int fd;
    size_t have;
    uint64_t frames;
    char in[ROOM]; /* unused pages need no memory */
} Subscriber;

static Subscriber *subscribers;
static int count;
static uint64_t answers, skipped, gone, total, reads;

static void take(const Frame *message, int64_t time, Subscriber *to) {
    if (message->opcode != 1) return;
    const char *found = json_value(message->payload, message->length, "DateTime");
    if (found) {
        int64_t seconds = 0, part = 0, unit = 1000000000;
        for (; *found >= '0' && *found <= '9'; found++) seconds = seconds * 10 + *found - '0';
        if (*found == '.')
            for (found++; *found >= '0' && *found <= '9' && unit > 1; found++) part += (unit /= 10) * (*found - '0');
        note(time - seconds * 1000000000 - part);
    } else if (json_value(message->payload, message->length, "success")) {
        answers++;
        return;
    } else if (memmem(message->payload, message->length, "\"skipped\"", 9)) {
        skipped += json_integer(message->payload, message->length, "messages");
        return;
    }
    to->frames++;
    total++;
}

static void receive(Subscriber *from, int epoll) {
    ssize_t size = recv(from->fd, from->in + from->have, ROOM - from->have, 0);
    if (size <= 0) {
        if (size < 0 && errno == EAGAIN) return;
        gone++;
        epoll_ctl(epoll, EPOLL_CTL_DEL, from->fd, NULL);
        return;
    }
    reads++;
    int64_t time = now();
    size_t used = 0;
    from->have += size;
    for (Frame message; parse(from->in + used, from->have - used, &message); used += message.total)
        take(&message, time, from);
    memmove(from->in, from->in + used, from->have -= used);
}

static void obey(char *line) {
    if (!strcmp(line, "report")) {
        uint64_t all = 0, least = UINT64_MAX, most = 0;
        for (int i = 0; i < count; i++) {
            uint64_t frames = subscribers[i].frames;
            all += frames;
            least = frames < least ? frames : least;
            most = frames > most ? frames : most;
        }
        printf("{\"frames\": %llu, \"least\": %llu, \"most\": %llu, \"reads\": %llu, \"skipped\": %llu, \"total\": %llu, \"gone\": %llu, \"p50\": %.4f, "
               "\"p90\": %.4f, \"p99\": %.4f, \"max\": %.4f}\n",
               (unsigned long long)all, (unsigned long long)least, (unsigned long long)most, (unsigned long long)reads,
               (unsigned long long)skipped, (unsigned long long)total, (unsigned long long)gone, quantile(0.5), quantile(0.9), quantile(0.99),
               histogram_max / 1e6);
        fflush(stdout);
    } else {
        forget();
        skipped = reads = 0;
        for (int i = 0; i < count; i++) subscribers[i].frames = 0;
    }
}

static const char *channel = ""; /* of /stream */

static void subscribe(int fd, const char *symbol) {
    char text[200], message[220];
    int length = snprintf(text, sizeof text, "{\"action\":\"subscribe\",%s\"symbol\":\"%s\"}", channel, symbol);
    size_t size = frame(message, text, length, 1);
    if (send(fd, message, size, 0) != (ssize_t)size) die("send");
}

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    int port = atoi(argv[1]), symbols = atoi(argv[4]), each = atoi(argv[5]), epoll = epoll_create1(0), ready = 0;
    count = atoi(argv[3]);
    if (strstr(argv[2], "/stream")) channel = "\"channel\":\"marketdata\",";
    subscribers = calloc(count, sizeof *subscribers);
    char *taken = calloc(symbols, 1);
    many_files();
    srand(1); /* the same choice for each gateway */
    watch(epoll, 0, EPOLLIN, NULL);
    for (int i = 0; i < count; i++) {
        int fd = subscribers[i].fd = connected(port);
        upgrade(fd, argv[2]);
        non_blocking(fd);
        watch(epoll, fd, EPOLLIN, &subscribers[i]);
        if (symbols == 1) subscribe(fd, argv[6]);
        memset(taken, 0, symbols);
        for (int k = 0; symbols > 1 && k < each; k++) {
            char symbol[100];
            int chosen;
            do chosen = rand() % symbols;
            while (taken[chosen]);
            taken[chosen] = 1;
            snprintf(symbol, sizeof symbol, "%s%d", argv[6], chosen);
            subscribe(fd, symbol);
        }
    }
    for (;;) {
        struct epoll_event events[64];
        int happened = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < happened; i++) {
            if (events[i].data.ptr) receive(events[i].data.ptr, epoll);
            else commands(obey);
        }
        if (!ready && answers >= (uint64_t)count * (symbols == 1 ? 1 : each)) {
            ready = 1;
            puts("ready");
            fflush(stdout);
        }
    }
}
