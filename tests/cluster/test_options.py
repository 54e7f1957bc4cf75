"""Test the options of NATS."""

import os
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted import tap, tap_edge
from dtc_twisted.cluster_options import nats_arguments, require_nats
from dtc_twisted.errors import StartupError
from tests.certificates import Authority

FILES = ("credentials", "ca", "cert", "key")
URL = ("--nats", "nats://127.0.0.1:4222")


class NatsOptionsTests(SynchronousTestCase):
    def parse(self, *arguments: str) -> tap_edge.Options:
        options = tap_edge.Options()
        options.parseOptions(list(arguments))
        return options

    def refusal(self, *arguments: str, options: type[Any] = tap_edge.Options) -> str:
        with self.assertRaises(StartupError) as caught:
            options().parseOptions(list(arguments))
        return str(caught.exception.code)

    def test_wrong(self) -> None:
        for arguments, text in (
            ((), "--nats is missing"),
            (("--nats", "127.0.0.1:4222"), "--nats: expected URLs such as nats://HOST:4222"),
            (("--nats", "nats://a:x"), "--nats: expected URLs"),
            ((*URL, "--nats-prefix", "a b"), "--nats-prefix: expected letters and digits"),
            ((*URL, "--nats-cert", "x"), "--nats-cert and --nats-key go together"),
            ((*URL, "--nats-user", "x", "--nats-credentials", "y"), "exclude each other"),
            *(((*URL, f"--nats-{name}", ""), f"--nats-{name}: empty; expected the name of a file") for name in FILES),
        ):
            self.assertIn(text, self.refusal(*arguments))
        alone = self.refusal("--demo", "--nats-user", "x", options=tap.Options)
        self.assertIn("--nats-user goes with --nats only", alone)
        self.assertIn("--nats: expected URLs", self.refusal("--demo", "--nats", "", options=tap.Options))
        self.assertIn("--advertise", self.refusal("--demo", *URL, "--advertise", "box", options=tap.Options))

    def test_who_connects(self) -> None:
        self.patch(os, "environ", {"NATS_PASSWORD": "secret", "NATS_TOKEN": "token"})
        self.assertEqual(nats_arguments(self.parse(*URL)), {"token": "token"})
        self.assertEqual(nats_arguments(self.parse(*URL, "--nats-user", "me")), {"user": "me", "password": "secret"})
        with self.assertRaises(StartupError):
            nats_arguments(self.parse(*URL, "--nats-credentials", "/nowhere"))

    def test_certificates(self) -> None:
        authority = Authority(self.mktemp())
        arguments = nats_arguments(self.parse(*URL, "--nats-ca", str(authority.path)))
        self.assertEqual([*arguments], ["tls"])

    def test_what_is_missing(self) -> None:
        options = self.parse(*URL)
        with self.assertRaises(StartupError) as caught:
            require_nats(options, object())
        self.assertIn("twistd --reactor asyncio dtc-edge", str(caught.exception.code))
        before = sys.modules.get("nats")
        if before is not None:
            self.addCleanup(sys.modules.__setitem__, "nats", before)
        sys.modules["nats"] = None  # type: ignore[assignment]
        with self.assertRaises(StartupError) as caught:
            require_nats(options, object())
        self.assertIn("pip install 'dtc-twisted[cluster]'", str(caught.exception.code))
