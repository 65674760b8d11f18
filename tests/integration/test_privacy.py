"""A whole run, watched: where it writes, whom it speaks to, and what its results say about the machine and its user."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import standins
from thalbids import demo
from thalbids.errors import own_names

pytest.importorskip("nilearn")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

USER, HOST = "jane.secretuser", "secrethost17"
ROOT = Path(__file__).parents[2]
# Python runs this at its start: every process says whom it looks up and what it connects to but the loopback interface.
WATCH = """
import os, sys
def watch(event, arguments):
    if event == "socket.getaddrinfo" or event == "socket.connect":
        place = str(arguments[0] if event == "socket.getaddrinfo" else arguments[1])
        if not any(own in place for own in ("127.0.0.1", "localhost", "::1", os.uname().nodename)):
            with open(os.environ["WATCH_LOG"], "a") as log:
                log.write(f"{event} {place}\\n")
sys.addaudithook(watch)
"""


@cache
def may_rename_the_machine() -> bool:
    if os.getuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"):
        return False
    # In most containers root may not.
    command = ["unshare", "--uts", "sh", "-c", f"hostname {HOST} && setpriv --bounding-set -all --inh-caps -all true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Run:
    """Folders of a run, each with a telling name."""

    def __init__(self, base: Path):
        self.base = base / "secretfolder"
        self.raw, self.out, self.work = self.base / "raw", self.base / "results" / "out", self.base / "work"
        self.home, self.tmp, self.cwd, self.cache = (self.base / name for name in (USER, "tmp", "cwd", "cache"))
        for folder in (self.out.parent, self.work, self.home, self.tmp, self.cwd, self.cache):
            folder.mkdir(parents=True)
        self.log = self.base / "connections.txt"
        (self.base / "watch").mkdir()
        (self.base / "watch" / "sitecustomize.py").write_text(WATCH)
        self.said = ""

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG")}
        telling = {"HOME": str(self.home), "USER": USER, "LOGNAME": USER, "TMPDIR": str(self.tmp)}
        paths = os.pathsep.join([str(self.base / "watch"), str(ROOT)])
        own = {"THALBIDS_CACHE": str(self.cache), "PYTHONPATH": paths, "WATCH_LOG": str(self.log)}
        path = os.pathsep.join([str(self.base / "bin"), str(Path(sys.executable).parent), kept["PATH"]])
        return kept | telling | own | {"PATH": path, "FREESURFER_HOME": str(self.base / "bin")}

    def start(self, *words: str) -> None:
        """Run a command; where that is allowed, without the rights of root and under another name of the machine."""
        command = [sys.executable, "-m", "thalbids", *words]
        if may_rename_the_machine():
            inner = f'hostname {HOST}; exec setpriv --bounding-set -all --inh-caps -all "$@"'
            command = ["unshare", "--uts", "sh", "-c", inner, "sh", *command]
        done = subprocess.run(command, env=self.environment(), cwd=self.cwd, capture_output=True, text=True)
        self.said += done.stdout + done.stderr
        assert done.returncode in (0, 1), self.said


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Participant and group level on the demo data, with programs that fail and speak of places."""
    made = Run(tmp_path_factory.mktemp("privacy"))
    list(demo.write_dataset(made.raw, subjects=1, seed=7))
    standins.install(made.base / "bin", "recon-all")
    first, host = made.base / "bin" / "run_first_all", HOST if may_rename_the_machine() else socket.gethostname()
    first.write_text(
        f"#!/bin/sh\necho \"{host}: cannot open '{made.base}/my scans/x.nii' of {USER}, see $PWD/first.log\"\nexit 1\n"
    )
    first.chmod(0o755)
    expert, licence, settings = (made.base / name for name in ("expert.opts", "license.txt", "settings.toml"))
    expert.write_text("x")
    licence.write_text("x")
    settings.write_text(
        f'[tools.freesurfer]\nlicense_file = "{licence}"\noptions = ["-expert", "{expert}", "-x", "{made.base}/gone"]\n'
    )
    before = sorted(made.raw.rglob("*"))
    modes = {path: path.stat().st_mode for path in [made.raw, *before]}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    shared = ["--config", str(settings), "--work-dir", str(made.work)]
    try:
        names = ["--methods", "freesurfer", "first", "synthal", "--nprocs", "2"]
        made.start(str(made.raw), str(made.out), "participant", *names, *shared)
        made.start(str(made.raw), str(made.out), "group", *shared)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert sorted(made.raw.rglob("*")) == before
    yield made


def views(path: Path) -> Iterator[bytes]:
    """The bytes of a file, what it holds compressed, and what a page embeds."""
    raw = path.read_bytes()
    yield raw
    if raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)
    for found in re.finditer(rb"H4sI[A-Za-z0-9+/]{20,}=*", raw):
        yield gzip.decompress(base64.b64decode(found[0]))


def others(inside: Path) -> bool:
    """Whether this is a log of the run, or a file of FreeSurfer itself."""
    return inside.parts[0] == "logs" or (inside.parts[0] == "sourcedata" and inside.suffix != ".json")


def test_results_do_not_say_where_and_by_whom_they_were_made(run: Run) -> None:
    told = [b"secretfolder", USER.encode(), HOST.encode(), str(run.base).encode(), str(Path(sys.prefix)).encode()]
    if socket.gethostname() in own_names():
        told.append(socket.gethostname().encode())
    files = [path for path in run.out.rglob("*") if path.is_file() and not others(path.relative_to(run.out))]
    assert {".json", ".tsv", ".html", ".gz", ".svg", ".txt"} <= {path.suffix for path in files}
    found = {(path.name, word) for path in files for view in views(path) for word in told if word in view}
    assert not found
    assert any(b"viewer" in view for path in files if path.suffix == ".html" for view in views(path))


def test_what_programs_said_is_there_without_places(run: Run) -> None:
    table = next(run.out.rglob("sub-01_ses-1_desc-thalamus_morph.tsv")).read_text()
    host = "(name)" if may_rename_the_machine() or socket.gethostname() in own_names() else socket.gethostname()
    assert f"{host}: cannot open 'x.nii' of (name), see first.log" in table
    (record,) = run.out.rglob("sourcedata/**/sub-01_ses-1.json")
    options = json.loads(record.read_text())["Options"]
    assert options[0] == "-expert" and options[1].startswith("expert.opts (SHA-256 ") and options[3] == "gone"


def test_headers_of_images_hold_no_words(run: Run) -> None:
    import nibabel as nib

    images = list(run.out.rglob("*.nii.gz"))
    assert len(images) > 10
    for path in images:
        header = nib.load(path).header
        assert {bytes(header[key].tobytes()).strip(b"\0") for key in ("descrip", "aux_file", "db_name")} == {b""}
        assert not header.extensions


def test_nothing_is_written_but_results_and_cache(run: Run) -> None:
    for folder in (run.home, run.tmp, run.cwd, run.work):
        assert not list(folder.rglob("*")), folder.name
    assert {path.name for path in run.cache.iterdir()} <= {"matplotlib"}


def test_nobody_is_spoken_to(run: Run) -> None:
    """OpenVINO's import would report itself to Google."""
    assert not run.log.exists(), run.log.read_text()
    probe = "import socket; socket.getaddrinfo('thalbids.invalid', 80)"
    subprocess.run([sys.executable, "-c", probe], env=run.environment(), capture_output=True)
    assert "thalbids.invalid" in run.log.read_text()  # so the watch was awake
