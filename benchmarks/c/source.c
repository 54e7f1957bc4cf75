/* Serve DTC and send updates at a rate. Commands on stdin:
 *
 *   rate R K   R messages a second, K of them in one write; R = 0: none
 *   max        as many messages as the gateway reads
 *   count      print {"sent": messages so far, "behind": largest number of messages that were due and not sent since the
 *              last count}
 *
 * The updates are trades (type 107) of each symbol in turn; DateTime is the time of sending. A gateway that has subscribed
 * only to depth gets changes of one level (106). A balance request is answered after 5 ms. One gateway is served.
 */
#include "ws.h"
#include <poll.h>
#include <sys/prctl.h>

enum { MOST = 65536, DELAY = 5000000, HEARTBEAT = 5 };

static int client = -1, handshaken;
static char in[1 << 20], out[1 << 18];
static size_t have, out_length, out_sent;
static int data_ids[MOST], depth_ids[MOST], data_count, depth_count;
static double rate;
static int burst = 1, flat_out;
static int64_t since, due_sent, next_heartbeat;
static uint64_t sent, behind, turn;
static struct {
    int64_t due;
    long request;
} balances[MOST]; /* a ring */
static unsigned first, last;

static void disconnect(void) {
    close(client);
    client = -1;
    handshaken = data_count = depth_count = 0;
    have = out_length = out_sent = first = last = 0;
}

static int flush_out(void) {
    while (client >= 0 && out_sent < out_length) {
        ssize_t count = send(client, out + out_sent, out_length - out_sent, MSG_NOSIGNAL);
        if (count < 0) {
            if (errno == EAGAIN) return 0;
            disconnect();
            return 0;
        }
        out_sent += count;
    }
    out_length = out_sent = 0;
    return 1;
}

static void put(const char *text, size_t length) { /* with its NUL */
    if (out_length + length + 8 > sizeof out) die("the gateway does not read");
    out_length += frame(out + out_length, text, length + 1, 0);
}

static char *digits(char *to, uint64_t value, int width) {
    char text[20];
    int count = 0;
    do text[count++] = '0' + value % 10;
    while ((value /= 10) || count < width);
    while (count) *to++ = text[--count];
    return to;
}

static char *copied(char *to, const char *text) { return stpcpy(to, text); }

static void put_update(void) {
    char text[200], *to;
    int64_t time = now() / 1000;
    turn++;
    if (data_count) {
        to = digits(copied(text, "{\"Type\":107,\"F\":["), data_ids[turn % data_count], 1);
        to = copied(to, turn & 1 ? ",1,2827" : ",2,2828");
        to = digits(to, turn % 4 * 25, 2);
        *to++ = ',';
        to = digits(to, turn % 90 + 1, 1);
        *to++ = ',';
    } else {
        int level = turn % 20;
        to = digits(copied(text, "{\"Type\":106,\"F\":["), depth_ids[turn % depth_count], 1);
        to = copied(to, level < 10 ? ",1," : ",2,");
        to = digits(to, level < 10 ? 282775 - 25 * level : 282800 + 25 * (level - 10), 1);
        *to++ = ',';
        to = digits(to, turn / 20 % 90 + 1, 1);
        to = copied(to, ",1,");
    }
    to = digits(to, time / 1000000, 1);
    *to++ = '.';
    to = digits(to, time % 1000000, 6);
    to = copied(to, data_count ? "]}" : ",9,1,1]}");
    put(text, to - text);
    sent++;
}

/* Send the updates that are due. Return the nanoseconds until the next call. */
static int64_t produce(void) {
    if (client < 0 || !handshaken || !flush_out()) return 1000000000;
    int64_t time = now();
    if (time >= next_heartbeat) {
        next_heartbeat = time + HEARTBEAT * 1000000000LL;
        char text[100];
        put(text, snprintf(text, sizeof text, "{\"Type\":3,\"F\":[0,%lld]}", (long long)(time / 1000000000)));
    }
    for (; first != last && balances[first % MOST].due <= time; first++) {
        for (int number = 1; number <= 2; number++) {
            char text[600];
            put(text, snprintf(text, sizeof text,
                               "{\"Type\":600,\"RequestID\":%ld,\"CashBalance\":104250.0,"
                               "\"BalanceAvailableForNewPositions\":70470.0,\"AccountCurrency\":\"USD\","
                               "\"TradeAccount\":\"Sim%d\",\"SecuritiesValue\":105070.0,\"MarginRequirement\":34600.0,"
                               "\"TotalNumberMessages\":2,\"MessageNumber\":%d,\"NoAccountBalances\":0,\"Unsolicited\":0,"
                               "\"OpenPositionsProfitLoss\":820.0,\"DailyProfitLoss\":820.0,\"TradingIsDisabled\":0}",
                               balances[first % MOST].request, number, number));
        }
    }
    if (!flush_out()) return 1000000000;
    int64_t wait = first != last ? balances[first % MOST].due - time : next_heartbeat - time;
    if (!data_count && !depth_count) {
        since = time;
        due_sent = 0;
        return wait;
    }
    if (flat_out) {
        for (int writes = 0; writes < 8; writes++) { /* then handle other events */
            while (out_length < 60000) put_update();
            if (!flush_out()) return 1000000000;
        }
        return 0;
    }
    if (rate <= 0) return wait;
    int64_t due = (int64_t)((time - since) / 1e9 * rate) / burst * burst;
    if (due - due_sent > (int64_t)behind + burst) behind = due - due_sent - burst;
    while (due_sent < due) {
        for (int i = 0; i < burst; i++) put_update();
        due_sent += burst;
        if (!flush_out()) return 1000000000;
    }
    int64_t next = since + (int64_t)((due_sent + burst) / rate * 1e9) - now();
    return next < wait ? (next > 0 ? next : 0) : wait;
}

static void remember(int *ids, int *count, int id, int wanted) {
    for (int i = 0; i < *count; i++)
        if (ids[i] == id) ids[i--] = ids[--*count];
    if (wanted && *count < MOST) ids[(*count)++] = id;
}

static void answer(const char *text, size_t length) {
    char reply[2000];
    int id = json_integer(text, length, "SymbolID"), wanted = json_integer(text, length, "RequestAction") == 1;
    switch (json_integer(text, length, "Type")) {
    case 1:
        put(reply, snprintf(reply, sizeof reply, "{\"Type\":701,\"MessageText\":\"SC DTC Server: logon.\"}"));
        put(reply,
            snprintf(reply, sizeof reply,
                     "{\"Type\":2,\"ProtocolVersion\":8,\"Result\":1,\"ResultText\":\"Connected to SC DTC Protocol "
                     "server. Service=load|SymbolSettings=load\",\"ReconnectAddress\":\"\",\"Integer_1\":0,"
                     "\"ServerName\":\"SC DTC Server\",\"MarketDepthUpdatesBestBidAndAsk\":0,\"TradingIsSupported\":1,"
                     "\"OCOOrdersSupported\":1,\"OrderCancelReplaceSupported\":1,\"SymbolExchangeDelimiter\":\"\","
                     "\"SecurityDefinitionsSupported\":1,\"HistoricalPriceDataSupported\":0,"
                     "\"ResubscribeWhenMarketDataFeedAvailable\":0,\"MarketDepthIsSupported\":1,"
                     "\"OneHistoricalPriceDataRequestPerConnection\":0,\"BracketOrdersSupported\":1,"
                     "\"UsesMultiplePositionsPerSymbolAndTradeAccount\":0,\"MarketDataSupported\":1}"));
        break;
    case 101:
        if (wanted)
            put(reply, snprintf(reply, sizeof reply,
                                "{\"Type\":104,\"F\":[%d,282950,277700,283500,275525,1512437,488815,3332460,282775,"
                                "282825,67,57,282825,2,1795556238.693,1795556238.693,0,1795478400,2,1795556238.693]}",
                                id));
        remember(data_ids, &data_count, id, wanted);
        break;
    case 102:
        for (int level = 0; wanted && level < 20; level++)
            put(reply, snprintf(reply, sizeof reply, "{\"Type\":122,\"F\":[%d,%d,%d,99,%d,%d,%d,1795556238.893,9]}", id,
                                level < 10 ? 1 : 2, level < 10 ? 282775 - 25 * level : 282800 + 25 * (level - 10),
                                level % 10 + 1, level == 0, level == 19));
        remember(depth_ids, &depth_count, id, wanted);
        break;
    case 601:
        balances[last % MOST].due = now() + DELAY;
        balances[last++ % MOST].request = json_integer(text, length, "RequestID");
        break;
    }
}

static void take(void) {
    ssize_t count = recv(client, in + have, sizeof in - 1 - have, 0);
    if (count <= 0) {
        if (count == 0 || errno != EAGAIN) disconnect();
        return;
    }
    have += count;
    in[have] = 0;
    if (!handshaken) {
        int length = welcome(in, out, sizeof out);
        if (length < 0) disconnect();
        if (length <= 0) return;
        out_length = length;
        flush_out();
        handshaken = 1;
        have = 0; /* a client sends nothing before the answer */
        return;
    }
    Frame message;
    size_t used = 0;
    while (parse(in + used, have - used, &message)) {
        used += message.total;
        if (message.opcode == 8) {
            disconnect();
            return;
        }
        if (message.opcode <= 2) answer(message.payload, message.length);
        if (out_length > sizeof out / 2 && !flush_out()) break;
    }
    memmove(in, in + used, have -= used);
}

static void obey(char *line) {
    if (!strcmp(line, "count")) {
        printf("{\"sent\": %llu, \"behind\": %llu}\n", (unsigned long long)sent, (unsigned long long)behind);
        fflush(stdout);
        behind = 0;
        return;
    }
    flat_out = !strcmp(line, "max");
    if (flat_out || sscanf(line, "rate %lf %d", &rate, &burst) != 2) rate = 0;
    since = now();
    due_sent = 0;
}

int main(void) {
    prctl(PR_SET_TIMERSLACK, 1L);
    int listener = listening();
    for (;;) {
        int64_t wait = produce();
        struct pollfd watched[3] = {
            {.fd = 0, .events = POLLIN},
            {.fd = listener, .events = client < 0 ? POLLIN : 0},
            {.fd = client, .events = POLLIN | (out_length ? POLLOUT : 0)},
        };
        struct timespec time = {wait / 1000000000, wait % 1000000000};
        if (ppoll(watched, 3, &time, NULL) <= 0) continue;
        if (watched[0].revents) commands(obey);
        if (watched[1].revents && (client = accept(listener, NULL, NULL)) >= 0) {
            non_blocking(client);
            no_delay(client);
        }
        if (client == watched[2].fd && watched[2].revents & (POLLIN | POLLHUP | POLLERR)) take();
    }
}
