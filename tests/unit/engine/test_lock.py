from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from thalbids.engine import lock
from thalbids.errors import OutputError

HOLDER = (
    "import sys, time; from pathlib import Path; from thalbids.engine import lock\n"
    "with lock.claim(Path(sys.argv[1]), sys.argv[2:]):\n"
    "    print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def another_run(out):
    """Start a process that holds sessions; gives back the process."""
    started = []

    def start(*sessions):
        environment = {**os.environ, "PYTHONPATH": str(Path(lock.__file__).parents[2])}
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(out), *sessions], env=environment, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline().strip() == "held"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def files(out):
    return sorted(path.name for path in (out / "logs" / "lock").glob("*.lock"))


def test_a_second_run_on_the_same_session_is_refused_and_told_by_whom(out, another_run):
    process = another_run("sub-01_ses-1", "sub-02")
    with pytest.raises(OutputError) as caught, lock.claim(out, ["sub-02", "sub-03"]):
        pass
    assert f"process {process.pid} on " in str(caught.value)
    assert "is working on sub-02 in this folder" in str(caught.value)
    assert "Wait until it has ended" in str(caught.value)
    assert len(files(out)) == 1


def test_whether_others_live_is_known_after_the_own_claim(out, another_run):
    with lock.claim(out, ["sub-02"]):
        pass
    assert not lock.others(out)
    process = another_run("sub-01")
    assert lock.others(out)
    process.kill()
    process.wait()
    assert files(out) and not lock.others(out)  # a killed run leaves its file, and nobody who holds it


def test_runs_on_other_sessions_go_side_by_side(out, another_run):
    another_run("sub-01")
    with lock.claim(out, ["sub-02"]):
        assert len(files(out)) == 2
    assert len(files(out)) == 1


def test_a_killed_run_holds_nothing(out, another_run):
    process = another_run("sub-01")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(files(out)) == 1
    with lock.claim(out, ["sub-01"]):
        assert len(files(out)) == 1
    assert files(out) == []


def test_one_process_may_hold_two_claims_but_not_the_same_session_twice(out):
    with lock.claim(out, ["sub-01", "sub-03"]), lock.claim(out, ["sub-02"]):
        with pytest.raises(OutputError, match="sub-01 and 1 more"), lock.claim(out, ["sub-03", "sub-01", "sub-04"]):
            pass
        with pytest.raises(OutputError, match="sub-02"), lock.claim(out, ["sub-02"]):
            pass
    assert files(out) == []


def test_an_error_inside_releases(out):
    with pytest.raises(ZeroDivisionError), lock.claim(out, ["sub-01"]):
        raise ZeroDivisionError
    with lock.claim(out, ["sub-01"]):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "h", "pid": "x", "sessions": []}'])
def test_a_lock_file_that_was_being_written_when_its_run_was_killed_goes(out, text):
    folder = out / "logs" / "lock"
    folder.mkdir(parents=True)
    (folder / "h_1_1.lock").write_text(text)
    with lock.claim(out, ["sub-01"]):
        assert "h_1_1.lock" not in files(out)


def test_many_sessions_need_one_file(out):
    with lock.claim(out, [f"sub-{i:05}" for i in range(20_000)]):
        assert len(files(out)) == 1


def without_flock(monkeypatch, code=errno.ENOLCK):
    def flock(stream, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)


def write_holder(out, host, pid):
    folder = out / "logs" / "lock"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "other.lock").write_text(json.dumps({"host": host, "pid": pid, "sessions": ["sub-01"]}))


def test_without_flock_a_living_process_holds_and_a_dead_one_does_not(out, another_run, monkeypatch):
    process = another_run("sub-01")
    without_flock(monkeypatch)
    with pytest.raises(OutputError, match=str(process.pid)), lock.claim(out, ["sub-01"]):
        pass
    process.kill()
    process.wait()
    with lock.claim(out, ["sub-01"]):
        pass


def test_without_flock_a_run_on_another_machine_counts_as_alive(out, monkeypatch):
    without_flock(monkeypatch, errno.EOPNOTSUPP)
    write_holder(out, "node-17", 4)
    with pytest.raises(OutputError, match=r"process 4 on node-17.*delete .*other\.lock"), lock.claim(out, ["sub-01"]):
        pass
    with lock.claim(out, ["sub-02"]):
        pass


def test_another_error_of_flock_is_not_swallowed(out, monkeypatch):
    without_flock(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"), lock.claim(out, ["sub-01"]):
        pass


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.EACCES, "you may not write there"),
        (errno.EROFS, "the file system is read-only"),
        (errno.ENOSPC, "the disk is full"),
        (errno.ENOTDIR, "cannot be written"),
    ],
)
def test_a_folder_that_cannot_be_written_is_said_so(out, monkeypatch, code, message):
    def mkdir(self, *arguments, **options):
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(OutputError, match=message), lock.claim(out / "new", ["sub-01"]):
        pass


def test_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"), lock.claim(tmp_path / "out", ["sub-01"]):
        pass


def test_shared_files_waits_for_the_other(out):
    code = (
        "import sys, time; from pathlib import Path; from thalbids.engine import lock\n"
        "with lock.shared_files(Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(0.6); Path(sys.argv[2]).touch()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(lock.__file__).parents[2])}
    released = out.parent / "released"
    command = [sys.executable, "-c", code, str(out), str(released)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with lock.shared_files(out):
            assert released.exists()
        with lock.shared_files(out):
            pass
