"""What the role computes on the control node: password hashes, definitions, the check of certificates."""

import base64
import hashlib
import ipaddress
import json
import re
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Set, Tuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

HASHING = "rabbit_password_hashing_sha256"
SALT_BYTES = 4
# Inside double quotes systemd takes a backslash before these for an escape (systemd.exec(5), EnvironmentFile=).
ENV_ESCAPED = re.compile(r'(["\\`$])')


def password_hash(password: str, user: str) -> str:
    """Give RabbitMQ's salted SHA-256 of a password.

    The salt is derived from user and password, as a random one would change the file at every run.
    """
    salt = hashlib.sha256(b"reasond\0" + user.encode() + b"\0" + password.encode()).digest()[:SALT_BYTES]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def definitions(users: List[Dict[str, str]], vhost: str) -> Dict[str, Any]:
    """Give RabbitMQ's definitions for users (name, password, tags, rights) in a virtual host."""
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {
                "name": user["name"],
                "password_hash": password_hash(user["password"], user["name"]),
                "hashing_algorithm": HASHING,
                # Text, not a list: RabbitMQ 3.8 knows nothing else.
                "tags": user["tags"],
            }
            for user in users
        ],
        "permissions": [
            {"user": user["name"], "vhost": vhost, **dict.fromkeys(("configure", "write", "read"), user["rights"])}
            for user in users
        ],
    }


def are_definitions(text: str) -> bool:
    """Tell whether a file's text is what export_definitions writes; its hashes never get into a message."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and all(isinstance(found.get(key), list) for key in ("users", "vhosts"))


def lacking(wanted: Dict[str, Any], standing: Dict[str, Any]) -> List[str]:
    """Name what of the wanted definitions stands otherwise or not at all; never shows a hash."""
    return [
        "{} {}".format(label, name)
        for label, key, shape in _KINDS
        for name, fact in _facts(wanted, key, shape)
        if (name, fact) not in set(_facts(standing, key, shape))
    ]


def _facts(found: Dict[str, Any], key: str, shape: Callable[[Dict[str, Any]], Any]) -> Set[Tuple[str, Any]]:
    return {shape(item) for item in found.get(key, [])}


def _vhost(item: Dict[str, Any]) -> Tuple[str, Any]:
    return item["name"], None


def _user(item: Dict[str, Any]) -> Tuple[str, Any]:
    # Text up to 3.8, a list from 3.9 on.
    tags = item.get("tags", "")
    listed = tags.split(",") if isinstance(tags, str) else tags
    return item["name"], (item.get("password_hash"), tuple(sorted(listed)))


def _permission(item: Dict[str, Any]) -> Tuple[str, Any]:
    return f"{item['user']} in {item['vhost']}", (item["configure"], item["write"], item["read"])


_KINDS: Tuple[Tuple[str, str, Callable[[Dict[str, Any]], Any]], ...] = (
    ("virtual host", "vhosts", _vhost),
    ("user", "users", _user),
    ("rights of", "permissions", _permission),
)


def ip_version(text: str) -> int:
    """Give 4 or 6 for an address, 0 for what is none."""
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def erlang_address(text: str) -> str:
    """Give an IPv4 address as an Erlang tuple."""
    return "{" + ",".join(text.split(".")) + "}"


def env_value(text: str) -> str:
    """Quote a value for a file that systemd reads."""
    return '"{}"'.format(ENV_ESCAPED.sub(r"\\\1", text))


def tls_problem(certificate: str, key: str, authority: str = "") -> str:
    """Say what is wrong with a certificate and its key, all PEM text; "" when nothing is."""
    try:
        server = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        return "the certificate is no PEM file of a certificate"
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except TypeError:
        return "the key is protected by a passphrase, which nobody could type when the broker starts"
    except ValueError:
        return "the key is no PEM file of a private key"
    if _public(server) != _public(private):
        return "certificate and key don't belong together"
    if server.not_valid_after_utc < datetime.now(timezone.utc):
        return f"the certificate ended on {server.not_valid_after_utc:%Y-%m-%d}"
    if authority:
        try:
            x509.load_pem_x509_certificate(authority.encode())
        except ValueError:
            return "the authority's certificate is no PEM file of a certificate"
    return ""


def _public(holder: Any) -> bytes:
    raw: bytes = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return raw


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> Dict[str, Callable[..., Any]]:
        """Give the filters by their names."""
        return {
            "rabbitmq_definitions": definitions,
            "rabbitmq_are_definitions": are_definitions,
            "rabbitmq_lacking": lacking,
            "rabbitmq_ip_version": ip_version,
            "rabbitmq_erlang_address": erlang_address,
            "rabbitmq_env_value": env_value,
            "rabbitmq_tls_problem": tls_problem,
        }
