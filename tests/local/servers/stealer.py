"""Takes a port and never answers: what a stranger's program looks like from outside.

With ``--accept`` it takes calls, says so, and keeps them open.
"""

import argparse
import select
import socket
import sys

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("--address", default="127.0.0.1")
parser.add_argument("--reuse-port", action="store_true", help="as llama.cpp's server: no REUSEADDR")
parser.add_argument("--accept", action="store_true")
options = parser.parse_args()

with socket.socket() as taken:
    option = socket.SO_REUSEPORT if options.reuse_port else socket.SO_REUSEADDR
    taken.setsockopt(socket.SOL_SOCKET, option, 1)
    taken.bind((options.address, options.port))
    taken.listen(64)
    sys.stdout.write(f"listening on {options.address}:{taken.getsockname()[1]}\n")
    sys.stdout.flush()
    calls = []
    while options.accept:
        calls.append(taken.accept()[0])
        calls[-1].sendall(b"accepted")
    select.select([], [], [])
