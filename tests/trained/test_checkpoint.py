"""What a checkpoint from anywhere can make medseg do: nothing but build a network of its own."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medseg.errors import UserError
from medseg.trained.checkpoint import Checkpoint
from medseg.trained.files import DIGEST, KEY, digest, read_checkpoint, write_checkpoint
from tests.fuzzing.mutations import mutated
from tests.trained.predicting.checkpoints import UNET
from tests.trained.predicting.checkpoints import write_checkpoint as write_random

MUTATIONS = 300


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_random(tmp_path / "good.ckpt")


def content_of(file: Path) -> dict[str, Any]:
    content = torch.load(file, weights_only=True)
    assert isinstance(content, dict)
    return content


def changed(good: Path, tmp_path: Path, **model: Any) -> Path:
    content = content_of(good)
    content[KEY]["config"]["model"].update(model)
    torch.save(content, tmp_path / "changed.ckpt")
    return tmp_path / "changed.ckpt"


def test_a_checkpoint_builds_its_network(good: Path) -> None:
    checkpoint = Checkpoint.read(good)
    network = checkpoint.build()
    assert checkpoint.metadata.image_size == (32, 32)
    assert all(bool((network.state_dict()[name] == value).all()) for name, value in checkpoint.state.items())


def test_an_interpolation_is_refused_and_never_resolved(good: Path, tmp_path: Path) -> None:
    content = content_of(good)
    bad = tmp_path / "bad"
    content[KEY]["config"]["evil"] = {"_target_": "builtins.open", "file": str(bad), "mode": "w"}
    content[KEY]["config"]["model"]["x"] = "${evil}"
    torch.save(content, tmp_path / "evil.ckpt")
    for trust in (False, True):
        with pytest.raises(UserError, match=r"evil\.ckpt: its settings are damaged .*refers to another value"):
            Checkpoint.read(tmp_path / "evil.ckpt").build(trust=trust)
    assert not bad.exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"base_channels": "4"}, "UNet cannot be built: "),
        ({"base_channels": True}, "UNet cannot be built: "),
        ({"base_channels": 2**12}, "fewer weights than its settings"),
        ({"depth": 2**12}, "fewer weights|cannot be built"),
        ({"base_channels": 10**12}, "at most"),
        ({"base_channels": 8}, "the checkpoint of another network"),
        ({"norm": "x" * 5000}, "more than 1024 characters"),
        ({"width": 3}, "unexpected keyword argument 'width'"),
        ({"_partial_": True}, r"medseg\.models\.UNet is no network"),
        ({"_target_": "medseg.models.unet.nn.Module"}, "which is not a class of medseg"),
        ({"_target_": 3}, "_target_ names no class"),
    ],
)
def test_arguments_that_a_network_cannot_have(model: dict[str, Any], message: str, good: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        Checkpoint.read(changed(good, tmp_path, **model)).build()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0.5]}, "mean has 1 value for 3 channels"),
        ({"std": [0.5, 0.0, 0.5]}, "not above 0"),
        ({"std": [0.5, float("nan"), 0.5]}, "std.1: "),
        ({"data_identity": 3}, "data_identity: "),
        ({"precision": None}, "precision: "),
        ({"class_names": ["a", "a"]}, "class_names: 'a' is there twice"),
        ({"class_names": ["background", "\x1b[31m\r\nx"]}, "class_names: .* cannot be printed"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"bad\.ckpt: its settings are damaged .*{message}"):
        Checkpoint.read(write_random(tmp_path / "bad.ckpt", **change))


def test_each_class_has_a_name(good: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="class_names has 2 names for 7 classes"):
        Checkpoint.read(changed(good, tmp_path, num_classes=7))


def test_trust_is_true_or_false(good: Path, tmp_path: Path) -> None:
    file = changed(good, tmp_path, _target_="tests.networks.OneConv")
    with pytest.raises(UserError, match="trust is 'no'; it must be true or false"):
        Checkpoint.read(file).build(trust="no")  # type: ignore[arg-type]


def test_flipped_bytes_and_numbers_that_are_not_finite(good: Path, tmp_path: Path) -> None:
    stored = good.read_bytes()
    weight = max(content_of(good)["state_dict"].values(), key=Tensor.numel)
    start = stored.index(weight.numpy().tobytes())
    flipped = bytearray(stored)
    for offset in range(64):
        flipped[start + offset] ^= 0xFF
    (tmp_path / "flipped.ckpt").write_bytes(bytes(flipped))
    with pytest.raises(UserError, match=r"flipped\.ckpt: damaged"):
        Checkpoint.read(tmp_path / "flipped.ckpt")

    content = content_of(good)
    next(iter(content["state_dict"].values()))[:] = float("nan")
    write_checkpoint(content, tmp_path / "nan.ckpt")
    with pytest.raises(UserError, match=r"nan\.ckpt: .* not finite"):
        Checkpoint.read(tmp_path / "nan.ckpt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight: torch.full_like(weight, 1e300, dtype=torch.float64), "not finite"),
        (lambda weight: weight.to(torch.complex64), r"is of torch\.complex64"),
        (lambda weight: weight.to(torch.int8), r"is of torch\.int8"),
        (lambda weight: weight.to(torch.int64), r"is of torch\.int64 there, torch\.float32 here"),
        (lambda weight: weight.to_sparse(), "is not a dense tensor"),
        (lambda weight: weight.to("meta"), "is not a dense tensor"),
    ],
)
@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
def test_weights_that_no_network_has(
    change: Callable[[Tensor], Tensor], message: str, good: Path, tmp_path: Path
) -> None:
    content = content_of(good)
    del content[DIGEST]  # which would differ
    name = next(name for name, weight in content["state_dict"].items() if weight.ndim == 4)
    content["state_dict"][name] = change(content["state_dict"][name])
    torch.save(content, tmp_path / "bad.ckpt")
    with pytest.raises(UserError, match=rf"bad\.ckpt: .*{message}"):
        Checkpoint.read(tmp_path / "bad.ckpt").build()


def test_a_digest_depends_on_names_types_shapes_and_values() -> None:
    base = {"a": torch.zeros(2, 3), "b": [torch.ones(1)]}
    others: list[Any] = [
        {"c": torch.zeros(2, 3), "b": [torch.ones(1)]},
        {"a": torch.zeros(3, 2), "b": [torch.ones(1)]},
        {"a": torch.zeros(2, 3, dtype=torch.int32), "b": [torch.ones(1)]},
        {"a": torch.zeros(2, 3), "b": [torch.ones(1) * 2]},
    ]
    assert len({digest(each) for each in (base, *others)}) == 5
    assert digest({**base, "text": "x"}) == digest(base)
    assert digest(torch.arange(6).view(2, 3).t()) == digest(torch.arange(6).view(2, 3).t().contiguous())


def test_files_that_are_no_checkpoints(good: Path, tmp_path: Path) -> None:
    stored = good.read_bytes()
    endless: list[Any] = [0]
    for _ in range(64):
        endless = [endless, endless]
    torch.save({"state_dict": endless, KEY: {}}, tmp_path / "bomb.ckpt")
    torch.save({"state_dict": {"network.a": torch.zeros(1).expand(2**40)}, KEY: {}}, tmp_path / "expanded.ckpt")
    (tmp_path / "half.ckpt").write_bytes(stored[: len(stored) // 2])
    (tmp_path / "empty.ckpt").touch()
    (tmp_path / "loop.ckpt").symlink_to("loop.ckpt")
    (tmp_path / "text.ckpt").write_text('{"name": "a run"}', encoding="utf-8")
    torch.save({"state_dict": 3, KEY: {}}, tmp_path / "number.ckpt")
    names = ("bomb", "expanded", "half", "empty", "loop", "text", "number", "none")
    for file in [tmp_path / f"{name}.ckpt" for name in names] + [tmp_path, Path("/dev/zero")]:
        with pytest.raises(UserError, match=str(file)) as caught:
            read_checkpoint(file)
        assert "weights_only" not in str(caught.value), "no advice to run what is in it"


def test_a_failing_disk_leaves_the_checkpoint_before(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = good.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"cannot be written .*No space left on device"):
        write_checkpoint(content_of(good), good)
    assert good.read_bytes() == before
    assert list(good.parent.iterdir()) == [good]


class Interrupted(io.FileIO):
    """A file that is interrupted by Ctrl-C while it is written."""

    def write(self, content: Any) -> int:
        if self.tell():
            signal.raise_signal(signal.SIGINT)
        return super().write(content)


def test_an_interruption_of_the_writing_is_no_full_disk(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, content = good.read_bytes(), content_of(good)
    monkeypatch.setattr(Path, "open", lambda path, mode: Interrupted(path, mode))
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(content, good)
    monkeypatch.undo()
    assert good.read_bytes() == before
    assert list(good.parent.iterdir()) == [good]


FUZZ = """
import sys
from pathlib import Path
import torch
from medseg.errors import UserError
from medseg.trained.checkpoint import Checkpoint

files = sorted(Path(sys.argv[1]).glob("*.ckpt"))
good = Checkpoint.read(files[0])
good.build(), good.dataset()  # import what building them imports
seen = []
loaded = set(sys.modules)

def watch(event, args):
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"):
        seen.append((event, str(args)))
    if event == "open" and not str(args[0]).endswith((".ckpt", ".py", ".pyc")) and args[1] not in (None, "r", "rb"):
        seen.append((event, str(args)))

sys.addaudithook(watch)
counts = {"built": 0, "refused": 0}
for file in files:
    try:
        checkpoint = Checkpoint.read(file)
        checkpoint.dataset()
        checkpoint.build()
        counts["built"] += 1
    except UserError as error:
        assert "\\n" not in str(error), error
        counts["refused"] += 1
assert not seen, seen[:3]
foreign = {name.partition(".")[0] for name in set(sys.modules) - loaded} - {"torch", "medseg", "numpy", "cv2"}
assert not foreign, foreign
print(counts)
"""


def test_no_mutation_of_the_settings_opens_starts_or_imports_anything(good: Path, tmp_path: Path) -> None:
    content = content_of(good)
    content[KEY]["config"]["data"]["dataset"] = {"_target_": "medseg.data.datasets.Synthetic", "count": 10}
    folder = tmp_path / "fuzz"
    folder.mkdir()
    bad = tmp_path / "bad"
    write_checkpoint(content, folder / "000.ckpt")
    random_state = random.Random(0)
    for number in range(1, MUTATIONS):
        write_checkpoint(mutated(content, random_state, str(bad)), folder / f"{number:03}.ckpt")
    done = subprocess.run([sys.executable, "-c", FUZZ, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not bad.exists()
    counts = json.loads(done.stdout.replace("'", '"'))
    assert counts["built"] + counts["refused"] == MUTATIONS
    assert counts["refused"] > MUTATIONS / 3, "the mutations do something"
    assert UNET["_target_"] == content[KEY]["config"]["model"]["_target_"]
