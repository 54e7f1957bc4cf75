// On ws, the usual WebSocket library of Node.js. The package is found from the directory that it is started in.
import { createRequire } from "node:module";
import { join } from "node:path";

const { WebSocket, WebSocketServer } = createRequire(join(process.cwd(), "package.json"))("ws");

const FIELDS = {
  104: ["SymbolID", "SessionSettlementPrice", "SessionOpenPrice", "SessionHighPrice", "SessionLowPrice", "SessionVolume",
    "SessionNumTrades", "OpenInterest", "BidPrice", "AskPrice", "AskQuantity", "BidQuantity", "LastTradePrice",
    "LastTradeVolume", "LastTradeDateTime", "BidAskDateTime", "SessionSettlementDateTime", "TradingSessionDate",
    "TradingStatus", "MarketDepthUpdateDateTime"],
  107: ["SymbolID", "AtBidOrAsk", "Price", "Volume", "DateTime"],
};
const bySymbol = new Map();
const byId = new Map();

const server = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/`, { perMessageDeflate: false });

server.on("message", (data) => {
  for (const text of data.toString("latin1").split("\0")) {
    const message = text ? JSON.parse(text) : {};
    const names = FIELDS[message.Type];
    const topic = names && byId.get(message.F[0]);
    if (!topic) continue;
    const update = { Symbol: topic.symbol, Type: message.Type };
    names.forEach((name, index) => { update[name] = message.F[index]; });
    const payload = Buffer.from(JSON.stringify(update));
    if (message.Type === 104) topic.snapshot = payload;
    for (const each of topic.subscribers) each.send(payload, { binary: false });
  }
});

server.on("open", () => {
  server.send('{"Type":1,"ProtocolVersion":8,"HeartbeatIntervalInSeconds":3600,"ClientName":"ws","TradeMode":2,"Integer_1":0}\0');
  const listener = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
  listener.on("connection", (connection) => {
    connection.on("message", (data) => {
      const { symbol } = JSON.parse(data);
      let topic = bySymbol.get(symbol);
      if (!topic) {
        topic = { symbol, subscribers: new Set(), snapshot: null };
        bySymbol.set(symbol, topic);
        byId.set(bySymbol.size, topic);
        server.send(JSON.stringify({ Type: 101, RequestAction: 1, SymbolID: bySymbol.size, Symbol: symbol }) + "\0");
      }
      topic.subscribers.add(connection);
      connection.send(JSON.stringify({ action: "subscribe", symbol, success: true }));
      if (topic.snapshot) connection.send(topic.snapshot, { binary: false });
    });
    connection.on("close", () => bySymbol.forEach((topic) => topic.subscribers.delete(connection)));
  });
  listener.on("listening", () => console.log(`Serving http://127.0.0.1:${listener.address().port}/`));
});
