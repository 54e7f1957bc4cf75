/* Encode and decode WebSocket: handshakes, and complete frames of less than 64 KiB. */
#include "common.h"

static inline uint32_t rotated(uint32_t value, int by) { return value << by | value >> (32 - by); }

/* SHA-1 of less than 119 bytes. */
static inline void sha1(const char *text, size_t length, unsigned char digest[20]) {
    unsigned char block[128] = {0};
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}, w[80];
    size_t size = length < 56 ? 64 : 128;
    memcpy(block, text, length);
    block[length] = 0x80;
    block[size - 2] = length * 8 >> 8;
    block[size - 1] = length * 8;
    for (unsigned char *part = block; part < block + size; part += 64) {
        for (int t = 0; t < 16; t++)
            w[t] = (uint32_t)part[4 * t] << 24 | part[4 * t + 1] << 16 | part[4 * t + 2] << 8 | part[4 * t + 3];
        for (int t = 16; t < 80; t++) w[t] = rotated(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int t = 0; t < 80; t++) {
            uint32_t f = t < 20   ? ((b & c) | (~b & d)) + 0x5A827999
                         : t < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                         : t < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                                  : (b ^ c ^ d) + 0xCA62C1D6;
            uint32_t next = rotated(a, 5) + f + e + w[t];
            e = d, d = c, c = rotated(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) digest[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

/* Sec-WebSocket-Accept of a Sec-WebSocket-Key. */
static inline void accept_of(const char *key, char out[29]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[100];
    unsigned char digest[21] = {0};
    int length = snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(text, length, digest);
    for (int i = 0; i < 7; i++) {
        uint32_t three = digest[3 * i] << 16 | digest[3 * i + 1] << 8 | digest[3 * i + 2];
        for (int j = 0; j < 4; j++) out[4 * i + j] = digits[three >> (18 - 6 * j) & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

/* Answer an upgrade request. Return 0 if the request is incomplete, -1 if it is another request. */
static inline int welcome(char *request, char *out, size_t room) {
    if (!strstr(request, "\r\n\r\n")) return 0;
    char *key = strcasestr(request, "\r\nsec-websocket-key:"), accept[29];
    if (!key) return -1;
    for (key += 20; *key == ' '; key++);
    accept_of(key, accept);
    return snprintf(out, room,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Accept: %s\r\n\r\n",
                    accept);
}

/* Perform a client's handshake on a blocking socket. Later bytes of the server stay in the socket. */
static inline void upgrade(int fd, const char *path) {
    char text[4096];
    int length = snprintf(text, sizeof text,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                          path);
    if (send(fd, text, length, 0) != length) die("send");
    for (length = 0;;) {
        if (length == sizeof text - 1 || recv(fd, text + length, 1, 0) != 1) die("no handshake");
        text[++length] = 0;
        if (length > 4 && !strcmp(text + length - 4, "\r\n\r\n")) break;
    }
    if (strncmp(text, "HTTP/1.1 101", 12)) die(text);
}

/* Encode the head of a frame. A client's frame has a mask of zeros, which does not change the payload. */
static inline size_t head(char *out, int opcode, size_t length, int client) {
    size_t size = 2;
    out[0] = 0x80 | opcode;
    out[1] = (client ? 0x80 : 0) | (length < 126 ? length : 126);
    if (length >= 126) {
        out[2] = length >> 8;
        out[3] = length;
        size = 4;
    }
    if (client) {
        memset(out + size, 0, 4);
        size += 4;
    }
    return size;
}

static inline size_t frame(char *out, const char *payload, size_t length, int client) {
    size_t size = head(out, 1, length, client);
    memcpy(out + size, payload, length);
    return size + length;
}

typedef struct {
    int opcode;
    char *payload;
    size_t length, total; /* of the payload, and with its head */
} Frame;

/* Decode the frame at the start of `data`, and unmask it. Return 0 if it is incomplete. */
static inline int parse(char *data, size_t have, Frame *out) {
    if (have < 2) return 0;
    unsigned char *bytes = (unsigned char *)data;
    size_t length = bytes[1] & 127, size = 2;
    if (length == 127) die("a frame is too long");
    if (length == 126) {
        if (have < 4) return 0;
        length = bytes[2] << 8 | bytes[3];
        size = 4;
    }
    unsigned char *mask = bytes[1] & 0x80 ? bytes + size : NULL;
    size += mask ? 4 : 0;
    if (have < size + length) return 0;
    for (size_t i = 0; mask && i < length; i++) bytes[size + i] ^= mask[i & 3];
    *out = (Frame){bytes[0] & 15, data + size, length, size + length};
    return 1;
}
