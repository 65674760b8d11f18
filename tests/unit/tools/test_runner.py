"""The runner: what is started, what counts as a success, and that nothing survives a limit, an interrupt or a kill."""

from __future__ import annotations

import csv
import itertools
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.unit.tools.conftest import Writer
from thalbids.programs import DbSegmentSettings, FslSettings
from thalbids.tools import runner
from thalbids.tools.runner import (
    Apptainer,
    Command,
    Docker,
    Dry,
    Local,
    Prefix,
    ToolError,
    runner_of,
    tail,
    version_text,
    with_limit,
)


def command(folder: Path, argv: tuple[str, ...], **more: object) -> Command:
    return replace(Command("Stand-in", argv, folder / "work"), **more)  # type: ignore[arg-type]


def alive(pid_file: Path) -> bool:
    process = psutil.Process(int(pid_file.read_text()))
    return process.status() != psutil.STATUS_ZOMBIE


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def gone(pid_file: Path) -> bool:
    try:
        return not alive(pid_file)
    except psutil.NoSuchProcess:
        return True


FAMILY = textwrap.dedent(
    """
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    open("child.tmp", "w").write(str(child.pid)); os.rename("child.tmp", "child.pid")
    open("own.tmp", "w").write(str(os.getpid())); os.rename("own.tmp", "own.pid")
    """
)
SLEEP = "time.sleep(100)\n"


def test_success_gives_the_words_the_log_and_the_environment(
    tmp_path: Path, program: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGE_ROOT", "/sge")
    argv = program(
        """
        print(os.environ.get("SGE_ROOT"), os.environ["EXTRA"], os.environ["OMP_NUM_THREADS"], os.getcwd())
        print("to stderr", file=sys.stderr)
        print(sys.stdin.read() == "", sys.argv[1:])
        open("out.txt", "w").write("x")
        """
    )
    words = (*argv, "a b", "$HOME; *", "")
    work = tmp_path / "work"
    done = Local().run(
        command(tmp_path, words, env={"EXTRA": "1 2"}, unset=("SGE_ROOT",), threads=3, expects=(work / "out.txt",))
    )
    assert done.argv == words
    assert done.log == work / "stand-in.log"
    lines = done.log.read_text().splitlines()
    assert set(lines) == {f"None 1 2 3 {work}", "to stderr", f"True {['a b', '$HOME; *', '']}"}


def test_a_failing_program_is_quoted(tmp_path: Path, program: Writer) -> None:
    argv = program(
        "for i in range(1000): print('line', i)\nprint('10%\\r99%\\rdone', flush=True)\nsys.exit('bad scan')"
    )
    with pytest.raises(
        ToolError, match=r"(?s)^.*Stand-in failed with exit status 1.*line 999\n  done\n  bad scan"
    ) as caught:
        Local().run(command(tmp_path, argv))
    assert "line 900" not in str(caught.value)
    assert caught.value.path == tmp_path / "work" / "stand-in.log"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"), [("", "did not write out.txt"), ("open('out.txt', 'w')", "an empty out.txt")]
)
def test_exit_0_without_the_output_is_a_failure_also_when_an_old_one_is_there(
    tmp_path: Path,
    program: Writer,
    code: str,
    message: str,
) -> None:
    out = tmp_path / "work" / "out.txt"
    out.parent.mkdir()
    out.write_text("of yesterday")
    with pytest.raises(ToolError, match=message):
        Local().run(command(tmp_path, program(code), expects=(out,)))


def test_a_kill_is_told_from_a_failure(tmp_path: Path, program: Writer) -> None:
    with pytest.raises(ToolError, match=r"was killed by SIGKILL \(most often by the system, for want of memory\)"):
        Local().run(command(tmp_path, program("os.kill(os.getpid(), signal.SIGKILL)")))
    with pytest.raises(ToolError, match=r"was killed by SIGSEGV\. It said nothing"):
        Local().run(command(tmp_path, program("os.kill(os.getpid(), signal.SIGSEGV)")))


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="program no-such-program is not here"):
        Local().run(command(tmp_path, ("no-such-program",)))
    assert Local().missing("no-such-program") == "the program no-such-program is not on the PATH."
    assert Local(Prefix((sys.executable, "x"))).missing("no-such-program") is None


def test_the_time_limit_ends_the_whole_group(tmp_path: Path, program: Writer) -> None:
    argv = program(FAMILY + "print('at work', flush=True)\n" + SLEEP)
    with pytest.raises(ToolError, match=r"(?s)stopped at its time limit of 0\.02.* minutes.*at work.*timeout_minutes"):
        Local().run(command(tmp_path, argv, timeout_s=1.5))
    wait_for(lambda: gone(tmp_path / "work" / "child.pid"))
    wait_for(lambda: gone(tmp_path / "work" / "own.pid"))


def test_what_a_program_leaves_running_is_ended(tmp_path: Path, program: Writer) -> None:
    Local().run(command(tmp_path, program(FAMILY)))
    wait_for(lambda: gone(tmp_path / "work" / "child.pid"))


def test_an_interrupt_ends_the_whole_group(tmp_path: Path, program: Writer) -> None:
    own = tmp_path / "work" / "own.pid"

    def interrupt() -> None:
        wait_for(own.exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        Local().run(command(tmp_path, program(FAMILY + SLEEP)))
    thread.join()
    wait_for(lambda: gone(own))
    wait_for(lambda: gone(tmp_path / "work" / "child.pid"))


def test_our_own_sudden_death_ends_the_whole_group(tmp_path: Path, program: Writer) -> None:
    argv = program(FAMILY + SLEEP)
    code = textwrap.dedent(
        f"""
        from pathlib import Path
        from thalbids.tools.runner import Command, Local
        Local().run(Command("Stand-in", {argv!r}, Path({str(tmp_path / "work")!r})))
        """
    )
    ours = subprocess.Popen([sys.executable, "-c", code])
    own, child = tmp_path / "work" / "own.pid", tmp_path / "work" / "child.pid"
    wait_for(own.exists)
    assert alive(own) and alive(child)
    ours.kill()
    ours.wait()
    wait_for(lambda: gone(own) and gone(child))


def test_a_program_that_ignores_the_polite_signal_is_killed(
    tmp_path: Path, program: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GRACE_S", 0.3)
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FAMILY + SLEEP
    with pytest.raises(ToolError, match="time limit"):
        Local().run(command(tmp_path, program(code), timeout_s=1))
    wait_for(lambda: gone(tmp_path / "work" / "own.pid"))


def test_prefixes_replace_or_precede_the_program() -> None:
    argv = ("flirt", "-in", "a")
    words = ("micromamba", "run", "-n", "x")
    assert Prefix().applied(argv) == argv
    assert Prefix((*words, "FLIRT")).applied(argv) == (*words, "FLIRT", "-in", "a")
    assert Prefix(words, replaces=False).applied(argv) == (*words, *argv)
    assert runner_of(FslSettings(command=words), replaces=False).words(Command("x", argv, Path("/w"))) == (
        *words,
        *argv,
    )
    assert runner_of(DbSegmentSettings(runner="docker", image="i")) == Docker("i")
    assert runner_of(DbSegmentSettings(runner="apptainer", image="/i.sif")) == Apptainer("/i.sif")


def test_limit_of_the_settings(tmp_path: Path) -> None:
    assert with_limit(command(tmp_path, ("x",)), FslSettings(timeout_minutes=1.5)).timeout_s == 90


def binds(words: tuple[str, ...]) -> list[list[str]]:
    return [next(csv.reader([words[i + 1]])) for i, word in enumerate(words) if word == "--mount"]


def test_docker_command_line(tmp_path: Path) -> None:
    scan = tmp_path / "in, put" / "T1.nii.gz"
    call = command(
        tmp_path, ("tool", "-i", str(scan)), reads=(scan,), writes=(tmp_path / "out",), env={"A": "1,2"}, gpu=True
    )
    words = Docker("name:1", Prefix(("/opt/tool",))).words(call)
    image = words.index("name:1")
    assert words[:3] == ("docker", "run", "--rm")
    assert words[image - 2 : image] == ("--entrypoint", "/opt/tool")
    assert words[image + 1 :] == ("-i", str(scan))
    pairs = list(itertools.pairwise(words))
    for pair in (
        ("--user", f"{os.getuid()}:{os.getgid()}"),
        ("--network", "none"),
        ("--pull", "never"),
        ("--gpus", "all"),
        ("--workdir", str(call.cwd)),
        ("--env", f"HOME={call.cwd}"),
        ("--env", "OMP_NUM_THREADS=1"),
        ("--env", "A=1,2"),
    ):
        assert pair in pairs
    assert binds(words) == [
        ["type=bind", f"source={scan}", f"destination={scan}", "ro"],
        ["type=bind", f"source={tmp_path / 'out'}", f"destination={tmp_path / 'out'}"],
        ["type=bind", f"source={call.cwd}", f"destination={call.cwd}"],
    ]
    assert "--gpus" not in Docker("name:1").words(replace(call, gpu=False))


def test_apptainer_command_line_and_environment(
    tmp_path: Path, program: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = command(tmp_path, ("tool", "x"), reads=(tmp_path / "T1.nii.gz",), env={"A": "1,2"}, gpu=True)
    words = Apptainer("/images/tool.sif", program="apptainer").words(call)
    assert words[-3:] == ("/images/tool.sif", "tool", "x")
    for option in ("--cleanenv", "--containall", "--nv", "--net"):
        assert option in words
    assert binds(words)[0] == ["type=bind", f"source={tmp_path}/T1.nii.gz", f"destination={tmp_path}/T1.nii.gz", "ro"]
    starter = tmp_path / "apptainer"
    starter.write_text(
        '#!/bin/sh\necho "$APPTAINERENV_A" "$APPTAINERENV_OMP_NUM_THREADS" "$SINGULARITYENV_A"\necho "$@"\n'
    )
    starter.chmod(0o755)
    log = Apptainer("/images/tool.sif", program=str(starter)).run(call).log
    values, words_seen = log.read_text().splitlines()
    assert values == "1,2 1 1,2"
    scratch = Path(words_seen.split()[words_seen.split().index("--workdir") + 1])
    assert scratch.parent == call.cwd and not scratch.exists()  # room for /tmp in the container, gone afterwards


def test_links_are_mounted_as_what_they_point_to(tmp_path: Path) -> None:
    annex, work = tmp_path / "annex" / "key", tmp_path / "work"
    annex.parent.mkdir()
    work.mkdir()
    annex.write_text("x")
    outside, inside = tmp_path / "T1.nii.gz", work / "T1.nii.gz"
    outside.symlink_to(annex)
    inside.symlink_to(annex)
    plain = work / "plain.nii.gz"
    mounts = binds(Docker("i").words(command(tmp_path, ("tool",), reads=(outside, inside, plain))))
    assert ["type=bind", f"source={annex}", f"destination={outside}", "ro"] in mounts
    assert ["type=bind", f"source={annex}", f"destination={annex}", "ro"] in mounts
    assert len(mounts) == 3


def test_docker_is_asked_for_the_image_and_a_stopped_container_is_killed(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\ncase "$1 $5" in\n'
        '"image here:1") ;; "image "*) exit 1;;\n"run "*) exec sleep 100;; esac\n'
    )
    docker.chmod(0o755)
    assert Docker("here:1", program=str(docker)).missing("tool") is None
    assert "docker pull not-here:1" in str(Docker("not-here:1", program=str(docker)).missing("tool"))
    assert "no image" in str(Docker("", program=str(docker)).missing("tool"))
    with pytest.raises(ToolError, match="time limit"):
        Docker("here:1", program=str(docker)).run(command(tmp_path, ("tool",), timeout_s=0.5))
    calls = (tmp_path / "calls").read_text().splitlines()
    started = next(line.split() for line in calls if line.startswith("run "))
    assert calls[-1].split() == ["kill", started[started.index("--name") + 1]]


def test_apptainer_images_are_files(tmp_path: Path) -> None:
    there = tmp_path / "tool.sif"
    there.write_text("")
    assert Apptainer(str(there), program=sys.executable).missing("tool") is None
    assert "not here" in str(Apptainer(str(tmp_path / "other.sif"), program=sys.executable).missing("tool"))
    assert "no-such" in str(Apptainer(str(there), program="no-such").missing("tool"))


def test_dry_keeps_the_commands_and_runs_nothing(tmp_path: Path) -> None:
    dry = Dry()
    call = command(tmp_path, ("no-such-program",), expects=(tmp_path / "work" / "out",))
    assert dry.run(call).argv == ("no-such-program",)
    assert dry.commands == [call]
    assert not (tmp_path / "work").exists()


def test_wrong_records_are_mistakes_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not absolute"):
        Command("x", ("x",), Path("work"))
    with pytest.raises(ValueError, match="may not write"):
        Command("x", ("x",), tmp_path / "work", expects=(tmp_path / "out",))
    with pytest.raises(ValueError, match="needs a program"):
        Command("x", (), tmp_path)


def test_tail_reads_the_end_of_a_huge_log_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(2**40)  # sparse
        file.seek(0, 2)
        file.write(b"\nlast\xff line\n\n")
    assert tail(log, 1) == ["last\ufffd line"]
    assert tail(tmp_path / "none") == []


def test_version_text(tmp_path: Path, program: Writer) -> None:
    assert version_text(Local(), program("print('6.0.7')"), tmp_path) == "6.0.7"
    assert version_text(Local(), program("sys.exit(1)"), tmp_path) is None
    assert version_text(Local(), ("no-such-program",), tmp_path) is None


def test_the_last_lines_of_a_log_do_not_name_the_machine(tmp_path: Path) -> None:
    log = tmp_path / "recon-all.log"
    log.write_text("ERROR: no\nLinux node17 5.4.0-1 #1 SMP x86_64 x86_64 x86_64 GNU/Linux\n\nrecon-all exited\n")
    assert runner.said(log) == "Its last lines:\n  ERROR: no\n  recon-all exited"
