"""Step functions for the tests of the engine. Module-level, so that worker processes can import them."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

from thalbids.engine.step import Done, Step
from thalbids.errors import ImageError
from thalbids.files import read_json, write_json, write_text


def join(inputs, outputs, params, upstream):
    """Write the inputs' texts and ``params["text"]`` into every output; add a line to the file ``params["trace"]``."""
    if "trace" in params:
        with Path(params["trace"]).open("a") as stream:
            stream.write(params["text"] + "\n")
    time.sleep(params.get("sleep", 0))
    text = "".join(path.read_text() for path in inputs.values() if path is not None and path.exists())
    for key, path in outputs.items():
        write_text(path, f"{text}{params.get('text', '')} {key}\n")
    return Done({key: {"Description": f"{key} of {params.get('text', '')}"} for key in list(outputs)[:1]})


def statuses(inputs, outputs, params, upstream):
    """Write how the steps waited for ended."""
    lines = [
        f"{name}|{result.status}|{result.reason}|{result.seconds}|{result.cached}" for name, result in upstream.items()
    ]
    write_text(outputs["out"], "\n".join(lines))
    return Done({"out": {}})


def exclude(inputs, outputs, params, upstream):
    """Deliver nothing, knowingly; ``params["partial"]`` writes the last output all the same."""
    if params.get("partial"):
        write_text(list(outputs.values())[-1], "partial")
    return Done({next(iter(outputs)): {"Metric": 0.1}}, status="excluded", reason="metric 0.1 below 0.3")


def qc(inputs, outputs, params, upstream):
    """A JSON output that is its own record."""
    write_json(outputs["qc"], {"b": 1.5, "a": [1, None, "ü"]}, sort_keys=False)
    return Done()


def bad_input(inputs, outputs, params, upstream):
    write_text(next(iter(outputs.values())), "half")
    raise ImageError("the file is truncated.", "Copy it again.", inputs["in"])


def bug(inputs, outputs, params, upstream):
    write_text(next(iter(outputs.values())), "half")
    raise ZeroDivisionError(f"in {inputs['in']}\nsecond line")


def leave(inputs, outputs, params, upstream):
    raise SystemExit(3)


def forget(inputs, outputs, params, upstream):
    """Say done without having written anything."""
    return Done()


def wrong_return(inputs, outputs, params, upstream):
    return {"status": "ok"}


def wrong_key(inputs, outputs, params, upstream):
    write_text(outputs["out"], "x")
    return Done({"another": {}})


def disk_full(inputs, outputs, params, upstream):
    write_text(next(iter(outputs.values())), "half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(next(iter(outputs.values()))))


def talk(inputs, outputs, params, upstream):
    logging.getLogger("thalbids.image.io").warning("3 voxels were not finite")
    logging.getLogger("thalbids.image.io").info("a detail")
    return join(inputs, outputs, params, upstream)


def kill_self(inputs, outputs, params, upstream):
    """Kill the own process the first ``params["times"]`` times."""
    marker = Path(params["marker"])
    tries = int(marker.read_text()) if marker.exists() else 0
    marker.write_text(str(tries + 1))
    if tries < params["times"]:
        write_text(next(iter(outputs.values())), "half")
        os.kill(os.getpid(), signal.Signals[params.get("signal", "SIGKILL")])
        time.sleep(30)
    return join(inputs, outputs, params, upstream)


def eat_memory(inputs, outputs, params, upstream):
    held = []
    for _ in range(params["megabytes"] // 10):
        held.append(bytearray(os.urandom(1) * 10_000_000))
        time.sleep(0.02)
    write_text(outputs["out"], str(len(held)))
    time.sleep(params.get("sleep", 0))
    return Done()


def start_program(inputs, outputs, params, upstream):
    """Start a program that takes 200 MB for a while and, with ``params["die"]``, be killed meanwhile."""
    code = "import time; held = bytearray(b'x') * 200_000_000; print(len(held), flush=True); time.sleep(float(%r))"
    with subprocess.Popen([sys.executable, "-c", code % params["sleep"]], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        Path(params["trace"]).write_text(str(process.pid))
        if params.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
    write_text(outputs["out"], "x")
    return Done()


def warn(inputs, outputs, params, upstream):
    warnings.warn("mean of empty slice", RuntimeWarning, stacklevel=1)
    return join(inputs, outputs, params, upstream)


def environment(inputs, outputs, params, upstream):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OPENBLAS_NUM_THREADS")
    write_text(outputs["out"], " ".join(str(os.environ.get(name)) for name in names) + f" {os.getpid()}")
    return Done()


def overlap(inputs, outputs, params, upstream):
    """Record when this step ran."""
    start = time.monotonic()
    time.sleep(params["sleep"])
    write_text(outputs["out"], f"{start} {time.monotonic()}")
    return Done()


def session_steps(out: Path, raw: Path, session: str, *, trace: Path | None = None, sleep: float = 0.0) -> list[Step]:
    """A diamond with a report behind it: a -> (b, c) -> d -> qc."""
    folder = out / session

    def params(text: str) -> dict:
        return {"text": text, "sleep": sleep} | ({"trace": str(trace)} if trace else {})

    name = f"{session} {{}}".format
    return [
        Step(name("a"), session, join, {"raw": raw}, {"out": folder / "a.txt", "more": folder / "a.tsv"}, params("a")),
        Step(
            name("b"),
            session,
            join,
            {"a": folder / "a.txt"},
            {"out": folder / "b.txt"},
            params("b"),
            needs=(name("a"),),
        ),
        Step(
            name("c"),
            session,
            join,
            {"a": folder / "a.tsv"},
            {"out": folder / "c.txt"},
            params("c"),
            needs=(name("a"),),
        ),
        Step(
            name("d"),
            session,
            join,
            {"b": folder / "b.txt", "c": folder / "c.txt", "nothing": None},
            {"out": folder / "d.txt"},
            params("d"),
            needs=(name("b"), name("c")),
        ),
        Step(name("qc"), session, qc, {"d": folder / "d.txt"}, {"qc": folder / "x_qc.json"}, after=(name("d"),)),
    ]


def content(out: Path) -> dict[str, bytes]:
    """Every file of an output folder but the logs of single runs and the locks."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.relative_to(out).parts[0] != "logs"
    }


def provenance(path: Path) -> dict:
    return read_json(path)["Provenance"]


def half(inputs, outputs, params, upstream):
    """One of two things fails: a result that the next run does again."""
    done = join(inputs, outputs, params, upstream)
    return Done(done.sidecars, partial="again" not in next(iter(inputs.values())).read_text())
