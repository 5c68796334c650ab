"""MQTT as bytes on a socket, for what no client would send; and the real clients as processes."""

import socket
import subprocess
import threading

from .wait import Deadline

SECONDS = 60.0


def variable(number):
    out = b""
    while True:
        number, low = number >> 7, number & 127
        out += bytes([low | (128 if number else 0)])
        if not number:
            return out


def words(text):
    """Bytes of a packet written in words: hexadecimal digits, 'text', rN vN a variable byte integer, sN kN mN HN sixteen
    bits, LN thirty-two, iN eight."""
    out, at = b"", 0
    while at < len(text):
        if text[at] == " ":
            at += 1
        elif text[at] == "'":
            end = text.index("'", at + 1)
            out += text[at + 1:end].encode()
            at = end + 1
        else:
            end = text.find(" ", at)
            end = len(text) if end < 0 else end
            quote = text.find("'", at)
            end = min(end, quote) if quote >= 0 else end
            out += _word(text[at:end])
            at = end
    return out


def _word(word):
    kind, digits = word[0], word[1:]
    if kind in "rv":
        return variable(int(digits))
    if kind in "skmH":
        return int(digits).to_bytes(2, "big")
    if kind == "L":
        return int(digits).to_bytes(4, "big")
    if kind == "i":
        return int(digits).to_bytes(1, "big")
    return bytes.fromhex(word)


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return len(data).to_bytes(2, "big") + data


def packet(first, body=b""):
    return bytes([first]) + variable(len(body)) + body


def connect(client_id, version=4, keep_alive=60):
    name = b"MQIsdp" if version == 3 else b"MQTT"
    properties = b"\0" if version == 5 else b""
    return packet(0x10, string(name) + bytes([version, 2]) + keep_alive.to_bytes(2, "big") + properties + string(client_id))


class Connection:
    """Packets in and out; read() gives whole packets, None at the end of the connection."""

    def __init__(self, address, seconds=SECONDS):
        self.socket = socket.create_connection(address, timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kept = b""
        self.seconds = seconds

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def open(self, client_id, version=4, keep_alive=60):
        self.send(connect(client_id, version, keep_alive))
        answer = self.read()
        assert answer is not None and answer[0] == 0x20 and answer[3] == 0, f"CONNACK is {answer!r}"
        return self

    def read(self):
        deadline = Deadline(self.seconds)
        while True:
            whole = self._take()
            if whole is not None:
                return whole
            if deadline.over():
                raise AssertionError("no packet came in time")
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.kept += more

    def _take(self):
        length, shift, at = 0, 0, 1
        while at < len(self.kept):
            byte = self.kept[at]
            length |= (byte & 127) << shift
            shift += 7
            at += 1
            if byte < 128:
                break
        else:
            return None
        if len(self.kept) < at + length:
            return None
        whole, self.kept = self.kept[:at + length], self.kept[at + length:]
        return whole


def mosquitto_pub(address, *arguments, text_in=None, seconds=SECONDS):
    return _run("mosquitto_pub", address, arguments, text_in, seconds)


def mosquitto_sub(address, *arguments, seconds=SECONDS):
    """Lines of a subscriber that ends by itself (-C, -E, -W)."""
    return _run("mosquitto_sub", address, arguments, None, seconds).stdout.splitlines()


def _command(name, address, arguments):
    return [name, "-h", address[0], "-p", str(address[1]), *map(str, arguments)]


def _run(name, address, arguments, text_in, seconds):
    done = subprocess.run(_command(name, address, arguments), capture_output=True, text=True, timeout=seconds,
                          **({"stdin": subprocess.DEVNULL} if text_in is None else {"input": text_in}))
    if done.returncode != 0:
        raise AssertionError(f"{name} {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr}")
    return done


class Subscriber:
    """mosquitto_sub that runs on; it is subscribed when this is made (-d says so)."""

    def __init__(self, address, *arguments, seconds=SECONDS):
        command = ["stdbuf", "-oL", *_command("mosquitto_sub", address, ("-d", *arguments))]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.watch = threading.Timer(seconds, self.process.kill)
        self.watch.daemon = True
        self.watch.start()
        before = []
        for line in self.process.stdout:
            before.append(line)
            if line.startswith("Subscribed"):
                return
        self.close()
        raise AssertionError(f"mosquitto_sub ended: {''.join(before)}")

    def lines(self):
        """What it printed until it ended by itself, without what -d says."""
        lines = [line.rstrip("\n") for line in self.process.stdout if not line.startswith(("Client ", "Subscribed"))]
        self.close()
        return lines

    def close(self):
        self.watch.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
