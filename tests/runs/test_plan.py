"""What is known of a run before it begins."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from medseg.errors import UserError
from medseg.runs.plan import new_id, plan_run, stored_id
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


def test_an_id() -> None:
    assert re.fullmatch("[0-9a-f]{32}", new_id())
    assert new_id() != new_id()
    assert re.fullmatch("01befda3879f[0-9a-f]{20}", new_id("01befda3879f"))
