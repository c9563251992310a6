"""Small files: read with one clear line for what is wrong, written whole."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from medseg.errors import UserError
from medseg.system.files import read_csv, read_json, read_yaml, replacing, replacing_text, write_csv, write_json
from medseg.system.process import is_gone, machine


def test_tables_are_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "table.csv"
    write_csv(file, [{"a": 1, "b": "x"}, {"a": 2, "b": ""}])
    assert read_csv(file) == [{"a": "1", "b": "x"}, {"a": "2", "b": ""}]
    with pytest.raises(ValueError, match="c"):
        write_csv(file, [{"a": 3}, {"c": 4}])
    assert len(read_csv(file)) == 2, "a failed write leaves the old table"
    write_json(tmp_path / "deep" / "x.json", {"a": 1})
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"table.csv", "x.json"}


def test_a_missing_file_is_empty_where_that_is_asked_for(tmp_path: Path) -> None:
    for read in (read_json, read_yaml):
        assert read(tmp_path / "a.json", optional=True) == {}
        with pytest.raises(UserError, match=r"a\.json: missing"):
            read(tmp_path / "a.json")
    assert read_csv(tmp_path / "a.csv") == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"a": 1', "Expecting"),
        (b"[1]", "list instead of keys with values"),
        (b"3", "int instead of keys"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
    ],
)
def test_damaged_json_is_one_line(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_json(file, optional=True)
    assert str(caught.value).startswith(f"{file}: damaged (")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"a: [1", "while parsing"),
        (b"- 1", "list instead of keys"),
        (b"a: \xff", "can't decode byte"),
        (b"a: !!python/object:os.system x", "could not determine a constructor"),
        (b"? [a]\n: 1", "unhashable"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"- " * 5000 + b"x", "nested too deeply"),
        ("\n".join(f"{' ' * level}a:" for level in range(1000)).encode(), "nested too deeply"),
        (b"a: &a [*a]", "more than 1,000,000 values"),
        (b"a: {b: 1, c: 2, b: 3}", "'b' is there twice"),
        (b"a: 1\nb: 2\na: 3\n", "'a' is there twice"),
        (
            b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(8)),
            "more than 1,000,000 values",
        ),
        (b"a: " + b"x" * 5_000_000, "bytes; 4,194,304 are allowed"),
    ],
)
def test_damaged_yaml_is_one_line(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_yaml(file)
    assert str(caught.value).startswith(f"{file}: damaged (")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ordinary_nesting_is_read(tmp_path: Path) -> None:
    text = "a:\n" + "".join(f"  - {{b: [{number}, -1], 'c?': x-y}}\n" for number in range(500))
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml(tmp_path / "a.yaml")["a"][499] == {"b": [499, -1], "c?": "x-y"}


@pytest.mark.parametrize("content", [b"a,b\n1,2\n3\n", b"a,b\n1,2,3\n", b"a,b\n\xff,1\n", b"a,b\n" + b"x" * 200_000])
def test_a_damaged_table_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.csv: damaged \("):
        read_csv(file)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    for read in (read_json, read_yaml, read_csv):
        with pytest.raises(UserError, match="cannot be read"):
            read(tmp_path)


def test_what_ends_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(TypeError), replacing_text(file) as stream:
        stream.writelines(["half", 3])  # type: ignore[list-item]
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, synced = tmp_path / "status.json", []
    write_json(file, {"a": 1})

    def full(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(file, {"a": 2})
    assert [path.suffix for path in synced] == [".partial"]
    assert read_json(file) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_killed_process_has_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    elsewhere = "00000000" if machine() != "00000000" else "00000001"
    left, old = (tmp_path / f".a.json.{mark}.partial" for mark in (f"{machine()}-{dead.pid}", dead.pid))
    others = [
        tmp_path / f".a.json.{mark}.partial"
        for mark in (
            f"{machine()}-{os.getppid()}",
            f"{elsewhere}-{dead.pid}",  # on a shared file system, the number is that of a process of another machine
            f"{machine()}-{dead.pid}-1",
            os.getppid(),
        )
    ]
    recent = tmp_path / f".b.json.{dead.pid}.partial"
    for file in (left, old, recent, *others):
        file.touch()
    os.utime(old, (0, 0))
    os.utime(others[-1], (0, 0))
    write_json(tmp_path / "b.json", {})
    assert {path.name for path in tmp_path.iterdir()} == {"b.json", recent.name, *(file.name for file in others)}


def test_a_half_written_file_names_its_machine_and_process(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        assert partial.name == f".a.txt.{machine()}-{os.getpid()}.partial"
        assert not is_gone(partial.stem.rpartition(".")[2])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("x" * 251 + ".txt", id="letters"),
        pytest.param("字" * 83 + ".txt", id="characters of three bytes"),
        pytest.param("a" + "字" * 83 + ".txt", id="cut elsewhere"),
        pytest.param("\udcff" * 255, id="no text"),
    ],
)
def test_a_file_of_the_longest_name_is_written(name: str, tmp_path: Path) -> None:
    with replacing(tmp_path / name) as partial, replacing(tmp_path / f"{name[:-1]}2") as other:
        for each in (partial, other):
            each.write_text(each.name)
            assert len(os.fsencode(each.name)) <= 255
            each.name.encode()  # no half character
            assert each.name.endswith(f".{machine()}-{os.getpid()}.partial")
        assert partial != other, "names that start alike are written at the same time"
        assert partial.read_text() == partial.name
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name[:-1]}2"}


def test_names_that_csv_would_break_are_read_as_they_were(tmp_path: Path) -> None:
    rows = [{"id": text, "score": "0.5"} for text in ("a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", " ", "plain")]
    write_csv(tmp_path / "names.csv", rows)
    assert read_csv(tmp_path / "names.csv") == rows
    assert (tmp_path / "names.csv").read_text().endswith("plain,0.5\n")
