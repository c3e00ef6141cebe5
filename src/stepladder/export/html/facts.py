"""What a page says of a network, from its model card."""

from collections.abc import Mapping
from typing import Any


def facts(card: Mapping[str, Any]) -> dict[str, str]:
    """The model card, as names and texts."""
    seeds, found, budget = card["seeds"], card["data"], card["budget"]
    judged = "validation" if found["holdout"] else "test"
    fold = f", fold {found['fold']}" if "fold" in found else ""
    spread = "" if seeds["sd"] is None else f", standard deviation {100 * seeds['sd']:.3f} points"
    levels = zip(card["normalisation"]["mean"], card["normalisation"]["std"], strict=True)
    said = {
        "Network": f"step {card['step']} of ladder {card['ladder']}, {card['parameters']:,} parameters",
        "Accuracy": f"{card['test_accuracy']:.2%} of {found['test']:,} {judged} images (seed {card['seed']}{fold})",
        "Over its seeds": f"n = {seeds['n']}, mean {seeds['mean']:.3%}{spread}",
        "Trained on": f"{found['kind']}, {found['train']:,} images, {card['epochs']} epochs",
        "Normalised by": "; ".join(f"mean {mean:.4f}, deviation {std:.4f}" for mean, std in levels),
        "Made": f"{card['date'] or 'at a time that is not known'}, engine {card['engine']}",
        "Licence": f"{card['licence']}, © 2026 the Stepladder authors",
    }
    if budget:
        said["Budget"] = f"{budget['parameters']:,} parameters, {budget['epochs']} epochs, {budget['accuracy']:.2%}"
    return said
