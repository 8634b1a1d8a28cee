"""A program that has its imports done: ``warm_client.py DOOR MODULE LOCALE COLD WORDS...``.

It asks the server of ``tests/warm.py``; where the environment is not the server's it becomes COLD,
the program itself.
"""

import json
import os
import signal
import socket
import sys

OF_THE_START = (
    "PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "DASK_", "OPENBLAS_", "OMP_", "ARROW_", "POLARS_",
)  # fmt: skip
"""How the names of variables begin with which a process is another one from its start on."""


def main(door, module, locale, cold, *words):
    env = dict(os.environ)
    special = {name: text for name, text in env.items() if name.startswith(OF_THE_START)}
    if special != {"LC_ALL": locale}:
        os.execv(cold, [cold, *words])
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(bytes.fromhex(door))
        asked = {"module": module, "args": words, "cwd": os.getcwd(), "env": env}
        socket.send_fds(connection, [json.dumps(asked).encode()], [0, 1, 2])
        code = int(connection.recv(16) or 1)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
