/* Serve /marketdata at the lowest possible cost: gateway PORT [SYMBOL]
 *
 * Log on to the DTC server at PORT, subscribe to SYMBOL at the start, serve /marketdata to WebSockets, and send the same
 * bytes as `twistd dtc`: each trade with names and symbol, framed once, all updates of a read in one write to each
 * subscriber. Nothing else: no REST, no depth, no reconnecting, and slow readers miss messages.
 */
#include "ws.h"

enum { MOST = 65536, ROOM = 1 << 16, QUEUE = 1 << 20 };

typedef struct {
    int fd, open, waits; /* until its socket is writable */
    size_t have, length; /* of in and out */
    char *out;
    size_t room;
    char in[ROOM];
} Subscriber;

typedef struct {
    char name[64];
    char *snapshot; /* a frame */
    size_t snapshot_length;
    Subscriber **subscribers;
    int count, room;
} Symbol;

static int epoll, upstream, symbols_count, touched_count;
static Symbol symbols[MOST]; /* by SymbolID */
static Subscriber *touched[MOST];

static void put(Subscriber *to, const char *bytes, size_t length) {
    if (to->length + length > QUEUE) return;
    if (to->length + length > to->room) to->out = realloc(to->out, to->room = 2 * (to->length + length));
    if (!to->length) touched[touched_count++] = to;
    memcpy(to->out + to->length, bytes, length);
    to->length += length;
}

static void leave(Subscriber *who) {
    for (int id = 1; id <= symbols_count; id++)
        for (int i = 0; i < symbols[id].count; i++)
            if (symbols[id].subscribers[i] == who)
                symbols[id].subscribers[i--] = symbols[id].subscribers[--symbols[id].count];
    close(who->fd);
    who->fd = -1; /* not freed, because it may be among the touched ones */
}

static void send_out(Subscriber *to) {
    if (to->fd < 0 || !to->length) return;
    ssize_t count = send(to->fd, to->out, to->length, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) {
        leave(to);
        return;
    }
    if (count > 0) memmove(to->out, to->out + count, to->length -= count);
    if (to->waits != (to->length > 0)) {
        to->waits = to->length > 0;
        watch(epoll, to->fd, EPOLLIN | (to->waits ? EPOLLOUT : 0), to);
    }
}

static void ask(const char *text, int length) {
    char message[400];
    size_t size = frame(message, text, length + 1, 1);
    if (send(upstream, message, size, MSG_NOSIGNAL) != (ssize_t)size) die("send");
}

static const char *const TRADE[] = {"SymbolID", "AtBidOrAsk", "Price", "Volume", "DateTime", NULL};
static const char *const SNAPSHOT[] = {
    "SymbolID", "SessionSettlementPrice", "SessionOpenPrice", "SessionHighPrice", "SessionLowPrice", "SessionVolume",
    "SessionNumTrades", "OpenInterest", "BidPrice", "AskPrice", "AskQuantity", "BidQuantity", "LastTradePrice",
    "LastTradeVolume", "LastTradeDateTime", "BidAskDateTime", "SessionSettlementDateTime", "TradingSessionDate",
    "TradingStatus", "MarketDepthUpdateDateTime", NULL};

static void relay(const char *text, size_t length) {
    long type = json_integer(text, length, "Type");
    const char *values = json_value(text, length, "F"), *end = text + length;
    if (!values || *values != '[' || (type != 107 && type != 104)) return;
    Symbol *symbol = &symbols[strtol(++values, NULL, 10) % MOST];
    char payload[1200], framed[1300], *to = payload;
    to = stpcpy(stpcpy(stpcpy(to, "{\"Symbol\":\""), symbol->name), type == 107 ? "\",\"Type\":107" : "\",\"Type\":104");
    for (const char *const *name = type == 107 ? TRADE : SNAPSHOT; *name && values < end && *values != ']'; name++) {
        to = stpcpy(stpcpy(stpcpy(to, ",\""), *name), "\":");
        while (values < end && *values != ',' && *values != ']') *to++ = *values++;
        values += *values == ',';
    }
    *to++ = '}';
    size_t size = frame(framed, payload, to - payload, 0);
    if (type == 104) {
        free(symbol->snapshot);
        symbol->snapshot = memcpy(malloc(size), framed, symbol->snapshot_length = size);
    }
    for (int i = 0; i < symbol->count; i++) put(symbol->subscribers[i], framed, size);
}

static void read_upstream(void) {
    static char in[1 << 20];
    static size_t have;
    ssize_t count = recv(upstream, in + have, ROOM, 0);
    if (count <= 0) exit(0);
    have += count;
    size_t used = 0;
    for (Frame message; parse(in + used, have - used, &message); used += message.total) {
        char *from = message.payload, *end = from + message.length, *stop;
        for (; from < end; from = stop + 1) {
            if (!(stop = memchr(from, 0, end - from))) stop = end;
            relay(from, stop - from);
        }
    }
    memmove(in, in + used, have -= used);
    for (int i = 0; i < touched_count; i++)
        if (!touched[i]->waits) send_out(touched[i]);
    touched_count = 0;
}

static int id_of(const char *name) {
    for (int id = 1; id <= symbols_count; id++)
        if (!strcmp(symbols[id].name, name)) return id;
    if (symbols_count == MOST - 1) die("too many symbols");
    char text[200];
    strcpy(symbols[++symbols_count].name, name);
    ask(text, snprintf(text, sizeof text, "{\"Type\":101,\"RequestAction\":1,\"SymbolID\":%d,\"Symbol\":\"%s\"}",
                       symbols_count, name));
    return symbols_count;
}

static void act(Subscriber *who, const Frame *message) {
    char name[64], text[200], framed[220];
    if (message->opcode == 8) {
        leave(who);
        return;
    }
    if (!json_string(message->payload, message->length, "symbol", name, sizeof name)) return;
    Symbol *symbol = &symbols[id_of(name)];
    if (symbol->count == symbol->room)
        symbol->subscribers = realloc(symbol->subscribers, sizeof who * (symbol->room = 2 * symbol->room + 8));
    symbol->subscribers[symbol->count++] = who;
    int length = snprintf(text, sizeof text, "{\"action\": \"subscribe\", \"symbol\": \"%s\", \"success\": true}", name);
    put(who, framed, frame(framed, text, length, 0));
    if (symbol->snapshot) put(who, symbol->snapshot, symbol->snapshot_length);
}

static void read_subscriber(Subscriber *from) {
    ssize_t count = recv(from->fd, from->in + from->have, ROOM - 1 - from->have, 0);
    if (count <= 0) {
        if (count == 0 || errno != EAGAIN) leave(from);
        return;
    }
    from->in[from->have += count] = 0;
    if (!from->open) {
        char text[400];
        int length = welcome(from->in, text, sizeof text);
        if (length < 0) leave(from);
        if (length <= 0) return;
        put(from, text, length);
        from->open = 1;
        from->have = 0;
    }
    size_t used = 0;
    for (Frame message; from->fd >= 0 && parse(from->in + used, from->have - used, &message); used += message.total)
        act(from, &message);
    memmove(from->in, from->in + used, from->have -= used);
    send_out(from);
    touched_count = 0;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    static char logon[] = "{\"Type\":1,\"ProtocolVersion\":8,\"HeartbeatIntervalInSeconds\":3600,\"ClientName\":\"c\","
                          "\"TradeMode\":2,\"Integer_1\":0}";
    many_files();
    epoll = epoll_create1(0);
    upstream = connected(atoi(argv[1]));
    upgrade(upstream, "/");
    ask(logon, sizeof logon - 1);
    if (argc > 2) id_of(argv[2]);
    int listener = listening();
    watch(epoll, listener, EPOLLIN, &listener);
    watch(epoll, upstream, EPOLLIN, &upstream);
    for (;;) {
        struct epoll_event events[64];
        int happened = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < happened; i++) {
            void *what = events[i].data.ptr;
            if (what == &upstream) {
                read_upstream();
            } else if (what == &listener) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0) continue;
                no_delay(fd);
                Subscriber *new = calloc(1, sizeof *new);
                new->fd = fd;
                watch(epoll, fd, EPOLLIN, new);
            } else {
                Subscriber *subscriber = what;
                if (subscriber->fd >= 0 && events[i].events & EPOLLOUT) send_out(subscriber);
                if (subscriber->fd >= 0 && events[i].events & ~EPOLLOUT) read_subscriber(subscriber);
            }
        }
    }
}
