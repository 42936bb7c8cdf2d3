"""Tells systemd that a service is ready."""

import os
import socket


def ready():
    place = os.environ.get("NOTIFY_SOCKET")
    if place:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
            stream.connect("\0" + place[1:] if place[0] == "@" else place)
            stream.send(b"READY=1")
