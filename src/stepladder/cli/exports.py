"""What `export` shows."""

from stepladder.export.folder import Export


def sentences(export: Export) -> str:
    """The files, and how far what was written answers as the record does."""
    found = export.card["answers"]
    judged = "validation" if export.card["data"]["holdout"] else "test"
    lines = [f"wrote {path} ({path.stat().st_size:,} bytes)" for path in export.paths]
    lines += [f"{value:,} {name.replace('_', ' ')}" for name, value in export.card["figures"].items()]
    lines += [export.card["measured"]] if "measured" in export.card else []
    several = [(export.card["step"], found), *((each["step"], each["answers"]) for each in export.card.get("beside", []))]
    for step, found in several:
        name = f"{step}: " if len(several) > 1 else ""
        lines.append(
            f"{name}{found['equal']:,} of {found['images']:,} {judged} images are answered as the record does: "
            f"{found['correct']:,} right, the record's {found['recorded_correct']:,} (run by {found['by']})"
        )
    return "\n".join(lines)
