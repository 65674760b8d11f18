"""Stands between us and a program: ``python _guard.py GRACE PROGRAM ARGUMENT ...``.

The program gets a process group of its own. When standard input ends (closed by us, or because we were killed, however
hard) the whole group is ended, after GRACE seconds the hard way. When the program ends by itself, what it left running
is ended too. The guard then ends as the program did, with the same exit status or by the same signal.
Imports nothing of this package.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time

NOT_FOUND = 127


def main() -> int:
    """Start the program, watch it, end as it did."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"{sys.argv[2]}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    status = child.wait()
    _signal(child.pid, signal.SIGKILL)
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def _watch(child: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 1024):
        pass
    _signal(child.pid, signal.SIGTERM)
    time.sleep(float(sys.argv[1]))
    _signal(child.pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, for a group of zombies
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main())
