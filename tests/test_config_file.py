"""Test options from a TOML file."""

from pathlib import Path

from tests.test_tap import CommandLineCase


class ConfigFileTests(CommandLineCase):
    def config(self, text: str) -> str:
        path: str = self.mktemp()
        Path(path).write_text(text, "utf-8")
        return path

    def test_every_kind(self) -> None:
        path = self.config(
            'host = "box"\nport = 1\ntimeout = 2.5\nlive = true\ntls = false\nsymbol = ["A", "B"]\nlisten = "tcp:1"\n'
        )
        options = self.parse("--config", path)
        names = ("host", "port", "timeout", "live", "tls", "symbols", "endpoints")
        self.assertEqual([options[name] for name in names], ["box", 1, 2.5, 1, 0, ["A", "B"], ["tcp:1"]])

    def test_command_line_has_precedence(self) -> None:
        path = self.config('host = "box"\nport = 1\nsymbol = "A"\n')
        for given in (["--config", path], [f"--config={path}"]):
            options = self.parse(*given, "-p", "2", "--symbol", "B")
            self.assertEqual((options["port"], options["symbols"]), (2, ["A", "B"]))

    def test_value_that_begins_with_a_dash(self) -> None:
        self.assertEqual(
            self.parse("--config", self.config('host = "box"\nusername = "--live"\n'))["username"], "--live"
        )

    def test_wrong(self) -> None:
        for text, words in (
            ("colour = 1", "colour: there is no option of this name"),
            ("config = 'x'", "config: there is no option of this name"),
            ("live = 'yes'", "live: expected true or false"),
            ("host = true", "host: expected text or a number"),
            ("host = ['a']", "host: expected text or a number"),
            ("symbol = [[1]]", "symbol: expected text or a number"),
            ("host", "not TOML: "),
            ("host = 'box'\nport = 'x'", "--port: expected a whole number"),
        ):
            self.assertIn(words, self.refusal("--config", self.config(text)))
        self.assertIn("No such file", self.refusal("--config", "/does/not/exist"))
