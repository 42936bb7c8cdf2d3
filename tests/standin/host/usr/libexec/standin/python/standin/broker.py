"""RabbitMQ 3.6: logins, virtual hosts and queues as far as others can see them, and `rabbitmqctl`."""

import json
import os
import re
import socket
import struct
import sys
import threading

import amqp

from .configuration import Wrong

HOME = "/var/lib/rabbitmq"
CONTROL = f"{HOME}/standin.socket"
# Who asks here is told who is connected: what stands in for remote calls.
CONNECTED = "\0standin-connected"
# The queues that a program reads, by the name of its connection.
READS = {
    "neutron-server": ("q-plugin", "q-l3-plugin", "q-reports-plugin", "q-server-resource-versions"),
    "neutron-rpc-server": ("q-plugin", "q-l3-plugin", "q-reports-plugin"),
    "nova-conductor": ("conductor",),
    "nova-scheduler": ("scheduler",),
    "nova-consoleauth": ("consoleauth",),
    "cinder-scheduler": ("cinder-scheduler",),
    "heat-engine": ("engine",),
}


class Broker:
    def __init__(self):
        self.lock = threading.RLock()
        self.connections = {}
        try:
            with open(f"{HOME}/users.json") as file:
                self.state = json.load(file)
        except FileNotFoundError:
            everything = {"/": [".*", ".*", ".*"]}
            self.state = {"vhosts": ["/"], "users": {"guest": {"password": "guest", "tags": ["administrator"], "permissions": everything}}}

    def save(self):
        with open(f"{HOME}/users.json.new", "w") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump(self.state, file)
        os.rename(f"{HOME}/users.json.new", f"{HOME}/users.json")

    def consumers(self, queue):
        with self.lock:
            names = [about["connection_name"] for about in self.connections.values()]
        return sum(queue in READS.get(name, ()) for name in names)

    def talk(self, stream, peer):
        """One connection, from greeting to end."""
        try:
            if amqp.exactly(stream, 8) != b"AMQP\0\0\x09\x01":
                stream.sendall(b"AMQP\0\0\x09\x01")
                return
            start = struct.pack(">BB", 0, 9) + amqp.table({"product": "RabbitMQ", "version": "3.6.16"})
            amqp.send(stream, 0, amqp.START, start + amqp.long(b"PLAIN AMQPLAIN") + amqp.long(b"en_US"))
            _, _, said = amqp.receive(stream)
            about, _, login = said.table(), said.short(), said.long()
            _, user, password = login.decode().split("\0")
            known = self.state["users"].get(user)
            if not known or known["password"] != password or user == "guest" and peer[0] not in ("127.0.0.1", "::1"):
                text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
                if about.get("capabilities", {}).get("authentication_failure_close"):
                    amqp.send(stream, 0, amqp.CLOSE, struct.pack(">H", 403) + amqp.short(text) + struct.pack(">HH", 0, 0))
                print(f"{user} from {peer[0]}: refused", flush=True)
                return
            amqp.send(stream, 0, amqp.TUNE, struct.pack(">HIH", 0, 131072, 60))
            amqp.receive(stream)
            _, _, opened = amqp.receive(stream)
            vhost = opened.short()
            if vhost not in known["permissions"]:
                text = f"NOT_ALLOWED - access to vhost '{vhost}' refused for user '{user}'"
                amqp.send(stream, 0, amqp.CLOSE, struct.pack(">H", 530) + amqp.short(text) + struct.pack(">HH", 10, 40))
                return
            amqp.send(stream, 0, amqp.OPEN_OK, amqp.short(""))
            with self.lock:
                self.connections[stream] = {"connection_name": "", "hostname": "", **about, "user": user}
            self.serve(stream)
        except (OSError, amqp.AMQPError):
            pass
        finally:
            with self.lock:
                self.connections.pop(stream, None)
            stream.close()

    def serve(self, stream):
        while True:
            channel, method, said = amqp.receive(stream)
            if method == amqp.CLOSE:
                amqp.send(stream, 0, amqp.CLOSE_OK)
                return
            if method == amqp.CHANNEL_OPEN:
                amqp.send(stream, channel, amqp.CHANNEL_OPEN_OK, amqp.long(b""))
            elif method == amqp.DECLARE:
                said.take("H")
                queue = said.short()
                count = self.consumers(queue)
                if count:
                    amqp.send(stream, channel, amqp.DECLARE_OK, amqp.short(queue) + struct.pack(">II", 0, count))
                else:
                    text = f"NOT_FOUND - no queue '{queue}' in vhost '/'"
                    amqp.send(stream, channel, amqp.CHANNEL_CLOSE, struct.pack(">H", 404) + amqp.short(text) + struct.pack(">HH", 50, 10))
            elif method == amqp.CHANNEL_CLOSE:
                amqp.send(stream, channel, amqp.CHANNEL_CLOSE_OK)

    def accept(self, listener, talk):
        while True:
            stream, peer = listener.accept()
            threading.Thread(target=talk, args=(stream, peer), daemon=True).start()

    def tell(self, stream, _):
        with self.lock:
            data = json.dumps(list(self.connections.values()))
        stream.sendall(data.encode())
        stream.close()

    # What rabbitmqctl asks for

    def control(self, stream, _):
        words = json.loads(stream.makefile().readline())
        try:
            status, said = 0, self.command(words)
        except Wrong as wrong:
            status, said = 70, f"Error: {wrong}"
        except (KeyError, IndexError):
            status, said = 64, f"Error: could not recognise command {words}"
        stream.sendall(json.dumps([status, said]).encode())
        stream.close()

    def command(self, words):
        state = self.state
        users, vhost = state["users"], "/"
        if "-p" in words:
            at = words.index("-p")
            vhost = words[at + 1]
            words = words[:at] + words[at + 2:]
        name, rest = words[0], words[1:]
        with self.lock:
            if name == "status":
                return "[{pid,1},{running_applications,[{rabbit,\"RabbitMQ\",\"3.6.16\"}]}]"
            if name == "list_users":
                return "\n".join(f"{user}\t[{', '.join(it['tags'])}]" for user, it in users.items())
            if name == "list_vhosts":
                return "\n".join(state["vhosts"])
            if name == "list_permissions":
                return "\n".join("\t".join([user, *it["permissions"][vhost]]) for user, it in users.items() if vhost in it["permissions"])
            if name == "list_queues":
                queues = sorted({queue for about in self.connections.values() for queue in READS.get(about["connection_name"], ())})
                return "\n".join(f"{queue}\t0" for queue in queues)
            if name == "eval":
                return self.evaluate(rest[0])
            if name == "add_user":
                self.add(*rest)
            elif name == "change_password":
                self.known(rest[0])["password"] = rest[1]
            elif name == "delete_user":
                self.known(rest[0])
                del users[rest[0]]
            elif name == "set_user_tags":
                self.known(rest[0])["tags"] = rest[1:]
            elif name == "set_permissions":
                if vhost not in state["vhosts"]:
                    raise Wrong(f"no_such_vhost: {vhost}")
                self.known(rest[0])["permissions"][vhost] = rest[1:4]
            elif name == "add_vhost":
                if rest[0] in state["vhosts"]:
                    raise Wrong(f"vhost_already_exists: {rest[0]}")
                state["vhosts"].append(rest[0])
            elif name == "authenticate_user":
                if self.known(rest[0])["password"] != rest[1]:
                    raise Wrong(f"failed to authenticate user \"{rest[0]}\"")
                return "Success"
            else:
                raise KeyError(name)
            self.save()
            return ""

    def known(self, user):
        if user not in self.state["users"]:
            raise Wrong(f"no_such_user: {user}")
        return self.state["users"][user]

    def add(self, user, password):
        if user in self.state["users"]:
            raise Wrong(f"user_already_exists: {user}")
        self.state["users"][user] = {"password": password, "tags": [], "permissions": {}}

    def evaluate(self, text):
        """The one kind of Erlang that is understood: files read into variables, then a user made or changed of them."""
        variables = {}
        parts = [part.strip() for part in text.strip().rstrip(".").split(",\n")]
        parts = [part.strip() for piece in parts for part in re.split(r",\s*(?=\{ok)", piece)]
        for part in parts:
            read = re.fullmatch(r'\{ok,\s*(\w+)\}\s*=\s*file:read_file\("([^"]+)"\)', part)
            call = re.fullmatch(r"rabbit_auth_backend_internal:(add_user|change_password)\((\w+),\s*(\w+)\)", part)
            if read:
                try:
                    variables[read.group(1)] = open(read.group(2)).read()
                except OSError as error:
                    raise Wrong(f"{{badmatch,{{error,{error.strerror}}}}}") from None
            elif call:
                user, password = variables[call.group(2)], variables[call.group(3)]
                if call.group(1) == "add_user":
                    self.add(user, password)
                else:
                    self.known(user)["password"] = password
                self.save()
            else:
                raise Wrong(f"syntax error before: {part!r}")
        return "ok"


def settings():
    """Listeners of /etc/rabbitmq/rabbitmq.config: a list of Erlang, as 3.6 has it."""
    path = "/etc/rabbitmq/rabbitmq.config"
    if os.path.exists("/etc/rabbitmq/rabbitmq.conf"):
        print("/etc/rabbitmq/rabbitmq.conf is not read by this version", file=sys.stderr)
    try:
        text = open(path).read()
    except FileNotFoundError:
        return [("0.0.0.0", amqp.PORT)]
    except PermissionError:
        raise Wrong(f"could not read {path}: eacces") from None
    code = re.sub(r"%.*", "", text)
    strings = re.sub(r'"[^"]*"', '""', code)
    if code.strip() and (not code.strip().endswith("].") or any(strings.count(a) != strings.count(b) for a, b in ("[]", "{}"))):
        raise Wrong(f"could not parse {path}: it is no list of Erlang terms that ends in a full stop")
    found = re.search(r"\{\s*tcp_listeners\s*,\s*\[(.*?)\]\s*\}", code, re.S)
    if not found:
        return [("0.0.0.0", amqp.PORT)]
    pairs = re.findall(r'\{\s*"([^"]+)"\s*,\s*(\d+)\s*\}', found.group(1))
    plain = re.findall(r"(?<![\d.\"])(\d{2,5})(?![\d.\"])", re.sub(r"\{[^}]*\}", "", found.group(1)))
    return [(address, int(port)) for address, port in pairs] + [("0.0.0.0", int(port)) for port in plain]


def server():
    name = socket.gethostname().split(".")[0]
    try:
        socket.gethostbyname(name)
    except OSError:
        raise Wrong(f"ERROR: epmd error for host {name}: nxdomain (non-existing domain)") from None
    broker = Broker()
    for address, port in [*settings(), ("0.0.0.0", 25672)]:
        listener = socket.create_server((address, port), backlog=128)
        threading.Thread(target=broker.accept, args=(listener, broker.talk), daemon=True).start()
    if os.path.exists(CONTROL):
        os.unlink(CONTROL)
    for place, talk in ((CONTROL, broker.control), (CONNECTED, broker.tell)):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(place)
        listener.listen(64)
        threading.Thread(target=broker.accept, args=(listener, talk), daemon=True).start()
    os.chmod(CONTROL, 0o600)
    broker.save()


def ctl(words):
    words = [word for word in words if word not in ("-q", "--quiet", "--silent", "-s")]
    while words and words[0] in ("-n", "-t", "--node", "--timeout"):
        words = words[2:]
    if os.geteuid() not in (0, os.stat(HOME).st_uid):
        print("Only root or rabbitmq should run rabbitmqctl", file=sys.stderr)
        return 1
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.connect(CONTROL)
    except OSError:
        print("Error: unable to connect to node rabbit@" + socket.gethostname() + ": nodedown", file=sys.stderr)
        return 69
    stream.sendall(json.dumps(words).encode() + b"\n")
    status, said = json.loads(stream.makefile().read())
    if said:
        print(said, file=sys.stderr if status else sys.stdout)
    return status


def connected():
    """Who is connected to the message queue of this host: `connection_name` and `hostname` of each."""
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.connect(CONNECTED)
        return json.loads(stream.makefile().read())
    except OSError:
        return []
