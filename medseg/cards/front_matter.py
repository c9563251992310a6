"""The YAML at the top of a card, as model hubs read it: Hugging Face's model card metadata, `model-index` included.

https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

from typing import Any

import yaml

from medseg.cards.collect import Subject
from medseg.metrics.measures import MEASURES


def front_matter(subject: Subject, licence: str | None) -> str:
    """Write the metadata between two lines of dashes; `licence`: of the weights, as their owner chose it."""
    content: dict[str, Any] = {"library_name": "medseg", "pipeline_tag": "image-segmentation"}
    if licence:
        content["license"] = licence
    data = subject.data
    content["tags"] = ["medical-imaging", "image-segmentation", "semantic-segmentation", "pytorch"]
    content["tags"] += [subject.runs[0].model, *([data.name] if data.name != "folder" else [])]
    content["metrics"] = [name for name in ("dice", "iou", "hd95") if name in subject.cell.scores]
    content["model-index"] = [
        {
            "name": subject.best.name,
            "results": [
                {
                    "task": {"type": "image-segmentation", "name": "Medical image segmentation"},
                    "dataset": {"type": data.name, "name": data.title, "split": "test"},
                    "metrics": [
                        {
                            "type": name,
                            "name": MEASURES[name].title,
                            "value": round(subject.cell.scores[name].mean, 4),
                            "verified": False,
                        }
                        for name in MEASURES
                        if name in subject.cell.scores
                    ],
                }
            ],
        }
    ]
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---\n"
