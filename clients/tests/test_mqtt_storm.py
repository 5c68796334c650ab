"""A reconnect storm: very many clients that come at once, as when a network comes back. Each is served, or refused as the protocol has
it, and who was there before notices nothing. No time is asserted."""

import re
import tempfile
import unittest

from heptane_testkit import Server
from heptane_testkit import http
from heptane_testkit.mqtt import Connection, packet, string, words

COUNT = 400
BYSTANDS = 100  # messages while the others come


def durable(client_id):
    return packet(0x10, words("s4 'MQTT' 05 00 k60 05 11 L600") + string(client_id))


class Bystander:
    """A subscriber and its publisher, who are there before the storm."""

    def __init__(self, address):
        self.reader = Connection(address).open("bystander")
        self.reader.send(packet(0x82, words("m1 s4 'by/#' 01")))
        assert self.reader.read() == packet(0x90, words("m1 01"))
        self.writer = Connection(address).open("writer")
        self.sent = 0

    def publish(self, count):
        for _ in range(count):
            self.sent += 1
            self.writer.send(packet(0x32, string("by/a") + self.sent.to_bytes(2, "big") + str(self.sent).encode()))

    def close(self):
        self.reader.socket.close()
        self.writer.socket.close()

    def check(self, test):
        """Everything was acknowledged and came, in its order, and both are connected."""
        for number in range(1, self.sent + 1):
            test.assertEqual(self.writer.read(), packet(0x40, number.to_bytes(2, "big")))
            heard = self.reader.read()
            test.assertEqual(heard[0] & 0xF6, 0x32)
            test.assertTrue(heard.endswith(str(number).encode()), heard)
            self.reader.send(packet(0x40, heard[8:10]))
        for connection in (self.reader, self.writer):
            connection.send(packet(0xC0))
            test.assertEqual(connection.read(), packet(0xD0))


class Storm(unittest.TestCase):
    def refused(self, server):
        found = re.search(r"^heptane_connections_refused_total (\d+)", http.text(server, "/metrics"), re.MULTILINE)
        return int(found.group(1))

    def test_durable_sessions_that_come_back_at_once_are_all_served(self):
        with Server() as server:
            address = server.address("mqtt")
            bystander = Bystander(address)
            self.addCleanup(bystander.close)
            for number in range(COUNT):
                with Connection(address) as connection:
                    connection.send(durable(f"c{number}") + packet(0x82, words("m1 00") + string(f"to/{number}") + b"\1"))
                    self.assertEqual(connection.read()[2:4], b"\0\0")
                    self.assertEqual(connection.read()[-1:], b"\1")
            # They are gone without a word. What came for each meanwhile waits.
            with Connection(address).open("sender") as sender:
                for number in range(COUNT):
                    sender.send(packet(0x32, string(f"to/{number}") + (number + 1).to_bytes(2, "big") + b"waited"))
                for _ in range(COUNT):
                    self.assertEqual(sender.read()[0], 0x40)
            # All connect before any reads.
            back = [Connection(address) for _ in range(COUNT)]
            for connection in back:
                self.addCleanup(connection.socket.close)
            for number, connection in enumerate(back):
                connection.send(durable(f"c{number}"))
                if number % 4 == 0:
                    bystander.publish(BYSTANDS // (COUNT // 4))
            for number, connection in enumerate(back):
                connack = connection.read()
                self.assertEqual((connack[0], connack[2:4]), (0x20, b"\1\0"), number)
                heard = connection.read()
                self.assertEqual(heard[0], 0x32, number)
                self.assertIn(f"to/{number}".encode(), heard)
                self.assertTrue(heard.endswith(b"waited"))
            self.assertEqual(self.refused(server), 0)
            bystander.check(self)

    def test_who_finds_no_room_is_closed_and_in_when_he_comes_again(self):
        with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="ascii") as config:
            config.write("[listen.mqtt]\nconnections = 50\n")
            config.flush()
            with Server(args=("--config", config.name)) as server:
                address = server.address("mqtt")
                bystander = Bystander(address)
                self.addCleanup(bystander.close)
                waiting, turns, closed = set(range(200)), 0, 0
                while waiting:
                    turns += 1
                    self.assertLess(turns, 100, "in each turn some come in")
                    served, out = self.come_at_once(address, sorted(waiting))
                    bystander.publish(2)
                    self.assertLessEqual(len(served), 48)
                    waiting -= served
                    closed += out
                self.assertEqual(self.refused(server), closed)
                self.assertGreater(closed, 0)
                bystander.check(self)

    def come_at_once(self, address, numbers):
        """Who got his CONNACK; how many were closed. There are no words for those before CONNECT."""
        connections = {number: Connection(address) for number in numbers}
        served, closed = set(), 0
        for number, connection in connections.items():
            try:
                connection.send(durable(f"d{number}"))
            except OSError:
                pass  # closed already
        for number, connection in connections.items():
            answer = connection.read()
            if answer is None:
                closed += 1
                continue
            self.assertEqual((answer[0], answer[3]), (0x20, 0), number)
            served.add(number)
        for number in served:
            connections[number].send(packet(0xE0))
            self.assertIsNone(connections[number].read())
        for connection in connections.values():
            connection.socket.close()
        return served, closed


if __name__ == "__main__":
    unittest.main()
