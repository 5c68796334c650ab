"""Byte-exact packet cases for a broker, written by others (Eclipse Mosquitto): not part of this project, found at
$HEPTANE_CONFORMANCE, skipped by name where they are absent. After a case's last message the connection must be closed when it
says so, else a PINGREQ is answered. What a broker may say on its way out (CONNACK or DISCONNECT with a reason of 0x80 or more)
is no answer to the case."""

import glob
import json
import os
import tempfile
import unittest

from heptane_testkit import ROOT, Server
from heptane_testkit.mqtt import Connection, connect, packet, string, words

CASES = os.path.join(os.environ.get("HEPTANE_CONFORMANCE", os.path.join(ROOT, os.pardir, "shared", "conformance")), "mqtt")
CONFIG = """[mqtt]
receive_maximum = 20
maximum_packet_size = 2000000
topic_alias_maximum = 10
"""
PINGREQ, PINGRESP = packet(0xC0), packet(0xD0)


def is_farewell(data):
    if data[0] == 0xE0:
        return len(data) > 2 and data[2] >= 0x80
    return data[0] == 0x20 and data[3] != 0


def publish(address, message):
    """As another client, of MQTT 5."""
    qos = message.get("qos", 0)
    with Connection(address).open("helper", 5) as other:
        identifier = (1).to_bytes(2, "big") if qos else b""
        body = string(message["topic"]) + identifier + b"\0" + message.get("payload", "").encode()
        other.send(packet(0x30 | qos << 1 | (1 if message.get("retain") else 0), body))
        if qos:
            assert other.read() is not None
        if qos == 2:
            other.send(packet(0x62, identifier))
            assert other.read() is not None


class Case:
    def __init__(self, file, group, test):
        def of(key, default):
            return test.get(key, group.get(key, default))

        self.name = f"{file}: {group['group']}: {test['name']}"
        self.version = of("ver", 4)
        self.connects = of("connect", True)
        self.disconnects = of("expect_disconnect", True)
        self.disabled = of("disable", False)
        self.messages = test["msgs"]

    def wrong(self, address):
        """What is not as the case says; None."""
        with Connection(address, 20) as connection:
            if self.connects:
                connection.open(self.name.rsplit(": ", 1)[1][:200] or "x", self.version)
            for message in self.messages:
                said = self.step(address, connection, message)
                if said:
                    return said
            return self.end(connection)

    def step(self, address, connection, message):
        if message["type"] == "send":
            try:
                connection.send(words(message["payload"]))
            except (BrokenPipeError, ConnectionResetError):
                pass
        elif message["type"] == "recv":
            wanted = words(message["payload"])
            got = b""
            while len(got) < len(wanted):
                more = connection.read()
                if more is None:
                    return f"closed, wanted {wanted.hex()}"
                got += more
            if got != wanted:
                return f"got {got.hex()}, wanted {wanted.hex()}"
        elif message["type"] in ("publish", "external_publish"):
            publish(address, message)
        else:
            return f"no such step: {message['type']}"
        return None

    def end(self, connection):
        if self.disconnects:
            while (more := connection.read()) is not None:
                if not is_farewell(more):
                    return f"got {more.hex()}, wanted the end of the connection"
            return None
        connection.send(PINGREQ)
        got = connection.read()
        return None if got == PINGRESP else f"got {got and got.hex()} for a PINGREQ"


def cases():
    for path in sorted(glob.glob(os.path.join(CASES, "*.json"))):
        with open(path, encoding="utf-8") as text:
            groups = json.load(text)
        for group in groups:
            for test in group["tests"]:
                yield Case(os.path.basename(path)[:-5], group, test)


@unittest.skipUnless(os.path.isdir(CASES), f"no conformance cases for MQTT at {CASES}")
class Conformance(unittest.TestCase):
    def test_every_case(self):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(CONFIG)
            config.flush()
            with Server(args=("--config", config.name)) as server:
                address = server.address("mqtt")
                count, wrong = 0, []
                for case in cases():
                    if case.disabled:
                        continue
                    count += 1
                    said = case.wrong(address)
                    if said:
                        wrong.append(f"{case.name}: {said}")
                self.assertGreater(count, 1000)
                self.assertEqual(wrong, [], f"{len(wrong)} of {count}")
                self.assertTrue(server.running())


if __name__ == "__main__":
    unittest.main()
