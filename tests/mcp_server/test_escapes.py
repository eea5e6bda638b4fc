"""Attempts to reach files and folders that nobody allowed: all fail."""

import base64
import os
import struct
import zlib
from pathlib import Path

import pytest
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.path_allowlist import PathAllowlist

from sam3_agent.errors import InputError
from sam3_agent.workspace import OutputFolder
from tests.mcp_server.fixtures_network import REACHED, FakeNetwork, png, refused


@pytest.fixture
def tree(tmp_path: Path, folder: Path) -> Path:
    """The allowed folder beside a secret, with links of all kinds that lead out of it."""
    secret = tmp_path / "secret.png"
    secret.write_bytes((folder / "square.png").read_bytes())
    (tmp_path / "allowed-too").mkdir()
    (tmp_path / "allowed-too" / "near.png").write_bytes(secret.read_bytes())
    (folder / "link.png").symlink_to(secret)
    (folder / "relative.png").symlink_to("../secret.png")
    (folder / "stairs").symlink_to(tmp_path)
    (folder / "chain.png").symlink_to(folder / "link.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "proc").symlink_to("/proc/self")
    os.link(secret, folder / "hard.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "inner").mkdir()
    return folder


FILES = [
    "{up}/secret.png",
    "{folder}/../secret.png",
    "{folder}/inner/../../secret.png",
    "{folder}/./../secret.png",
    "{folder}//..//secret.png",
    "{folder}/link.png",
    "{folder}/relative.png",
    "{folder}/chain.png",
    "{folder}/loop.png",
    "{folder}/stairs/secret.png",
    "{folder}/stairs/allowed-too/near.png",
    "{folder}/stairs/../secret.png",
    "{folder}/hard.png",
    "{folder}/pipe.png",
    "{folder}/inner",
    "{folder}",
    "{up}/allowed-too/near.png",
    "{folder}-too/near.png",
    "{folder}/proc/environ",
    "{folder}/proc/fd/0",
    "/proc/self/environ",
    "/proc/self/root{up}/secret.png",
    "/proc/self/cwd/../../../../../..{up}/secret.png",
    "/dev/zero",
    "/dev/stdin",
    "/dev/fd/0",
    "/etc/passwd",
    "~/secret.png",
    "~root/.ssh/id_rsa",
    "~nobody-such/secret.png",
    "file://{up}/secret.png",
    "FILE://{up}/secret.png",
    "file://localhost{folder}/%2e%2e/secret.png",
    "file://{folder}/..%2Fsecret.png",
    "file://evil.example{up}/secret.png",
    "file:///proc/self/environ",
    "  {up}/secret.png  ",
    "{folder}/\x00/../../secret.png",
    "{folder}/square.png\x00/../secret.png",
    "DATA:/../../../../../../..{up}/secret.png",
    "\\\\host\\share\\cat.png",
    "//host/share/cat.png",
    "\\\\?\\C:\\secret.png",
    "C:\\secret.png",
    "ftp://example.com/cat.png",
    "gopher://127.0.0.1:70/cat.png",
    "smb://host/share/cat.png",
    "jar:file://{up}/secret.png",
    "{folder}/" + "a/" * 3000 + "b.png",
    "",
]


@pytest.mark.parametrize("attempt", FILES)
def test_no_file_outside_the_allowed_folder_is_opened(tree: Path, tmp_path: Path, attempt: str) -> None:
    refused(FakeNetwork({}).pictures(folders=[tree]), attempt.format(folder=tree, up=tmp_path))


def test_a_file_inside_is_opened_by_any_of_its_paths(tree: Path) -> None:
    pictures = FakeNetwork({}).pictures(folders=[tree])
    for source in (f"{tree}/square.png", f"{tree}/stairs/allowed/../allowed/square.png", f"file://{tree}/square.png"):
        pixels, name = pictures.read(source, lambda _: None)
        assert pixels.shape == (240, 320, 3)
        assert name == str(tree.resolve() / "square.png")


def test_a_folder_that_turns_into_a_link_after_the_check_is_not_followed(tree: Path, tmp_path: Path) -> None:
    (tree / "inner" / "secret.png").write_bytes(b"not yet")

    class Racing(PathAllowlist):
        """Swaps the folder between check and use."""

        def check(self, source: str) -> Path:
            real = super().check(source)
            (tree / "inner").rename(tree / "gone")
            (tree / "inner").symlink_to(tmp_path)
            return real

    with pytest.raises(InputError, match="cannot open"):
        Racing((tree.resolve(),)).read(f"{tree}/inner/secret.png")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that says it has that many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    plain = png()
    data = b"Comment\0\0" + zlib.compress(b"0" * 200_000_000)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    return plain[:33] + chunk + plain[33:]


@pytest.mark.parametrize(
    "data",
    [bomb(60_000, 60_000), bomb(2**31 - 1, 2**31 - 1), bomb(20_000, 6_000), text_bomb(), b"%!PS-Adobe-3.0 EPSF-3.0\n"],
    ids=["3.6-gigapixel", "largest", "120-megapixel", "text", "eps"],
)
def test_a_picture_that_would_burst_memory_or_start_a_program_is_refused(tree: Path, data: bytes) -> None:
    pictures = FakeNetwork({}).pictures(folders=[tree])
    (tree / "bomb.png").write_bytes(data)
    refused(pictures, str(tree / "bomb.png"))
    refused(pictures, f"data:image/png;base64,{base64.b64encode(data).decode()}")


def test_files_and_data_uris_have_a_largest_size(tree: Path) -> None:
    (tree / "large.png").write_bytes(png() + b"\0" * 2_000_000)
    small = ImageAccess(PathAllowlist((tree.resolve(),), max_bytes=1_000_000), max_data_uri=1000)
    assert "larger than" in refused(small, str(tree / "large.png"))
    assert "longer than" in refused(small, "data:image/png;base64," + "A" * 1001)


WRITES = [
    "../out.png",
    "a/../../out.png",
    "..",
    "/etc/cron.d/out",
    "/tmp/out.png",
    "~/out.png",
    ".bashrc",
    "a/.ssh/authorized_keys",
    "link/out.png",
    "link/inner/out.png",
    "\\\\host\\share\\out.png",
    "C:out.png",
    "a\x00b.png",
    "a\nb.png",
    "",
    ".",
    "a" * 300,
    "a/" * 600 + "b",
]


@pytest.mark.parametrize("path", WRITES)
def test_nothing_is_written_outside_the_output_folder(tmp_path: Path, path: str) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    (outside / "inner").mkdir(parents=True)
    (out / "link").symlink_to(outside)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    with pytest.raises(InputError):
        OutputFolder(out).write({path: b"x"}, overwrite=True)
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


def test_a_file_is_replaced_only_when_asked_and_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    folder, outside = OutputFolder(tmp_path / "out"), tmp_path / "outside.txt"
    outside.write_text("mine")
    assert folder.write({"a/b.txt": b"one"}) == [tmp_path / "out" / "a" / "b.txt"]
    with pytest.raises(InputError, match=r"'b.txt' is there already; .* set overwrite"):
        folder.write({"a/b.txt": b"two"})
    assert (tmp_path / "out" / "a" / "b.txt").read_text() == "one"
    folder.write({"a/b.txt": b"two"}, overwrite=True)
    assert (tmp_path / "out" / "a" / "b.txt").read_text() == "two"
    (tmp_path / "out" / "link.txt").symlink_to(outside)
    folder.write({"link.txt": b"three"}, overwrite=True)
    assert outside.read_text() == "mine"
    assert [p.name for p in (tmp_path / "out").rglob(".writing*")] == []
    with pytest.raises(InputError, match="--out-dir"):
        OutputFolder().write({"a.txt": b""})


def test_there_were_sixty_attempts_and_nothing_left_this_machine() -> None:
    assert len(FILES) + len(WRITES) >= 60
    assert REACHED == []
