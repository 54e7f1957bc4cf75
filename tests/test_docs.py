"""Test that links of the documentation lead somewhere, each page is in the site, and named benchmarks exist."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Return the links of a page whose file or heading does not exist. Links to other sites are not followed."""
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


class NavigationTests(SynchronousTestCase):
    def test_every_page_is_in_the_navigation(self) -> None:
        listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8")))
        pages = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
        hooks = (ROOT / "mkdocs_hooks.py").read_text("utf-8")
        generated = set(re.findall(r'^    "[\w/]+\.md": "([\w-]+\.md)",$', hooks, re.M)) | {"reference/api.md"}
        self.assertEqual(listed, pages | generated)


class LinkTests(SynchronousTestCase):
    def test_links_lead_somewhere(self) -> None:
        broken = {str(page.relative_to(ROOT)): links for page in PAGES if (links := broken_links(page))}
        self.assertEqual(broken, {})

    def test_broken_links_are_found(self) -> None:
        page = Path(self.mktemp())
        page.write_text("# A `b` (c)\n[1](#a-b-c) [2](#d) [3](gone.md) [4](http://localhost/gone)\n```\n[5](x)\n```\n")
        self.assertEqual(broken_links(page), ["#d", "gone.md"])


class BenchmarkTests(SynchronousTestCase):
    def test_names_are_those_of_the_command(self) -> None:
        table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", (ROOT / "benchmarks/README.md").read_text("utf-8"), re.M)
        named = {name for cell in table for name in re.findall(r"\w+", cell)}
        for page in PAGES:
            for given in re.findall(r"python -m benchmarks((?: \w+)+)", page.read_text("utf-8")):
                named |= {name for name in given.split() if not name.isdigit()}
        source = (ROOT / "benchmarks/__main__.py").read_text("utf-8")
        self.assertEqual(named, set(re.findall(r'^    "(\w+)": ', source, re.M)))
