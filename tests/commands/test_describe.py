"""`medseg describe`: what it prints of one network and of all, in every format, and what it refuses."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from medseg import models
from medseg.commands import describe
from medseg.config import yaml_files
from medseg.data.datasets.medsegbench import table
from medseg.errors import ConfigError, UserError
from medseg.inspecting.catalogue import catalogue
from medseg.measure.describe import build
from medseg.measure.show import count_claim
from medseg.models import facts
from tests.helpers import command, compose_config
from tests.models.builds import compose_model


def described(capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    describe.describe(compose_config("describe", *overrides))
    return capsys.readouterr().out


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_one_network_in_text(capsys: pytest.CaptureFixture[str]) -> None:
    lines = described(capsys, "model=convunext", "model.base_channels=4", "image_size=[64,96]").splitlines()
    assert lines[0] == (
        "ConvUNeXt model=convunext model.base_channels=4: 3 channels, 2 classes, images of 64 x 96 pixels "
        "(height x width)"
    )
    listed = {line[:19].strip(): line[19:] for line in lines[2:9]}
    assert listed["parameters"] == "65,594"
    assert listed["MACs"].startswith("0.0")
    assert "multiply-accumulates" in listed["MACs"]
    assert "MiB" in listed["activation memory"]
    assert listed["smallest image"] == "64 x 64 pixels"
    assert listed["receptive field"] == "432 x 432 pixels"
    assert listed["paper"].startswith("Han, Jian, Wang")
    assert listed["released code"] == "1914669687/ConvUNeXt"
    assert lines[10].split() == ["stage", "output", "parameters", "%", "MACs", "(G)", "%", "activations", "(MiB)"]
    assert lines[12].startswith("stem ")
    assert "4 x 64 x 96" in lines[12]
    assert lines[-1].startswith("total ")


def test_csv_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    rows = parsed(described(capsys, "model=amsunet", "model.base_channels=4", "image_size=64", "format=csv"))
    *stages, total = rows
    assert total["stage"] == "total"
    assert (total["min_size"], total["field_height"], total["field_width"]) == ("16", "all", "all")
    assert {row["inside"] for row in stages} == {"", *(f"decoder.{k}" for k in range(4))}
    for key in ("parameters", "macs", "activation_bytes"):
        assert sum(int(row[key]) for row in stages if not row["inside"]) == int(total[key])
    assert all(
        (row["height"], row["width"], row["in_channels"], row["num_classes"]) == ("64", "64", "3", "2") for row in rows
    )
    assert next(row["output"] for row in rows if row["stage"] == "encoder.0") == "8 x 32 x 32"


def test_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    text = described(capsys, "model=unet", "model.base_channels=2", "image_size=32", "format=markdown")
    assert "- receptive field: 236 x 236 pixels" in text
    text = " ".join(text.split())  # the columns are aligned
    assert "| stage | output | parameters | % | MACs (G) | % | activations (MiB) |" in text
    assert "| head | 2 x 32 x 32 | 6 |" in text


def test_channels_and_classes(capsys: pytest.CaptureFixture[str]) -> None:
    (*_, total) = parsed(
        described(
            capsys, "model=unet", "model.base_channels=32", "in_channels=1", "num_classes=5", "image_size=16",
            "format=csv",
        )
    )  # fmt: skip
    assert (total["field_height"], total["field_width"]) == ("236", "236")
    # papers.md: 4,318,434 with 3 channels and 2 classes.
    assert int(total["parameters"]) == 4_318_434 - 2 * 32 * 9 + 3 * 33


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=smp", "model.arch=segformer", "model.encoder_name=mit_b0"],
        ["model=custom", "+model._target_=tests.networks.OneConv"],
        ["model=ushape", "model.base_channels=4", "model.encoder=amse", "model.skip=convunext_gate"],
    ],
)
def test_networks_of_any_kind(capsys: pytest.CaptureFixture[str], overrides: list[str]) -> None:
    text = described(capsys, *overrides, "image_size=64")
    assert "total" in text
    assert "receptive field" in text


def test_what_cannot_be_measured_is_left_open(capsys: pytest.CaptureFixture[str]) -> None:
    text = described(capsys, "model=custom", "+model._target_=tests.networks.HalfSize", "image_size=64")
    assert "receptive field    -" in text
    assert "smallest image     -" in text


def test_pretrained_weights_are_not_downloaded_for_a_count() -> None:
    model = compose_model("smp model.encoder_weights=imagenet")
    assert build(model, 3, 2).min_size
    assert model.encoder_weights == "imagenet", "the caller's own is left as it is"


def test_claims_are_counted_as_they_are_put() -> None:
    assert count_claim("60 % of U-Net", 607, 1000) == "60.7 %"
    assert count_claim("20 % fewer than U-Net", 812, 1000) == "18.8 % fewer"
    assert count_claim("4.7 times fewer than UNeXt", 315_451, 1_471_921) == "4.7 times fewer"
    assert count_claim("4.7 times fewer than it", 315_451, None) == "unknown: the other network is not public"


@pytest.mark.slow
def test_all_networks_of_the_papers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen = ("U-Net", "ResUNet 32", "ConvUNeXt", "AMSUnet")
    networks = [
        replace(network, sizes=tuple(size for size in network.sizes if size.name in chosen))
        for network in facts.published_networks()
    ]
    monkeypatch.setattr("medseg.measure.describe.published_networks", lambda: networks)
    rows = {row["network"]: row for row in parsed(described(capsys, "all=true", "image_size=128", "format=csv"))}
    assert list(rows) == list(chosen), "by year"
    assert rows["AMSUnet"]["claimed"] == "60.6 % of U-Net; 74.6 % of ConvUNeXt; 47.3 % of ResUNet"
    assert rows["AMSUnet"]["counted"] == "60.7 %; 74.7 %; unknown: the other network is not public"
    assert (rows["ConvUNeXt"]["claimed"], rows["ConvUNeXt"]["counted"]) == ("20 % fewer than U-Net", "18.8 % fewer")
    assert (rows["ResUNet 32"]["num_classes"], rows["ResUNet 32"]["parameters"]) == ("1", "3265185")
    # A quarter of the MACs at 256 x 256.
    assert int(rows["AMSUnet"]["macs"]) / 1e9 == pytest.approx(6.001 / 4, rel=0.005)

    file = tmp_path / "new" / "sizes.md"
    assert f"written: {file}" in described(
        capsys, "all=true", "image_size=64", "num_classes=3", "format=markdown", f"output={file}"
    )
    text = " ".join(file.read_text().split())
    assert text.startswith("images of 64 x 64 pixels (height x width); MACs: multiply-accumulates")
    assert "| ResUNet 32 | resunet_32 | 3 | 3 |" in text
    assert "60.6 % of U-Net<br>74.6 % of ConvUNeXt<br>47.3 % of ResUNet" in text


def test_every_row_of_the_table_can_be_asked_for() -> None:
    for network in facts.published_networks():
        classes = {compose_model(size.model)["_target_"].rpartition(".")[2] for size in network.sizes}
        assert [facts.facts_of(getattr(models, name)) for name in classes] == [network]


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (
            ["image_size=[64]"],
            ConfigError,
            r"image_size is \[64\]; it must be a number of pixels, or \[h",
        ),
        (["image_size=0"], ConfigError, "image_size is 0; it must be a number of pixels"),
        (["image_size=32"], UserError, "ConvUNeXt needs images of at least 64 x 64 pixels, got 32 x 32"),
        (["in_channels=0"], ConfigError, "in_channels is 0; it must be null or a whole number from 1"),
        (["num_classes=two"], ConfigError, "num_classes is 'two'"),
        (["format=html"], ConfigError, "format is 'html'; it must be one of table, markdown, csv"),
        (["model=custom"], ConfigError, "model=custom needs your class"),
        (["model=unet", "model.skip=rsx"], ConfigError, "unknown skip module 'rsx'"),
        (["model=custom", "+model._target_=medseg.errors.UserError"], ConfigError, "model: "),
    ],
)
def test_what_is_refused(overrides: list[str], error: type[UserError], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        describe.describe(compose_config("describe", *overrides))
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    done = command("describe", "all", "image_size=8", "format=csv", cwd=tmp_path)
    assert done.returncode == 0
    assert "INFO measuring U-Net" in done.stderr
    # A network that takes no such images is left out, and named.
    assert "WARNING U-Net is left out: UNet needs images of at least 16 x 16 pixels" in done.stderr
    assert "\nSegNeXt-T,segnext_t," in done.stdout
    assert "\nU-Net,unet," not in done.stdout
    assert not list(tmp_path.iterdir())


# The table of the datasets.


def test_the_datasets_with_images_licence_and_where_they_are_published(capsys: pytest.CaptureFixture[str]) -> None:
    rows = parsed(described(capsys, "datasets=true", "format=csv"))
    choices = [row["choice"] for row in rows]
    options = [option for option in yaml_files.options("data") if option != "medsegbench"]
    assert choices == [*options, *(f"medsegbench data.dataset.name={name}" for name in table())]
    by_choice = {row["choice"]: row for row in rows}
    assert by_choice["drive"] == {
        "choice": "drive", "title": "DRIVE", "images": "20 + 20", "classes": "background, vessel",
        "native_size": "565 x 584", "licence": "research use (CC BY 4.0 according to MedSegBench)",
        "published": "https://drive.grand-challenge.org", "archives": "DRIVE.zip",
    }  # fmt: skip
    assert by_choice["medsegbench data.dataset.name=busi"]["images"] == "452 + 64 + 131"
    for choice, row in by_choice.items():
        if choice not in ("folder", "synthetic"):
            assert all(row[key] for key in ("title", "images", "classes", "archives")), choice


def test_the_pages_on_data_have_the_tables_of_the_datasets(capsys: pytest.CaptureFixture[str]) -> None:
    docs = Path(__file__).parents[2] / "docs"
    assert (
        (docs / "datasets.md")
        .read_text(encoding="utf-8")
        .endswith(described(capsys, "datasets=true", "format=markdown"))
    )
    page = (docs / "data.md").read_text(encoding="utf-8")
    for option in yaml_files.options("data"):
        assert f"| `{option}` |" in page


def test_the_first_line_of_an_option_counts_the_images_of_its_dataset() -> None:
    for option, description in yaml_files.options("data").items():
        images = next((entry.images for entry in catalogue() if entry.choice == option), None)
        if images and option != "isic":
            assert str(sum(map(int, images.split(" + ")))) in description, option


def test_the_datasets_are_listed_without_torch() -> None:
    code = "import sys, medseg.inspecting.catalogue as c; c.write_catalogue('table'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
