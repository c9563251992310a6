from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from medseg.data.sources import zips
from medseg.data.sources.finding import open_source
from medseg.data.sources.source import (
    Archive,
    CombinedSource,
    EmptySource,
    FolderSource,
    Source,
    ZipSource,
)
from medseg.errors import DataError
from tests.data.tiny import server, write_folder, write_zip, zip_bytes

FILES = {"Top/images/b.png": b"bbb", "Top/images/a.png": b"aaaa" * 100, "Top/masks/a.png": b"m"}


class One:
    title = "One set"
    licence = "CC0"
    home = ""
    source_option = "data.source"
    archives: tuple[Archive, ...] = (Archive("one.zip", "http://127.0.0.1:9/one.zip", size=3 * 2**20),)


class Two:
    title = "Two sets"
    licence = ""
    home = ""
    source_option = "data.source"
    archives: tuple[Archive, ...] = (
        Archive("Images.zip", "http://127.0.0.1:9/Images.zip"),
        Archive("Masks.zip", "http://127.0.0.1:9/Masks.zip"),
        Archive("Extra.zip", "http://127.0.0.1:9/Extra.zip", required=False),
    )


def contents(source: Source) -> dict[str, bytes]:
    return {name: source.read(name) for name in source.names}


# Kinds of sources


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_zip_source_lists_and_reads(tmp_path, method):
    junk = {"__MACOSX/Top/._a.png": b"x", "Top/.DS_Store": b"x", "Top/images/._b.png": b"x", "Top/Thumbs.db": b"x"}
    path = write_zip(tmp_path / "x.zip", {**FILES, "Top/empty/": b"", **junk}, method)
    source = ZipSource(path)
    assert source.names == sorted(FILES)
    assert contents(source) == FILES
    assert source.location == str(path)
    with pytest.raises(DataError, match=r"x\.zip: has no member 'Top/none'"):
        source.read("Top/none")


def test_folder_source_lists_and_reads(tmp_path):
    write_folder(tmp_path / "d", {**FILES, "Top/.DS_Store": b"x", "__MACOSX/a": b"x", "Top/._c": b"x"})
    source = FolderSource(tmp_path / "d")
    assert contents(source) == FILES
    for name in ("Top/none", "../x", str(tmp_path / "d/Top/images/b.png")):
        with pytest.raises(DataError, match="has no file"):
            source.read(name)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_hidden_files_and_folders_are_left_out_below_a_root_that_may_be_hidden(tmp_path, kind):
    hidden = {
        ".ipynb_checkpoints/a.png": b"x",
        "Top/images/.ipynb_checkpoints/a-checkpoint.png": b"x",
        "Top/.a.png": b"x",
    }
    root = tmp_path / ".data" / ".mine"
    root.parent.mkdir()
    if kind == "zip":
        source = ZipSource(write_zip(root, {**FILES, **hidden}))
    else:
        source = FolderSource(write_folder(root, {**FILES, **hidden}))
    assert contents(source) == FILES


def test_zip_identity_depends_on_the_contents_alone(tmp_path):
    first = write_zip(tmp_path / "a" / "x.zip", FILES)
    moved = write_zip(tmp_path / "b" / "y.zip", dict(reversed(FILES.items())), zipfile.ZIP_STORED)
    os.utime(moved, (1, 1))
    changed = write_zip(tmp_path / "c" / "x.zip", {**FILES, "Top/masks/a.png": b"n"})
    renamed = write_zip(tmp_path / "d" / "x.zip", {f"{name}2": content for name, content in FILES.items()})
    identities = [ZipSource(path).identity for path in (first, moved, changed, renamed)]
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3


def test_folder_identity_changes_with_a_file(tmp_path):
    folder = write_folder(tmp_path / "d", FILES)
    before = FolderSource(folder).identity
    assert FolderSource(folder).identity == before
    os.utime(folder / "Top/masks/a.png", ns=(1, 1))
    assert FolderSource(folder).identity != before


def test_a_zip_is_read_by_many_threads_at_once(tmp_path):
    files = {f"{number}.bin": os.urandom(2000) * (number % 7 + 1) for number in range(200)}
    source = ZipSource(write_zip(tmp_path / "x.zip", files))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, list(files) * 5)) == list(files.values()) * 5


def test_combined_sources_look_alike_with_and_without_top_folders(tmp_path):
    bare = {"a.png": b"1", "LICENSE": b"x"}
    topped = {"Masks/a.png": b"2", "Masks/LICENSE": b"y"}
    expected = {"Images/LICENSE": b"x", "Images/a.png": b"1", "Masks/LICENSE": b"y", "Masks/a.png": b"2"}
    images, masks = write_zip(tmp_path / "i.zip", bare), write_zip(tmp_path / "m.zip", topped)
    source = CombinedSource({"Images": ZipSource(images), "Masks": ZipSource(masks)})
    assert contents(source) == expected
    assert source.names == sorted(expected)
    assert [path for path, _ in source.archives] == [images, masks]


def test_an_empty_source_has_nothing():
    assert EmptySource().names == []
    with pytest.raises(DataError, match="without files"):
        EmptySource().read("x")


# Attacks and damage


def refused(path: Path, pattern: str) -> None:
    with pytest.raises(DataError, match=pattern) as caught:
        ZipSource(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute path"),
        ("../up.png", r"'\.\.'"),
        ("images/../../up.png", r"'\.\.'"),
        ("C:/windows/x.png", "drive"),
        ("images\\..\\x.png", "backslash"),
        ("__MACOSX/../../x", r"'\.\.'"),
    ],
)
def test_a_name_that_leads_out_is_refused(tmp_path, name, why):
    refused(write_zip(tmp_path / "x.zip", {"fine.png": b"1", name: b"2"}), why)


def test_a_null_byte_in_a_name_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(zip_bytes({"aXb.png": b"1"}).replace(b"aXb.png", b"a\0b.png"))
    refused(path, "null byte")


def test_links_and_special_files_are_refused(tmp_path):
    for kind, why in ((stat.S_IFLNK, "symbolic link"), (stat.S_IFIFO, "special file"), (stat.S_IFCHR, "special file")):
        info = zipfile.ZipInfo("images/x.png")
        info.external_attr = (kind | 0o777) << 16
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr(info, "/etc/passwd")
        refused(tmp_path / "x.zip", f"'images/x.png' is a {why}")


def test_an_encrypted_member_is_refused(tmp_path):
    content = bytearray(zip_bytes({"x.png": b"1"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(content)
    refused(tmp_path / "x.zip", "'x.png' is encrypted")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path):
    for second in ("a/x.png", "a/./x.png", "a//x.png"):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr("a/x.png", "1")
            archive.writestr(second, "2")
        refused(tmp_path / "x.zip", "two members named 'a/x.png'")


def test_bombs_are_refused(tmp_path, monkeypatch):
    zeros = write_zip(tmp_path / "zeros.zip", {"mask.png": bytes(zips.LARGE_MEMBER + 1)})
    refused(zeros, "'mask.png' unpacks to more than 200 times its size")
    # A small mask of one colour compresses as well, and is fine.
    assert len(ZipSource(write_zip(tmp_path / "small.zip", {"mask.png": bytes(10**6)})).read("mask.png")) == 10**6
    several = write_zip(tmp_path / "several.zip", {str(number): os.urandom(1000) for number in range(5)})
    monkeypatch.setattr(zips, "MAX_TOTAL", 4999)
    refused(several, "taken for a zip bomb")
    monkeypatch.setattr(zips, "MAX_TOTAL", 5000)
    monkeypatch.setattr(zips, "MAX_MEMBER", 999)
    refused(several, "'0' declares")


def test_overlapping_members_are_refused(tmp_path):
    """Many entries of the directory that all point to the same data, as in Fifield's zip bomb."""
    data = zip_bytes({"a": os.urandom(5000)}, zipfile.ZIP_STORED)
    directory = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[directory:end]
    entries = b"".join(entry[:-1] + bytes([ord("a") + number]) for number in range(20))
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 20, 20, len(entries))
    (tmp_path / "x.zip").write_bytes(data[:directory] + entries + tail)
    refused(tmp_path / "x.zip", "overlap")


def test_what_is_no_zip_is_refused(tmp_path):
    whole = zip_bytes(FILES)
    for content in (b"", b"<html>not found</html>", whole[: len(whole) // 2], whole[:-30]):
        (tmp_path / "x.zip").write_bytes(content)
        refused(tmp_path / "x.zip", "not a zip archive, or cut short or damaged")


def declare_size(content: bytes, size: int, crc: int | None = None) -> bytes:
    """Change the unpacked size, and the checksum, of the only member in the central directory."""
    changed = bytearray(content)
    entry = changed.index(b"PK\x01\x02")
    struct.pack_into("<I", changed, entry + 24, size)
    if crc is not None:
        struct.pack_into("<I", changed, entry + 16, crc)
    return bytes(changed)


def test_a_damaged_member_is_an_error_with_its_name(tmp_path):
    noise = os.urandom(5000)
    stored, packed = zip_bytes({"a.png": noise}, zipfile.ZIP_STORED), zip_bytes({"a.png": noise})
    flipped = bytearray(stored)
    flipped[1000] ^= 1
    broken = bytearray(packed)
    broken[35:60] = bytes(25)
    for content in (
        bytes(flipped),
        bytes(broken),
        declare_size(packed, 6000),  # shorter than declared
        declare_size(packed, 4000),  # longer
        declare_size(stored, 4000),
        declare_size(packed, 6000, zlib.crc32(noise)),
    ):
        (tmp_path / "x.zip").write_bytes(content)
        source = ZipSource(tmp_path / "x.zip")
        with pytest.raises(DataError, match=r"x\.zip: 'a\.png' (is damaged|has 5000 bytes where 6000)") as caught:
            source.read("a.png")
        assert "\n" not in str(caught.value)


def test_links_out_of_a_folder_are_refused(tmp_path):
    secret = write_folder(tmp_path / "outside", {"secret": b"1"})
    for target, link in ((secret / "secret", "images/x.png"), (secret, "masks"), (tmp_path / "outside/none", "gone")):
        folder = write_folder(tmp_path / "d", {"images/a.png": b"1"})
        (folder / link).symlink_to(target)
        with pytest.raises(DataError, match="symbolic link that leads out"):
            FolderSource(folder)
        shutil.rmtree(folder)


def test_links_inside_a_folder_are_followed_once(tmp_path):
    folder = write_folder(tmp_path / "real", {"images/a.png": b"1"})
    (folder / "images/b.png").symlink_to(folder / "images/a.png")
    (folder / "loop").symlink_to(folder)
    (tmp_path / "link").symlink_to(folder)
    assert contents(FolderSource(tmp_path / "link")) == {"images/a.png": b"1", "images/b.png": b"1"}


# Finding


def test_every_way_to_give_one_archive(tmp_path):
    packed = write_zip(tmp_path / "dl" / "one.zip", FILES)
    elsewhere = write_zip(tmp_path / "my copy.zip", FILES)
    unpacked = write_folder(tmp_path / "unpacked", FILES)
    holder = write_folder(tmp_path / "holder" / "ONE", FILES).parent
    for source in (tmp_path / "dl", packed, str(packed), elsewhere, unpacked, holder):
        assert contents(open_source(One(), source, tmp_path / "none")) == FILES
    inner = {name.removeprefix("Top/"): content for name, content in FILES.items()}
    assert contents(open_source(One(), unpacked / "Top", tmp_path / "none")) == inner


def test_the_home_folder_can_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_zip(tmp_path / "dl" / "one.zip", FILES)
    assert contents(open_source(One(), "~/dl", tmp_path)) == FILES


def test_a_folder_with_nothing_but_an_archive_of_another_name(tmp_path):
    write_zip(tmp_path / "alone" / "frames-60.zip", FILES)
    (tmp_path / "alone" / ".DS_Store").write_text("")
    assert contents(open_source(One(), tmp_path / "alone", tmp_path / "none")) == FILES
    write_zip(tmp_path / "two" / "a.zip", FILES)
    write_zip(tmp_path / "two" / "b.zip", FILES)
    assert contents(open_source(One(), tmp_path / "two", tmp_path / "none")) != FILES, "nobody knows which is meant"


def test_every_way_to_give_several_archives(tmp_path):
    expected = {"Images/a.png": b"1", "Masks/a.png": b"2"}
    zips_in = tmp_path / "zips"
    write_zip(zips_in / "Images.zip", {"a.png": b"1"})
    masks = write_zip(zips_in / "Masks.zip", {"Masks/a.png": b"2"})
    mixed = tmp_path / "mixed"
    write_zip(mixed / "Images.zip", {"Images/a.png": b"1"})
    write_folder(mixed / "Masks", {"a.png": b"2"})
    unpacked = write_folder(tmp_path / "unpacked", expected)
    loose = write_folder(tmp_path / "loose", {"x/a.png": b"1"})
    for source in (zips_in, masks, mixed, unpacked):
        assert contents(open_source(Two(), source, tmp_path / "none")) == expected
    assert contents(open_source(Two(), loose, tmp_path / "none")) == {"x/a.png": b"1"}
    write_zip(zips_in / "Extra.zip", {"e.png": b"3"})
    assert contents(open_source(Two(), zips_in, tmp_path)) == {**expected, "Extra/e.png": b"3"}
    masks.unlink()
    with pytest.raises(DataError, match=r"Two sets: Masks\.zip is missing in .*zips"):
        open_source(Two(), zips_in, tmp_path)


def test_the_data_folder_is_searched_without_a_source(tmp_path):
    with pytest.raises(DataError) as caught:
        open_source(One(), None, tmp_path)
    for part in (
        "One set",
        "one.zip",
        str(tmp_path),
        "data.source=DIR",
        "data.download=true",
        "3 MiB",
        One.archives[0].url,
    ):
        assert part in str(caught.value)
    write_folder(tmp_path / "one", FILES)
    assert contents(open_source(One(), None, tmp_path)) == FILES
    write_zip(tmp_path / "one.zip", {"x": b"1"})
    assert contents(open_source(One(), None, tmp_path)) == {"x": b"1"}


def test_a_source_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"One set: data\.source=.*nowhere does not exist"):
        open_source(One(), tmp_path / "nowhere", tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="not a zip archive"):
        open_source(One(), tmp_path / "notes.txt", tmp_path)


# Downloading


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def published(url: str, sha256: str | None) -> One:
    dataset = One()
    dataset.archives = (replace(One.archives[0], url=url, sha256=sha256),)
    return dataset


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_download_is_verified_and_kept(tmp_path, caplog):
    path = write_zip(tmp_path / "web" / "one.zip", FILES)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    with server(tmp_path / "web") as url:
        dataset = published(f"{url}one.zip", checksum)
        assert contents(open_source(dataset, None, tmp_path / "data", download=True)) == FILES
    assert (tmp_path / "data" / "one.zip").read_bytes() == path.read_bytes()
    assert left_in(tmp_path / "data") == ["one.zip"]
    assert not caplog.messages
    # The server is gone: a second call needs none.
    assert contents(open_source(dataset, None, tmp_path / "data", download=True)) == FILES


def test_a_download_with_another_checksum_is_refused_and_removed(tmp_path):
    write_zip(tmp_path / "web" / "one.zip", FILES)
    with server(tmp_path / "web") as url:
        for dataset, source in ((published(f"{url}one.zip", "0" * 64), None), (published("", "0" * 64), url)):
            with pytest.raises(DataError, match="another SHA-256 than the published 0000") as caught:
                open_source(dataset, source, tmp_path / "data", download=True)
            assert "\n" not in str(caught.value)
            assert left_in(tmp_path / "data") == []


def test_without_a_published_checksum_a_download_is_accepted_with_a_warning(tmp_path, caplog):
    write_zip(tmp_path / "web" / "one.zip", FILES)
    with server(tmp_path / "web") as url, caplog.at_level(logging.WARNING):
        open_source(published(f"{url}one.zip", None), None, tmp_path / "data", download=True)
    assert [message for message in caplog.messages if "not verified" in message and "one.zip" in message]


def test_what_the_server_sends_must_be_a_zip(tmp_path):
    write_folder(tmp_path / "web", {"one.zip": b"<html>please log in</html>"})
    with server(tmp_path / "web") as url, pytest.raises(DataError, match="is not a zip archive"):
        open_source(published(f"{url}one.zip", None), None, tmp_path / "data", download=True)
    assert left_in(tmp_path / "data") == []


def test_no_network_says_how_to_fetch_by_hand(tmp_path):
    with server(tmp_path) as url:
        pass
    with pytest.raises(DataError, match=r"connection refused.*by hand.*data\.source=DIR") as caught:
        open_source(published(f"{url}one.zip", None), None, tmp_path / "data", download=True)
    assert "\n" not in str(caught.value)
    with server(tmp_path) as url, pytest.raises(DataError, match="the server answered 404"):
        open_source(published(f"{url}none.zip", None), None, tmp_path / "data", download=True)
    assert left_in(tmp_path / "data") == []
    with pytest.raises(DataError, match="no published address; fetch it by hand"):
        open_source(published("", None), None, tmp_path / "data", download=True)


def test_nothing_is_downloaded_unless_asked(tmp_path, monkeypatch):
    write_zip(tmp_path / "web" / "one.zip", FILES)
    with server(tmp_path / "web") as url, pytest.raises(DataError, match=r"data\.download=true"):
        open_source(published(f"{url}one.zip", None), None, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_url_as_source_downloads_from_there(tmp_path):
    write_zip(tmp_path / "web" / "Images.zip", {"a.png": b"1"})
    write_zip(tmp_path / "web" / "Masks.zip", {"a.png": b"2"})
    write_zip(tmp_path / "web" / "renamed.zip", FILES)
    with server(tmp_path / "web") as url:
        assert contents(open_source(One(), f"{url}renamed.zip", tmp_path / "a")) == FILES
        assert left_in(tmp_path / "a") == ["one.zip"]
        for number, source in enumerate((url, f"{url}Masks.zip")):
            names = open_source(Two(), source, tmp_path / f"b{number}").names
            assert names == ["Images/a.png", "Masks/a.png"]
        with pytest.raises(DataError, match="must end in '/'"):
            open_source(Two(), f"{url}renamed.zip", tmp_path / "c")


def test_what_a_killed_download_left_is_removed(tmp_path):
    write_zip(tmp_path / "web" / "one.zip", FILES)
    write_folder(tmp_path / "data" / ".one.zip.download", {"tmpabc": b"half"})
    with server(tmp_path / "web") as url:
        open_source(published(f"{url}one.zip", None), None, tmp_path / "data", download=True)
    assert left_in(tmp_path / "data") == ["one.zip"]


# Real archives


def test_the_real_archives_pass_every_check(shared_data):
    for file, count in (("kvasir-seg.zip", 2001), ("ISIC2018_Task1_Training_GroundTruth.zip", 2594)):
        source = ZipSource(shared_data / file)
        assert len(source.names) == count
        assert source.read(source.names[-1])
