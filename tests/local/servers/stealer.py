"""Takes a port and never answers: what a stranger's program looks like from outside."""

import argparse
import select
import socket
import sys

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("--address", default="127.0.0.1")
options = parser.parse_args()

with socket.create_server((options.address, options.port)) as taken:
    sys.stdout.write(f"listening on {options.address}:{taken.getsockname()[1]}\n")
    sys.stdout.flush()
    select.select([], [], [])
