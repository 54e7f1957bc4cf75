"""Add pages to the documentation's site: files of the top folder, and a reference made from the API's own tables."""

import re
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from mkdocs.structure.files import File, Files
from prometheus_client import CollectorRegistry

from dtc_twisted.web.access import AccessControl
from dtc_twisted.web.openapi.document import DescribedRoute, errors_by_status
from dtc_twisted.web.rest import DocumentRoutes, MonitoringRoutes, OrderRoutes, RestApi

ROOT = Path(__file__).parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security-policy.md",
    "benchmarks/RESULTS.md": "results.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Pages outside of docs/, and their names in the site."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for source, name in PAGES.items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, name, content=with_site_links(text, source)))
    files.append(File.generated(config, "reference/api.md", content=api_reference()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Write names of files outside of the site as text instead of links."""
    return re.sub(r"\[([^\]]+)\]\(\.\./examples/[^)]+\)", r"`\1`", markdown)


def with_site_links(text: str, source: str) -> str:
    """Change the links of a page outside of docs/ into those of the site."""

    def link(match: re.Match[str]) -> str:
        target, anchor = match[2], match[3] or ""
        if "://" in target or not target:
            return match[0]
        path = Path(Path(source).parent, target)
        parts: list[str] = []
        for part in path.parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        name = "/".join(parts)
        if name == "docs/decisions":
            return f"[{match[1]}](decisions/0001-packages.md)"
        if name.startswith("docs/"):
            return f"[{match[1]}]({name.removeprefix('docs/')}{anchor})"
        return f"[{match[1]}]({PAGES[name]}{anchor})" if name in PAGES else match[1]

    return re.sub(r"\[([^\]]+)\]\(([^)#\s]*)(#[^)\s]*)?\)", link, text)


def api_reference() -> str:
    """Return a page with all paths, from the descriptions that the gateway serves."""
    nothing: Any = MagicMock()  # no request is made
    rest = RestApi(nothing, {"/marketdata": nothing, "/marketdepth": nothing}, AccessControl())
    OrderRoutes(rest, nothing, nothing, nothing, nothing)
    MonitoringRoutes(rest, CollectorRegistry(), dict, nothing)
    DocumentRoutes(rest, is_root=True)
    lines = [
        "# All paths",
        "",
        "Made from the tables that serve the requests. `/openapi.json` of a gateway has the same with all schemas.",
    ]
    groups = dict.fromkeys(route.operation.group for route in rest.described_routes)
    for group in groups:
        lines += ["", f"## {group}"]
        for route in rest.described_routes:
            if route.operation.group == group:
                lines += described(route)
    return "\n".join(lines) + "\n"


def described(route: DescribedRoute) -> list[str]:
    """Return the lines about one operation."""
    operation = route.operation
    lines = ["", f"### {route.method} {route.template}", "", f"{operation.summary}. {operation.text}".strip()]
    if operation.parameters:
        lines += ["", "| parameter | | |", "|---|---|---|"]
        for each in operation.parameters:
            name = f"**`{each.name}`**" if each.required else f"`{each.name}`"
            example = "" if each.example is None else f"`{each.example}`"
            lines.append(f"| {name} | {each.text} | {example} |")
    if operation.body is not None:
        required = operation.body.get("required", ())
        names = [f"**`{name}`**" if name in required else f"`{name}`" for name in operation.body.get("properties", {})]
        lines += ["", f"Body: {', '.join(names)}."]
    errors = [
        f"{status} {', '.join(f'`{name}`' for name in names)}" for status, names in errors_by_status(route).items()
    ]
    return [*lines, "", f"Errors: {'; '.join(errors)}."]
