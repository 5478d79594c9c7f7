"""Sphinx extension: drop the scripts of live code cells (thebe): they name another host, and no page uses them."""

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
