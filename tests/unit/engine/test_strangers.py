"""What another user of the same machine can do to a run with worker processes: nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import stat
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import distributed
import psutil
import pytest

from tests.unit.engine import tiny_steps as tiny
from thalbids.engine import workers
from thalbids.engine.step import Step

SECRET = b"PRIVATE KEY"
ROUTES = ("/", "/health", "/info/main/workers.html", "/json/counts.json", "/metrics", "/api/v1/retire_workers")
ROUTES += ("/api/v1/get_workers", "/sysmon", "/status", "/statics/", "/sitemap.json")
NO_PAGE = {b"404", b'{"paths": ["/sitemap.json"]}'}  # the map of a server without a page lists itself


@contextlib.contextmanager
def running(run_plan: Callable, out: Path, raw: Path) -> Iterator[Callable[[], None]]:
    """A run whose two workers hold a step each until the block is left; gives what waits for its end."""
    traces = [out.parent / f"started-{name}" for name in "ab"]
    go = out.parent / "go"
    plan = []
    for trace in traces:
        params = {"trace": str(trace), "go": str(go)}
        outputs = {"out": out / trace.name / "x.txt"}
        plan.append(Step(f"{trace.name} x", trace.name, hold, {"in": raw}, outputs, params))
    results: dict = {}
    thread = threading.Thread(target=lambda: results.update(run_plan(plan, nprocs=2)))
    thread.start()
    try:
        deadline = time.monotonic() + 90
        while not all(trace.exists() for trace in traces):
            assert thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.05)
        yield
    finally:
        go.touch()
        thread.join(60)
    assert {result.status for result in results.values()} == {"ok"}


def hold(inputs, outputs, params, upstream):
    """Wait for the file ``go``."""
    Path(params["trace"]).touch()
    deadline = time.monotonic() + 120
    while not Path(params["go"]).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return tiny.join(inputs, outputs, {}, upstream)


def processes() -> list[psutil.Process]:
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def ports() -> list[tuple[str, int]]:
    """Where this process and its workers listen."""
    found = set()
    for process in processes():
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                found.add((connection.laddr.ip, connection.laddr.port))
    return sorted(found)


def pages(port: int) -> set[bytes]:
    """What a port answers over HTTP, a refusal as its code; empty when it does not speak HTTP."""
    found = set()
    for route in ROUTES:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{route}", timeout=5) as answer:
                found.add(answer.read())
        except urllib.error.HTTPError as error:
            found.add(str(error.code).encode())
        except (OSError, ValueError):
            return set()
    return found


def answers_tls(port: int, context: ssl.SSLContext) -> bytes:
    """What a port says to somebody who shakes hands over TLS with these certificates."""
    with contextlib.suppress(OSError):
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        with plain, context.wrap_socket(plain) as encrypted:
            return encrypted.recv(64)
    return b""


def without_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def with_keys_of_another_run() -> ssl.SSLContext:
    context = workers.keys().get_connection_args("client")["ssl_context"]
    context.verify_mode = ssl.CERT_NONE
    return context


def runs_code(address: str, security: distributed.Security | None, seconds: float = 3) -> bool:
    """Whether a client of Dask can run a function in the process that listens there."""
    try:
        with distributed.Client(address, security=security, timeout=seconds, set_as_default=False) as client:
            return client.run_on_scheduler(os.getpid) == os.getpid()
    except (OSError, TimeoutError, ValueError, RuntimeError, TypeError):
        return False


def holds_secret(folder: Path) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and SECRET in path.read_bytes():
                found.append(path)
    return found


@pytest.mark.slow
def test_nobody_without_the_keys_of_the_run_is_let_in(run_plan, out, raw, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    made: list = []
    maker = distributed.LocalCluster
    with monkeypatch.context() as patched:
        patched.setattr(distributed, "LocalCluster", lambda **options: made.append(maker(**options)) or made[0])
        with running(run_plan, out, raw):
            found = ports()
            assert {ip for ip, _ in found} == {"127.0.0.1"}
            said = {port: pages(port) for _, port in found}
            assert set().union(*said.values()) == NO_PAGE
            dask = [port for port in said if not said[port]]
            assert len(dask) == 5  # scheduler, two nannies, two workers
            keys, address = made[0].security, made[0].scheduler_address
            own = keys.get_connection_args("client")["ssl_context"]
            for port in dask:
                assert answers_tls(port, own)  # so the following would tell if others were let in
                assert not answers_tls(port, without_certificate())
                assert not answers_tls(port, with_keys_of_another_run())
            assert runs_code(address, keys, 60)
            assert not runs_code(address, workers.keys())
            assert not runs_code(address.replace("tls:", "tcp:"), None)
            for process in processes()[1:]:
                folder = Path(f"/proc/{process.pid}")
                with contextlib.suppress(FileNotFoundError):
                    assert SECRET not in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            assert not holds_secret(tmp_path)
            assert {stat.S_IMODE(path.stat().st_mode) for path in temporary.iterdir() if path.is_dir()} <= {0o700}
    assert not holds_secret(tmp_path)
    assert not list(temporary.iterdir())


@pytest.mark.slow
def test_a_folder_of_dask_that_somebody_else_made_is_not_used(run_plan, out, raw, tmp_path, monkeypatch):
    """Dask would put it first on the path of modules, in this process and in the workers."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    trap = tmp_path / "dask-scratch-space"
    trap.mkdir(mode=0o777)
    (trap / "thalbids_trap.py").write_text("")
    monkeypatch.setattr(sys, "path", sys.path[:])
    with running(run_plan, out, raw):
        assert str(trap) not in sys.path
        with pytest.raises(ImportError):
            __import__("thalbids_trap")
    assert [path.name for path in trap.iterdir()] == ["thalbids_trap.py"]
