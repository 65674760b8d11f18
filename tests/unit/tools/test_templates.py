"""TemplateFlow through its own client: what is here, what is fetched, and that looking changes nothing."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from thalbids.cli.main import main
from thalbids.errors import OutputError, UsageError
from thalbids.tools import templates
from thalbids.tools.download import DownloadError, fetch

NAME = "MNI152NLin2009cAsym"
FILES = (f"tpl-{NAME}_res-01_T1w.nii.gz", f"tpl-{NAME}_res-01_desc-brain_mask.nii.gz")
CONTENT = {name: gzip.compress(name.encode()) for name in FILES}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "templateflow"
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(folder))
    return folder


@pytest.fixture
def asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server in place of TemplateFlow's; the paths that it was asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            content = CONTENT.get(Path(self.path).name)
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *args: object) -> None:
            pass

    home.mkdir()
    from templateflow.conf.cache import CacheConfig

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    whole = CacheConfig.__post_init__

    def ours(config: CacheConfig) -> None:
        whole(config)
        config.s3_root = address

    monkeypatch.setattr(CacheConfig, "__post_init__", ours)
    pinned = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()}
    monkeypatch.setattr(templates, "PINNED", pinned)
    yield paths
    server.shutdown()
    server.server_close()


def test_looking_for_a_template_writes_nothing(home: Path) -> None:
    assert templates.local(NAME) == ()
    assert main(["fetch"]) == 0
    assert not home.exists()


def test_placeholders_and_one_of_two_files_are_no_template(home: Path) -> None:
    folder = home / f"tpl-{NAME}"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).touch()
    assert templates.local(NAME) == ()
    (folder / FILES[0]).write_bytes(b"x")
    assert templates.local(NAME) == ()
    (folder / FILES[1]).write_bytes(b"x")
    assert templates.local(NAME) == (folder / FILES[0], folder / FILES[1])
    (folder / FILES[0]).unlink()
    assert templates.local(NAME) == ()
    assert {path.name for path in home.iterdir()} == {folder.name}


def test_a_template_is_fetched_once_from_where_the_client_says(
    asked: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", f"template:{NAME}"]) == 0
    assert asked == [f"/tpl-{NAME}/{name}" for name in FILES]
    assert capsys.readouterr().out.count("fetched, checksum right") == 2
    assert [path.read_bytes() for path in templates.local(NAME)] == list(CONTENT.values())
    assert main(["fetch", f"template:{NAME}"]) == 0
    assert len(asked) == 2
    assert capsys.readouterr().out.count("here already") == 2


def test_other_content_is_thrown_away(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(templates.PINNED, FILES[0], (len(CONTENT[FILES[0]]), "0" * 64))
    image = templates.downloads(NAME)[0]
    with pytest.raises(DownloadError, match="not 0000"):
        fetch(image)
    assert asked and templates.local(NAME) == ()


def test_a_placeholder_without_a_published_checksum_is_not_taken_for_the_file(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "PINNED", {})
    image = templates.downloads(NAME)[0]
    assert image.path.stat().st_size == 0
    assert "fetched; no checksum is published" in fetch(image)
    assert image.path.read_bytes() == CONTENT[FILES[0]]


def test_the_pinned_checksums_are_of_files_that_the_client_knows(asked: list[str]) -> None:
    published = {path.name for path in (d.path for d in templates.downloads(NAME))}
    assert published == set(FILES)
    assert templates.downloads("OASIS30ANTs")[0].path.name == "tpl-OASIS30ANTs_res-01_T1w.nii.gz"


@pytest.mark.parametrize("name", ["NoSuchTemplate", "fsLR", "../x", ""])
def test_no_such_template(asked: list[str], name: str) -> None:
    with pytest.raises(UsageError):
        templates.downloads(name)
    assert asked == []


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(OutputError, match="TEMPLATEFLOW_HOME"):
        templates.downloads(NAME)
