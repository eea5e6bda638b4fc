"""Remote folders: what is copied, what stays, and what a hostile listing or a slow server cannot do."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest

from sam3_agent.errors import InputError
from sam3_agent.formats.remote_folder import (
    FILE,
    Limits,
    cache_folder,
    copy_remote,
    is_remote,
    local_copies,
    remote_urls,
    shown,
    upload,
)


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty folder in memory."""
    root = f"memory://bucket-{abs(hash(request.node.nodeid))}"
    system = fsspec.filesystem("memory")
    yield root
    if system.exists(root):
        system.rm(root, recursive=True)


def put(root: str, **files: bytes) -> None:
    for name, data in files.items():
        with fsspec.open(f"{root}/{name.replace('__', '/').replace('_dot_', '.')}", "wb") as file:
            file.write(data)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_is_copied_once_and_what_changed_again(bucket: str, tmp_path: Path) -> None:
    put(bucket, a_dot_jpg=b"1", sub__b_dot_jpg=b"22", notes_dot_txt=b"no")
    copied = copy_remote(bucket, tmp_path / "x", lambda name: name.endswith(".jpg"))
    assert (copied.files, copied.fetched, copied.bytes) == (2, 2, 3)
    assert names(tmp_path / "x") == [FILE, "a.jpg", "sub/b.jpg"]
    again = copy_remote(bucket, tmp_path / "x", lambda name: name.endswith(".jpg"))
    assert (again.files, again.fetched) == (2, 0)
    put(bucket, a_dot_jpg=b"333")
    (tmp_path / "x" / "sub" / "b.jpg").unlink()
    assert copy_remote(bucket, tmp_path / "x", lambda name: name.endswith(".jpg")).fetched == 2
    assert (tmp_path / "x" / "a.jpg").read_bytes() == b"333"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(files=1), "more than 1 files"),
        (Limits(file_bytes=2), "b.jpg has more than"),
        (Limits(total_bytes=3), "at most .* are copied"),
    ],
)
def test_count_and_sizes_are_bounded(bucket: str, tmp_path: Path, limits: Limits, words: str) -> None:
    put(bucket, a_dot_jpg=b"1", b_dot_jpg=b"22333")
    with pytest.raises(InputError, match=words):
        copy_remote(bucket, tmp_path / "x", limits=limits)
    assert "b.jpg" not in names(tmp_path / "x") if (tmp_path / "x").exists() else True


def test_a_folder_that_is_empty_or_of_another_url_is_refused(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot list|no file that is wanted"):
        copy_remote(bucket, tmp_path / "x")
    put(bucket, a_dot_jpg=b"1")
    copy_remote(bucket, tmp_path / "x")
    put(f"{bucket}/other", a_dot_jpg=b"1")
    with pytest.raises(InputError, match="holds files of memory://"):
        copy_remote(f"{bucket}/other", tmp_path / "x")


def test_links_in_the_local_folder_do_not_lead_files_out_of_it(bucket: str, tmp_path: Path) -> None:
    put(bucket, sub__a_dot_jpg=b"1")
    (tmp_path / "x").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="leads out of"):
        copy_remote(bucket, tmp_path / "x")
    assert names(tmp_path / "elsewhere") == []


def test_a_folder_is_written_to_a_remote_one(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.json").write_text("1")
    (tmp_path / "sub" / "b.json").write_text("2")
    assert upload(tmp_path, f"{bucket}/out") == 2
    assert fsspec.filesystem("memory").cat(f"{bucket}/out/sub/b.json") == b"2"


def test_urls_are_told_from_paths_and_found_in_specs() -> None:
    assert [is_remote(text) for text in ("s3://b/x", "https://h/x", "file:///etc", "ssh://h/x", "s3/b", "s3:x")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip
    assert remote_urls("coco:s3://b/a.json@https://h:8080/images/") == ["s3://b/a.json", "https://h:8080/images/"]
    assert remote_urls("refcoco:gs://b/refs:unc:val") == ["gs://b/refs"]
    assert shown("https://me:secret@host/x?token=1") == "https://host/x"
    with pytest.raises(InputError, match="give one of s3://"):
        copy_remote("simplecache::s3://b/x", Path("x"))
    with pytest.raises(InputError, match=r"pip install 'sam3-agent\[remote\]'"):
        copy_remote("abfs://b/x", Path("x"))


def test_a_spec_reads_local_copies(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    put(bucket, a_dot_json=b"{}", images__1_dot_png=b"x")
    spec = local_copies(f"coco:{bucket}/a.json@{bucket}/images")
    file, images = f"{bucket}/a.json", f"{bucket}/images"
    assert spec == f"coco:{cache_folder(file) / 'a.json'}@{cache_folder(images)}"
    assert (cache_folder(images) / "1.png").read_bytes() == b"x"
    assert local_copies("coco:a.json") == "coco:a.json"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(handler: Any) -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def needs_aiohttp() -> None:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed: pip install 'sam3-agent[remote]'")


def test_the_pages_of_a_web_server_are_walked(tmp_path: Path) -> None:
    needs_aiohttp()
    site = tmp_path / "site"
    (site / "data" / "sub dir").mkdir(parents=True)
    (site / "data" / "a b.jpg").write_bytes(b"1" * 100_000)
    (site / "data" / "sub dir" / "é.jpg").write_bytes(b"2")
    (site / "secret.jpg").write_bytes(b"3")
    with served(lambda *args: _Quiet(*args, directory=str(site))) as url:
        copied = copy_remote(f"{url}/data/", tmp_path / "x")
        assert names(tmp_path / "x") == [FILE, "a b.jpg", "sub dir/é.jpg"]
        assert copied.bytes == 100_001
        with pytest.raises(InputError, match=r"a b\.jpg has more than"):
            copy_remote(f"{url}/data/", tmp_path / "y", limits=Limits(file_bytes=50_000))
        assert copy_remote(f"{url}/secret.jpg", tmp_path / "z").files == 1
        with pytest.raises(InputError, match="cannot list"):
            copy_remote(f"{url}/none/", tmp_path / "n")


class Hostile(BaseHTTPRequestHandler):
    """Serves a page whose links lead out of the folder, or redirect, or never end."""

    elsewhere: ClassVar[str] = ""
    asked: ClassVar[list[str]] = []
    release: ClassVar[threading.Event]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/away/"):
            self.send_response(302)
            self.send_header("Location", f"{self.elsewhere}/stolen.jpg")
            self.end_headers()
        elif self.path == "/slow/a.jpg":
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"1")
            self.wfile.flush()
            self.release.wait(30)
        elif self.path.endswith(".jpg"):
            self.answer(b"picture")
        else:
            self.answer(self.page(), "text/html")

    def page(self) -> bytes:
        links = ["../up.jpg", "%2e%2e/up.jpg", "/etc/passwd.jpg", f"{self.elsewhere}/x.jpg", "a.jpg", ".remote.json"]
        links += ["..%2f..%2fup.jpg", "b%5c..%5cc.jpg"] if self.path == "/links/" else []
        links = links if self.path == "/links/" else ["a.jpg"]
        return "".join(f'<a href="{link}">{link}</a>' for link in links).encode()

    def answer(self, body: bytes, kind: str = "image/jpeg") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hostile() -> Iterator[str]:
    needs_aiohttp()
    Hostile.asked, Hostile.release = [], threading.Event()
    with served(Hostile) as url:
        Hostile.elsewhere = url.replace("127.0.0.1", "localhost")
        yield url
        Hostile.release.set()


def test_a_page_s_links_do_not_lead_out_of_its_folder(hostile: str, tmp_path: Path) -> None:
    copied = copy_remote(f"{hostile}/links/", tmp_path / "deep" / "x")
    assert names(tmp_path) == ["deep/x/.remote.json", "deep/x/a.jpg"]
    assert copied.outside >= 3
    assert all(path.startswith("/links/") for path in Hostile.asked)


def test_a_redirect_to_another_host_is_not_followed(hostile: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1 redirects to http://localhost; that is not followed"):
        copy_remote(f"{hostile}/away/", tmp_path / "x")
    assert "/stolen.jpg" not in Hostile.asked


def test_a_server_that_falls_silent_ends_in_an_error(hostile: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no byte for 1 s; the same command goes on"):
        copy_remote(f"{hostile}/slow/", tmp_path / "x", limits=Limits(stall_seconds=1.0))
    assert "a.jpg" not in names(tmp_path / "x")
