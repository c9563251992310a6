"""Random changes of the settings of a checkpoint."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

VALUES: list[Any] = [
    None, True, -1, 0, 3, 1e308, float("nan"), "", "x", "${evil}", "${oc.env:HOME}", "???", [], [1, [2]], {}, "../../x",
    {"_target_": "builtins.open", "file": "FILE", "mode": "w"}, {"_target_": "os.system", "command": "touch FILE"},
    [{"_target_": "pathlib.Path.touch", "self": "FILE"}], {"_target_": "medseg.models.UNet"},
    {"_target_": "subprocess.run", "args": ["touch", "FILE"]}, {"_args_": ["FILE"]},
]  # fmt: skip
"""What a value is replaced by; FILE is a file that must not appear."""


def mutated(content: dict[str, Any], random_state: random.Random, file: str) -> dict[str, Any]:
    """Replace, add or remove a few values somewhere in the settings of a checkpoint."""
    content = copy.deepcopy(content)
    for _ in range(random_state.randint(1, 3)):
        nodes: list[Any] = [content["medseg"]]
        inside: list[Any] = [content["medseg"]]
        while inside:
            each = inside.pop()
            children = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
            fresh = [child for child in children if isinstance(child, dict | list) and child]
            nodes += fresh
            inside += fresh
        node = random_state.choice(nodes)
        value = json.loads(json.dumps(random_state.choice(VALUES)).replace("FILE", file))
        if isinstance(node, list):
            node[random_state.randrange(len(node))] = value
        elif random_state.random() < 0.2:
            node.pop(random_state.choice(list(node)))
        elif random_state.random() < 0.4:
            node[random_state.choice(["_target_", "evil", "x", "encoder_weights", "_partial_", "_args_"])] = value
        else:
            node[random_state.choice(list(node))] = value
    return content
