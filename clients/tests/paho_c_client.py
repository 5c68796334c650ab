"""Paho's client in C, with its messages in files: publishes at QoS 2 in a session that is kept.

    paho_c_client.py ADDRESS DIRECTORY FIRST COUNT FINISHED

Publishes the numbers from FIRST on, to `once`. FINISHED: how many of them it waits for until nothing of them is owed any more. Then it
says so and does nothing until it is killed; where COUNT is 0 it waits for all that is owed, of earlier runs too, and ends."""

import ctypes
import os
import signal
import sys
import time

LIBRARY = "libpaho-mqtt3c.so.1"
IN_FILES = 0  # MQTTCLIENT_PERSISTENCE_DEFAULT
WAIT_MS = 60_000


class ConnectOptions(ctypes.Structure):
    """MQTTClient_connectOptions, version 4; what later versions add is not looked at."""

    _fields_ = [("struct_id", ctypes.c_char * 4), ("struct_version", ctypes.c_int), ("keep_alive_s", ctypes.c_int),
                ("clean_session", ctypes.c_int), ("reliable", ctypes.c_int), ("will", ctypes.c_void_p),
                ("user", ctypes.c_char_p), ("password", ctypes.c_char_p), ("connect_timeout_s", ctypes.c_int),
                ("retry_interval_s", ctypes.c_int), ("tls", ctypes.c_void_p), ("server_count", ctypes.c_int),
                ("servers", ctypes.c_void_p), ("version", ctypes.c_int), ("later", ctypes.c_char * 200)]


def check(code):
    if code != 0:
        raise RuntimeError(f"Paho: {code}")


def main():
    address, directory, (first, count, finished) = sys.argv[1], sys.argv[2], map(int, sys.argv[3:6])
    paho = ctypes.CDLL(LIBRARY)
    client = ctypes.c_void_p()
    check(paho.MQTTClient_create(ctypes.byref(client), f"tcp://{address}".encode(), b"paho-c", IN_FILES, directory.encode()))
    options = ConnectOptions(struct_id=b"MQTC", struct_version=4, keep_alive_s=60, connect_timeout_s=30, version=4)
    check(paho.MQTTClient_connect(client, ctypes.byref(options)))
    tokens = []
    for number in range(first, first + count):
        token = ctypes.c_int()
        payload = str(number).encode()
        check(paho.MQTTClient_publish(client, b"once", len(payload), payload, 2, 0, ctypes.byref(token)))
        tokens.append(token)
    for token in tokens[:finished]:
        check(paho.MQTTClient_waitForCompletion(client, token, ctypes.c_ulong(WAIT_MS)))
    if count > 0:
        print("published", flush=True)
        signal.pause()
    deadline = time.monotonic() + WAIT_MS / 1000
    owed = ctypes.POINTER(ctypes.c_int)()
    while time.monotonic() < deadline:
        check(paho.MQTTClient_getPendingDeliveryTokens(client, ctypes.byref(owed)))
        if not owed:
            break
        paho.MQTTClient_free(owed)
        paho.MQTTClient_yield()  # up to 100 ms
    check(paho.MQTTClient_disconnect(client, 1_000))
    print("owes nothing" if not owed else "owes something", os.listdir(os.path.join(directory, os.listdir(directory)[0])))


main()
