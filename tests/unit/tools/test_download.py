"""Fetching from a server that cuts, lies, refuses, and serves something else."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from thalbids.cli.main import main
from thalbids.errors import OutputError
from thalbids.tools import download, mindglide
from thalbids.tools.download import Download, DownloadError, fetch

CONTENT = bytes(range(256)) * 4000  # 1 MB
RIGHT = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A local server; ``behaviour`` decides, per request, what goes wrong."""

    def __init__(self) -> None:
        self.behaviour = "good"
        self.content = CONTENT
        self.requests: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append(self.headers.get("Range"))
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/file"

    def answer(self, to: http.server.BaseHTTPRequestHandler) -> None:
        how = self.behaviour
        asked = to.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and "no ranges" not in how else 0
        to.close_connection = True
        if how in ("404", "503"):
            to.send_error(int(how))
            return
        if how == "503 once" and len(self.requests) == 1:
            to.send_error(503)
            return
        if start >= len(self.content) and start:
            to.send_error(416)
            return
        body = self.content[start:]
        length = len(body)
        if how == "claims more":
            length += 1000
        if how == "claims less":
            length = min(length, 400_000)
        to.send_response(206 if start else 200)
        if start:
            told = start + 5 if how == "other range" else start
            to.send_header("Content-Range", f"bytes {told}-{len(self.content) - 1}/{len(self.content)}")
        if how != "no length":
            to.send_header("Content-Length", str(length))
        to.end_headers()
        cut = {"cuts": 300_000, "cuts, no ranges": 300_000, "cuts at once": 0}.get(how, len(body))
        if how == "cuts, no ranges" and len(self.requests) > 2:
            cut = len(body)
        to.wfile.write(body[:cut])
        to.wfile.flush()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE_S", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def wanted(server: Server, tmp_path: Path) -> Download:
    return Download(server.url, tmp_path / "cache" / "model.pt", len(CONTENT), RIGHT, "MIT")


def files(wanted: Download) -> list[str]:
    return sorted(path.name for path in wanted.path.parent.iterdir())


def test_a_good_fetch_and_the_same_again(server: Server, wanted: Download) -> None:
    seen: list[tuple[int, int | None]] = []
    assert fetch(wanted, lambda done, total: seen.append((done, total))) == "fetched, checksum right"
    assert wanted.path.read_bytes() == CONTENT and files(wanted) == ["model.pt"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(wanted) == "is here already, checksum right"
    assert server.requests == [None]


def test_a_cut_connection_is_continued_where_it_was_cut(server: Server, wanted: Download) -> None:
    server.behaviour = "cuts"
    assert fetch(wanted) == "fetched, checksum right"
    assert server.requests == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_fetch_that_was_ended_is_continued_by_the_next(server: Server, wanted: Download) -> None:
    part = wanted.path.with_name("model.pt.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT[:123_456])
    fetch(wanted)
    assert (
        server.requests == ["bytes=123456-"] and wanted.path.read_bytes() == CONTENT and files(wanted) == ["model.pt"]
    )


@pytest.mark.parametrize(
    "behaviour", ["cuts, no ranges", "claims less", "claims more", "no length", "503 once", "other range"]
)
def test_strange_servers_still_give_the_file(server: Server, wanted: Download, behaviour: str) -> None:
    server.behaviour = behaviour
    if behaviour == "other range":
        part = wanted.path.with_name("model.pt.part")
        part.parent.mkdir()
        part.write_bytes(CONTENT[:1000])
    assert fetch(wanted) == "fetched, checksum right"
    assert wanted.path.read_bytes() == CONTENT and files(wanted) == ["model.pt"]


@pytest.mark.parametrize("behaviour", ["cuts at once", "503"])
def test_a_server_that_gives_nothing_is_given_up(server: Server, wanted: Download, behaviour: str) -> None:
    server.behaviour = behaviour
    with pytest.raises(DownloadError, match="cannot be fetched") as caught:
        fetch(wanted)
    assert len(server.requests) == download.TRIES
    assert RIGHT in str(caught.value) and server.url in str(caught.value) and caught.value.exit_code == 69
    assert files(wanted) == []


def test_a_refusal_is_not_tried_again(server: Server, wanted: Download) -> None:
    server.behaviour = "404"
    with pytest.raises(DownloadError, match="the server answers 404"):
        fetch(wanted)
    assert len(server.requests) == 1


def test_a_file_that_is_shorter_than_it_should_be_is_given_up(server: Server, wanted: Download) -> None:
    server.content = b"x"
    with pytest.raises(DownloadError, match="does not send all of it"):
        fetch(wanted)
    assert len(server.requests) <= 2 * download.TRIES


def test_another_content_is_thrown_away(server: Server, wanted: Download) -> None:
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(DownloadError, match=f"not {RIGHT}"):
        fetch(wanted)
    assert files(wanted) == []


def test_more_than_there_should_be_is_thrown_away(server: Server, wanted: Download) -> None:
    server.content = CONTENT * 4
    with pytest.raises(DownloadError, match="has the SHA-256"):
        fetch(wanted)
    assert files(wanted) == []


@pytest.mark.parametrize("rest", [b"of something else", CONTENT + b"more"])
def test_a_wrong_rest_of_an_earlier_fetch_does_no_harm(server: Server, wanted: Download, rest: bytes) -> None:
    part = wanted.path.with_name("model.pt.part")
    part.parent.mkdir()
    part.write_bytes(rest)
    assert fetch(wanted) == "fetched, checksum right"
    assert wanted.path.read_bytes() == CONTENT


def test_a_rest_longer_than_a_file_of_unknown_size(server: Server, wanted: Download) -> None:
    part = wanted.path.with_name("model.pt.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    assert fetch(replace(wanted, size=None)) == "fetched, checksum right"


def test_a_damaged_file_is_fetched_again(server: Server, wanted: Download) -> None:
    wanted.path.parent.mkdir()
    wanted.path.write_bytes(b"damaged")
    assert fetch(wanted) == "fetched, checksum right"
    assert wanted.path.read_bytes() == CONTENT


def test_without_a_published_checksum_the_first_one_holds(server: Server, wanted: Download) -> None:
    unknown = replace(wanted, size=None, sha256=None)
    told = fetch(unknown)
    assert "no checksum is published" in told and RIGHT in told
    assert files(wanted) == ["model.pt", "model.pt.sha256"]
    wanted.path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(DownloadError, match=f"not {RIGHT}"):
        fetch(unknown)


def test_two_fetches_of_a_file_do_not_mix(wanted: Download) -> None:
    part = wanted.path.with_name("model.pt.part")
    part.parent.mkdir()
    with download._locked(part) as file:
        file.write(b"x")
        with pytest.raises(DownloadError, match="another fetch of this file is at work"):
            fetch(wanted)


def test_an_unreachable_server(wanted: Download, server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(DownloadError, match="the connection failed"):
        fetch(wanted)


def test_a_folder_that_cannot_be_written(server: Server, wanted: Download) -> None:
    wanted.path.parent.write_text("a file in the way")
    with pytest.raises(OutputError, match="THALBIDS_CACHE"):
        fetch(wanted)


def test_the_command(
    server: Server,
    wanted: Download,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(mindglide, "fetched_checkpoint", lambda: wanted)
    assert main(["fetch", "mindglide"]) == 0
    assert "fetched, checksum right" in capsys.readouterr().out
    server.content = b"x"
    wanted.path.unlink()
    assert main(["fetch", "mindglide"]) == 69
    assert main(["fetch", "mindgilde"]) == 2
    assert "Did you mean 'mindglide'?" in capsys.readouterr().err
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "tf"))
    assert main(["fetch"]) == 0
    listed = capsys.readouterr().out
    assert "not here" in listed and server.url in listed and RIGHT in listed
