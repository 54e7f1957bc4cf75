"""Test how the files of the dashboard are served."""

import re
from pathlib import Path

from dtc_twisted.web.rest.dashboard_routes import FOLDER
from tests.support import Answer, Caller, GatewayTestCase, slow


class DashboardCase(GatewayTestCase):
    def get(self, path: str, headers: str = "") -> Answer:
        """Return the answer to a whole path, over a connection of its own."""
        caller = self.call(Caller())
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        caller.transport.write(request.encode())
        self.flush()
        self.assertTrue(caller.lost, f"{path} was not answered")
        return Answer(caller.received)


class DashboardRoutesTests(DashboardCase):
    def test_page(self) -> None:
        page = self.get("/")
        self.assertEqual((page.status, page.headers["content-type"]), (200, "text/html; charset=utf-8"))
        policy = page.headers["content-security-policy"]
        self.assertIn("script-src 'self';", policy)
        self.assertNotIn("unsafe", policy)

    def test_no_inline_code(self) -> None:
        """The page and its modules have no script, style or handler in HTML, and nothing from other hosts."""
        for path in FOLDER.iterdir():
            text = path.read_text("utf-8")
            hosts = {*re.findall(r"https?://[^/\"'\s]+", text)} - {"http://www.w3.org"}
            self.assertEqual(hosts, set(), path.name)
            self.assertIsNone(
                re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), path.name
            )
        page = (FOLDER / "index.html").read_text("utf-8")
        self.assertIsNone(re.search(r"<style|\sstyle=|\son[a-z]+=|<script[^>]*>[^<]", page))

    @slow
    def test_files(self) -> None:
        """Every file that a page or module names is served, without a token."""
        for path in FOLDER.iterdir():
            names = re.findall(r'"(?:/dashboard/|\./)([a-z_]+\.(?:js|css|svg))"', path.read_text("utf-8"))
            for name in names:
                self.assertEqual(self.get(f"/dashboard/{name}").status, 200, name)
        self.assertEqual(self.get("/dashboard/../gateway.py").status, 404)

    def test_unchanged_file(self) -> None:
        """A browser that has the file is answered without it."""
        tag = self.get("/dashboard/main.js").headers["etag"]
        again = self.get("/dashboard/main.js", f"If-None-Match: {tag}\r\n")
        self.assertEqual((again.status, again.body), (304, b""))

    def test_caller(self) -> None:
        self.assertEqual(self.get("/api/v1/caller").json, {"name": "local", "may_trade": False})


class TokenTests(DashboardCase):
    def setUp(self) -> None:
        self.tokens = self.mktemp()
        path = Path(self.tokens)
        path.write_text("reader read reader-0123456789\ntrader trade trader-0123456789\n")
        path.chmod(0o600)
        self.options = (*self.options, "--token-file", self.tokens, "--allow-trading", "--journal", self.mktemp())
        super().setUp()

    def test_caller(self) -> None:
        for name, may_trade in (("reader", False), ("trader", True)):
            answer = self.get("/api/v1/caller", f"Authorization: Bearer {name}-0123456789\r\n")
            self.assertEqual(answer.json, {"name": name, "may_trade": may_trade})
        self.assertEqual(self.get("/api/v1/caller").status, 401)

    def test_files_need_no_token(self) -> None:
        for path in ("/", "/dashboard/main.js"):
            self.assertEqual(self.get(path).status, 200)


class NoDashboardTests(DashboardCase):
    options = (*DashboardCase.options, "--no-dashboard")

    def test_redirect(self) -> None:
        self.assertEqual(self.get("/").headers["location"], "/docs")
        self.assertEqual(self.get("/dashboard/main.js").status, 404)
