"""Errors that a user can cause: one clear line that says what is wrong, where, and what to do."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right. The commands print its text as one line and end with `exit_code`."""

    exit_code = 1


class ConfigError(UserError):
    """A wrong option, group or key on the command line or in a configuration file."""

    exit_code = 2


class DataError(UserError):
    """Data that is missing, damaged or not what the dataset's published layout says."""
