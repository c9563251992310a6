"""Loggers as users write them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from lightning.fabric.loggers import Logger as FabricLogger
from lightning.pytorch.loggers import Logger


class Database(Logger):
    """Log to SQLite, whose connection can be used by the thread alone that has opened it."""

    def __init__(self, save_dir: str, name: str, version: str, table: str = "metrics") -> None:
        super().__init__()
        self._name, self._version, self.table = name, version, table
        Path(save_dir).mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(Path(save_dir) / "log.db")
        self.connection.execute(f"create table if not exists {table} (run, version, key, value, step)")

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str:
        return self._version

    def add(self, key: str, value: Any, step: int | None = None) -> None:
        row = (self._name, self._version, key, value, step)
        self.connection.execute(f"insert into {self.table} values (?, ?, ?, ?, ?)", row)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        for key, value in metrics.items():
            self.add(key, float(value), step)

    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        self.add("base_channels", params["model"]["base_channels"])
        self.add("setting", params["run"]["setting"])

    def finalize(self, status: str) -> None:
        self.add("status", status)
        self.connection.commit()
        self.connection.close()


class Unreachable(Logger):
    """A logger whose server is gone."""

    name, version = "unreachable", ""

    def __init__(self) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError

    log_hyperparams = log_metrics


class FromFabric(FabricLogger):
    """A logger of Lightning Fabric, as Lightning's LitLogger is one."""

    name, version = "fabric", ""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.kept += metrics

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        self.kept += params


class NoLogger:
    """A class that is none."""
