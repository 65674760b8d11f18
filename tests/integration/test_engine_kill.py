"""A process that runs a plan is killed at random moments and started again: the end is that of an undisturbed run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thalbids.engine import record
from thalbids.engine.step import Done, Step

ROOT = Path(__file__).parents[2]
SESSIONS, KILLS = 6, 20
HOLD = "hold"


def slow(inputs, outputs, params, upstream):
    """Write each output in pieces under its temporary name, as images are written, so that a kill can fall between."""
    source = b"".join(path.read_bytes() for path in inputs.values() if path.exists())
    for key, path in outputs.items():
        data = hashlib.sha256(source + json.dumps([key, params]).encode()).hexdigest().encode() * 500
        temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
        with temporary.open("wb", buffering=0) as stream:
            for start in range(0, len(data), 8000):
                stream.write(data[start : start + 8000])
                time.sleep(0.002)
        temporary.replace(path)
    if params["exclude"]:
        next(iter(outputs.values())).unlink()
        return Done({"x": {"Metric": 0.1}}, "excluded", "metric 0.1 below 0.3")
    return Done({"x": {"Description": params["text"]}})


def report(inputs, outputs, params, upstream):
    done = slow(inputs, outputs, {"exclude": False, "text": "report"}, {})
    outputs["x"].write_text(json.dumps({name: [result.status, result.reason] for name, result in upstream.items()}))
    return done


def hold(inputs, outputs, params, upstream):
    """Keep one worker busy for longer than a test takes, so that an interrupt finds the run unfinished."""
    time.sleep(600)
    return Done()


def plan(out: Path, raw: Path, text: str) -> list[Step]:
    """Per session: a -> b -> c, a -> d (excluded in every second session) -> e, and a report after all."""
    steps = []
    if text == HOLD:
        steps.append(Step("hold", "sub-0", hold, {}, {"x": out / "sub-0" / "anat" / "hold.txt"}))
    for number in range(SESSIONS):
        session = f"sub-{number}"
        folder = out / session / "anat"

        def step(letter, source, *needs, exclude=False, session=session, folder=folder):
            outputs = {"x": folder / f"{letter}.nii.gz", "y": folder / f"{letter}_y.tsv"}
            params = {"text": f"{text} {letter}", "exclude": exclude}
            return Step(f"{session} {letter}", session, slow, {"source": source}, outputs, params, needs=needs)

        steps += [
            step("a", raw),
            step("b", folder / "a.nii.gz", f"{session} a"),
            step("c", folder / "b_y.tsv", f"{session} b"),
            step("d", folder / "a_y.tsv", f"{session} a", exclude=bool(number % 2)),
            step("e", folder / "d.nii.gz", f"{session} d"),
        ]
        after = tuple(step.name for step in steps[-5:])
        steps.append(Step(f"{session} r", session, report, {}, {"x": out / session / "r_morph.tsv"}, after=after))
    return steps


def main(out: Path, raw: Path, nprocs: int, text: str) -> None:
    from thalbids.engine import engine, lock
    from thalbids.engine.log import Reporter

    steps = plan(out, raw, text)
    options = {"out_dir": out, "nprocs": nprocs, "mem_gb": 4, "omp_nthreads": 1, "versions": {"thalbids": text}}
    with lock.claim(out, {step.session for step in steps}), Reporter(out) as reporter:
        engine.run(steps, reporter=reporter, **options)


def start(out: Path, raw: Path, nprocs: int, text: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, str(out), str(raw), str(nprocs), text]
    with (out.parent / "stderr.txt").open("w") as stderr:
        return subprocess.Popen(command, env=environment, stderr=stderr, start_new_session=True)


def finish(out: Path, raw: Path, nprocs: int, text: str) -> None:
    process = start(out, raw, nprocs, text)
    assert process.wait(timeout=300) == 0, (out.parent / "stderr.txt").read_text()


def content(out: Path) -> dict[str, bytes]:
    """Every file but the logs of single runs and the locks."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ("logs" not in path.parts or "excluded" in path.parts)
    }


def check_nothing_half_looks_done(out: Path, complete: list[dict[str, bytes]]) -> None:
    """Every record found is that of one complete run, and so is every file that it lists."""
    found = content(out)
    for name, data in found.items():
        if not name.endswith(".json") or record.KEY not in json.loads(data):
            continue
        listed = set(json.loads(data)[record.KEY]["Outputs"]) | {name}
        assert any(all(found.get(path) == run.get(path) for path in listed) for run in complete), name


def children(pid: int) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.add(int(folder.name))
    return found


def still_alive(pids: set[int], seconds: float = 60) -> set[int]:
    """Those that do not end within a few seconds (multiprocessing's resource tracker ends after its parent)."""
    deadline = time.monotonic() + seconds
    while pids and time.monotonic() < deadline:
        time.sleep(0.02)
        pids = {pid for pid in pids if running(pid)}
    return pids


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 20 starts of workers: two minutes, and many more on a busy machine
@pytest.mark.parametrize("nprocs", [1, 2])
def test_killed_at_random_and_resumed_gives_the_bytes_of_an_undisturbed_run(tmp_path, nprocs):
    raw = tmp_path / "raw"
    raw.write_bytes(b"raw")
    random_moment = random.Random(nprocs)  # noqa: S311
    old, new, out = (tmp_path / name for name in ("old", "new", "out"))
    finish(old, raw, 1, "old")
    finish(new, raw, 1, "new")
    complete = [content(old), content(new)]
    finish(out, raw, 1, "old")  # the killed runs replace results of earlier settings
    assert content(out) == complete[0] != complete[1]
    kills = finished = 0
    while kills < KILLS:
        text = ("new", "old")[finished % 2]
        process = start(out, raw, nprocs, text)
        before = newest(out)
        while newest(out) == before and process.poll() is None:
            time.sleep(0.001)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random_moment.uniform(0, 0.5))
            assert process.returncode == 0, (tmp_path / "stderr.txt").read_text()
            assert content(out) == complete[text == "new"]
            finished += 1
            continue
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        assert not still_alive(workers)
        check_nothing_half_looks_done(out, complete)
    text = ("new", "old")[finished % 2]
    finish(out, raw, nprocs, text)
    assert content(out) == complete[text == "new"]
    assert not list((out / "logs" / "lock").glob("*.lock"))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [None, 0.3, 1.0, 1.7, 2.4], ids=str)
def test_ctrl_c_at_a_terminal_ends_all_processes_quietly(tmp_path, seconds):
    """The terminal sends SIGINT to the workers too, also while they are being started."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.write_bytes(b"raw")
    process = start(out, raw, 2, HOLD)
    if seconds is None:
        while not list(out.glob("sub-*/anat/a.json")):
            time.sleep(0.01)
    else:
        while not list(out.glob("logs/*/run.log")):
            time.sleep(0.01)
        time.sleep(seconds)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=300) == 130
    said = (tmp_path / "stderr.txt").read_text()
    assert "Traceback" not in said
    assert "interrupted; finished steps are kept" in said
    assert not still_alive(workers)
    assert not list((out / "logs" / "lock").glob("*.lock"))
    assert not list(out.rglob(".tmp-*"))


def newest(out: Path) -> int:
    """Changes whenever a file of a session is made, replaced or removed."""
    return max(
        [folder.stat().st_mtime_ns for folder in out.glob("sub-*/anat")]
        + [folder.stat().st_mtime_ns for folder in out.glob("sub-*")],
        default=0,
    )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    except KeyboardInterrupt:
        sys.exit(130)
