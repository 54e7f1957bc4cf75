"""Make an authority, and certificates that it signs."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_AUTHORITY: dict[x509.ExtensionType, bool] = {
    x509.BasicConstraints(ca=True, path_length=None): True,
    x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    ): True,
}
"""What the certificate of an authority states, and whether it is critical."""


class Authority:
    """An authority of its own, whose certificate is the PEM file `path`.

    The certificates have all extensions that Python 3.13 and later ask for (VERIFY_X509_STRICT).
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of the tests")])
        certificate = self._sign(self._name, self._key, _AUTHORITY)
        Path(path).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def write(self, cert: str, key: str, *names: str) -> int:
        """Write a certificate for DNS names, and its key. Return its serial number."""
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        certificate = self._sign(subject, private, {alternatives: False})
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        Path(cert).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        Path(key).write_bytes(private.private_bytes(*form))
        return certificate.serial_number

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: dict[x509.ExtensionType, bool]
    ) -> x509.Certificate:
        """Sign a certificate. extensions: whether each is critical."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for extension, is_critical in extensions.items():
            builder = builder.add_extension(extension, critical=is_critical)
        return builder.sign(self._key, hashes.SHA256())
