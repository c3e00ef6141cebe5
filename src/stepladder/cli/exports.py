"""What `export` shows."""

from stepladder.export.folder import Export


def sentences(export: Export) -> str:
    """The files, and how far what was written answers as the record does."""
    found = export.card["answers"]
    judged = "validation" if export.card["data"]["holdout"] else "test"
    lines = [f"wrote {path} ({path.stat().st_size:,} bytes)" for path in export.paths]
    lines += [f"{value:,} {name.replace('_', ' ')}" for name, value in export.card["figures"].items()]
    lines.append(
        f"{found['equal']:,} of {found['images']:,} {judged} images are answered as the record does: {found['correct']:,} right, "
        f"the record's {found['recorded_correct']:,} (run by {found['by']})"
    )
    return "\n".join(lines)
