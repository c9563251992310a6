"""What is known of a run before it begins."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict, read_write

from medseg.errors import UserError
from medseg.runs.plan import RunPlan, new_id, plan_run, settings_of, stored_id
from medseg.system.files import write_json
from tests.helpers import compose_config


def test_the_record_of_a_run_keeps_its_id(tmp_path: Path) -> None:
    plan = plan_run(
        compose_config("train", "model=unet", f"runs_dir={tmp_path}", "callbacks=[ema,early_stopping]"),
        HydraConfig.get(),
    )
    assert stored_id(plan.folder) is None
    plan.write_record()
    assert "id" not in json.loads(plan.folder.record.read_text())
    plan.write_record("ab")
    plan.write_record()
    record = json.loads(plan.folder.record.read_text())
    assert record == {"id": "ab", **plan.record}
    assert record["choices"]["callbacks"] == ["ema", "early_stopping"]
    assert record["defaults"] == {}
    plan.folder.record.write_text("{")
    assert stored_id(plan.folder) is None


@pytest.mark.parametrize("experiment", ["main", "main/second"])
def test_a_file_where_the_runs_are_to_be_is_named_with_the_option(
    experiment: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "main").touch()
    for runs_dir, file in ((tmp_path, "main"), (tmp_path / "main", "main")):
        cfg = compose_config("train", f"runs_dir={runs_dir}", f"experiment={experiment}")
        with pytest.raises(UserError, match=f"^{tmp_path / file}: a file, where a folder of runs .* runs_dir=DIR$"):
            plan_run(cfg, HydraConfig.get())
    assert not caplog.messages


def test_one_file_of_weights_has_one_name_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def planned(here: Path, given: str) -> RunPlan:
        monkeypatch.chdir(here)
        cfg = compose_config("train", "model=unet", f"runs_dir={tmp_path}", f"initial_weights={given}")
        with read_write(HydraConfig.get()), open_dict(HydraConfig.get().runtime):
            HydraConfig.get().runtime.cwd = str(here)
        return plan_run(cfg, HydraConfig.get())

    (tmp_path / "other").mkdir()
    names = {planned(tmp_path, given).folder.path.name for given in ("w.pth", "./w.pth", f"{tmp_path}/w.pth")}
    (name,) = {*names, planned(tmp_path / "other", "../w.pth").folder.path.name}
    assert planned(tmp_path / "other", "w.pth").folder.path.name != name
    # Older versions wrote a path as it was given, and a name made of that.
    plan = planned(tmp_path, "w.pth")
    older = tmp_path / "main" / name.replace(plan.facts["setting"][-8:], "0123abcd")
    older.mkdir(parents=True)
    write_json(older / "run.json", {**plan.record, "name": older.name})
    settings = {**settings_of(plan.cfg, None), "initial_weights": "w.pth"}
    (older / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    assert planned(tmp_path, "./w.pth").folder.path == older


def test_an_id() -> None:
    assert re.fullmatch("[0-9a-f]{32}", new_id())
    assert new_id() != new_id()
    assert re.fullmatch("01befda3879f[0-9a-f]{20}", new_id("01befda3879f"))
