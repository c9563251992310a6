"""The forms for issues and pull requests: valid, and they ask for what is needed to repeat a problem."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from medseg.runs.environment import describe_environment
from tests.distribution.conftest import PROJECT

FOLDER = PROJECT / ".github" / "ISSUE_TEMPLATE"
FORMS = sorted(file for file in FOLDER.glob("*.yml") if file.stem != "config")
KINDS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def test_there_are_forms() -> None:
    assert {file.stem for file in FORMS} == {"bug", "wrong_number", "request"}
    assert set(read(FOLDER / "config.yml")) <= {"blank_issues_enabled", "contact_links"}


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_a_form_is_valid(file: Path) -> None:
    """The rules of GitHub's form schema: name, description and body; each field has a label and an id of its own."""
    form = read(file)
    assert set(form) <= {"name", "description", "title", "labels", "assignees", "body"}
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert fields
    assert (
        len({field["id"] for field in fields}) == len({field["attributes"]["label"] for field in fields}) == len(fields)
    )
    for field in form["body"]:
        assert field["type"] in KINDS
        assert set(field) <= {"type", "id", "attributes", "validations"}
        assert all(isinstance(value, str) for key, value in field["attributes"].items() if key != "options")
        assert set(field.get("validations", {"required": True})) == {"required"}
        if field["type"] in ("dropdown", "checkboxes"):
            assert field["attributes"]["options"]
        assert re.fullmatch("[A-Za-z0-9_-]+", field["id"])


@pytest.mark.parametrize("stem", ["bug", "wrong_number"])
def test_a_problem_can_be_repeated(stem: str) -> None:
    fields = {field["id"]: field for field in read(FOLDER / f"{stem}.yml")["body"]}
    assert fields["environment"]["attributes"]["label"] == "environment.json"
    assert {"command", "packages"} <= set(describe_environment())
    required = [name for name, field in fields.items() if field.get("validations", {}).get("required")]
    assert {"output", "environment"} <= set(required)
    assert any("command" in field["attributes"]["label"].lower() for field in fields.values())


def test_the_pull_request_names_targets_of_make() -> None:
    text = (PROJECT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text(encoding="utf-8")
    assert "environment.json" in text
    targets = re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    (named,) = re.findall(r"`make ([a-z ]+)`", text)
    assert set(named.split()) <= set(targets)
