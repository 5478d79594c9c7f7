"""Sphinx extension: drop the scripts of live-code cells (thebe), which point to another host and which we do not use."""

from __future__ import annotations

from typing import Any


def _drop(app: Any, pagename: str, templatename: str, context: dict, doctree: Any) -> None:
    scripts = context.get("script_files", [])
    kept = [
        script
        for script in scripts
        if "thebe" not in str(getattr(script, "filename", "") or "")
        and "THEBE" not in str(getattr(script, "attributes", {}).get("body", ""))
    ]
    scripts[:] = kept


def setup(app: Any) -> dict[str, bool]:
    """Register; late, after the extensions that add their scripts."""
    app.connect("html-page-context", _drop, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
