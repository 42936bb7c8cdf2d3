"""AMQP 0-9-1 as far as it is used here, for both ends; as a client it looks like the library of the same name."""

import collections
import socket
import struct

PORT = 5672
START, START_OK, TUNE, TUNE_OK, OPEN, OPEN_OK, CLOSE, CLOSE_OK = (
    (10, 10), (10, 11), (10, 30), (10, 31), (10, 40), (10, 41), (10, 50), (10, 51))
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (20, 10), (20, 11), (20, 40), (20, 41)
DECLARE, DECLARE_OK = (50, 10), (50, 11)

Declared = collections.namedtuple("Declared", "queue message_count consumer_count")


class AMQPError(Exception):
    """What the broker said, or that it said nothing."""


class AccessRefused(AMQPError):
    """403."""


class NotFound(AMQPError):
    """404."""


def short(text):
    data = text.encode()
    return bytes([len(data)]) + data


def long(data):
    return struct.pack(">I", len(data)) + data


def table(values):
    """Texts by name."""
    return long(b"".join(short(key) + b"S" + long(value.encode()) for key, value in values.items()))


class Reader:
    """Takes the arguments of a method apart."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0]

    def bytes(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def short(self):
        return self.bytes(self.take("B")).decode()

    def long(self):
        return self.bytes(self.take("I"))

    def table(self):
        inner, values = Reader(self.long()), {}
        while inner.at < len(inner.data):
            key, kind = inner.short(), inner.bytes(1)
            if kind == b"S":
                values[key] = inner.long().decode()
            elif kind == b"F":
                values[key] = inner.table()
            elif kind in (b"t", b"B", b"b"):
                values[key] = inner.take("B")
            elif kind in (b"I", b"i", b"f"):
                values[key] = inner.take("I")
            else:
                raise AMQPError(f"a field of type {kind}")
        return values


def send(stream, channel, method, arguments=b""):
    payload = struct.pack(">HH", *method) + arguments
    stream.sendall(struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce")


def exactly(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise AMQPError("the other end has closed the connection")
        data += part
    return data


def receive(stream):
    """Channel, method and arguments; heartbeats are skipped."""
    while True:
        kind, channel, size = struct.unpack(">BHI", exactly(stream, 7))
        payload = exactly(stream, size + 1)[:-1]
        if kind == 1:
            return channel, struct.unpack_from(">HH", payload), Reader(payload[4:])


def refused(arguments):
    code, text = arguments.take("H"), arguments.short()
    kind = {403: AccessRefused, 404: NotFound}.get(code, AMQPError)
    return kind(f"{code} {text}")


class Connection:
    """A login that stays."""

    def __init__(self, host, userid="guest", password="guest", virtual_host="/", connect_timeout=None, name="", **_):
        address, _, port = host.partition(":")
        self.place = (address, int(port or PORT))
        self.login, self.vhost, self.timeout, self.name = (userid, password), virtual_host, connect_timeout, name
        self.stream, self.channels = None, 0

    def connect(self):
        self.stream = stream = socket.create_connection(self.place, self.timeout)
        stream.sendall(b"AMQP\0\0\x09\x01")
        self.expect(START)
        about = table({"connection_name": self.name, "hostname": socket.gethostname()})
        user, password = self.login
        send(stream, 0, START_OK, about + short("PLAIN") + long(f"\0{user}\0{password}".encode()) + short("en_US"))
        self.expect(TUNE)
        send(stream, 0, TUNE_OK, struct.pack(">HIH", 2047, 131072, 0))
        send(stream, 0, OPEN, short(self.vhost) + b"\0\0")
        self.expect(OPEN_OK)

    def expect(self, wanted):
        _, method, arguments = receive(self.stream)
        if method in (CLOSE, CHANNEL_CLOSE):
            raise refused(arguments)
        if method != wanted:
            raise AMQPError(f"method {method} where {wanted} was expected")
        return arguments

    def channel(self):
        self.channels += 1
        send(self.stream, self.channels, CHANNEL_OPEN, short(""))
        self.expect(CHANNEL_OPEN_OK)
        return Channel(self, self.channels)

    def close(self):
        self.stream.close()


class Channel:
    def __init__(self, connection, number):
        self.connection, self.number = connection, number

    def queue_declare(self, queue, passive=False, **_):
        arguments = struct.pack(">H", 0) + short(queue) + bytes([passive]) + table({})
        send(self.connection.stream, self.number, DECLARE, arguments)
        try:
            reply = self.connection.expect(DECLARE_OK)
        except NotFound:
            send(self.connection.stream, self.number, CHANNEL_CLOSE_OK)
            raise
        return Declared(reply.short(), reply.take("I"), reply.take("I"))
