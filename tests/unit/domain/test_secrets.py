import base64
import hashlib
import json
import re
import uuid
from collections import Counter
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commontrace.domain.secrets.rules import RULES
from commontrace.domain.secrets.scan import SecretScan, scan
from tests.support.hostile_texts import hostile_texts
from tests.support.planted_secrets import SECRETS, planted
from tests.support.repository import REPOSITORY

_PLACEHOLDERS = [
    "sk-...",
    "sk-your-key",
    "sk-proj-your-openai-key-goes-here",
    "OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "api_key = '<your-api-key>'",
    'api_key="YOUR_API_KEY_HERE_PLEASE"',
    "API_KEY=${API_KEY_FROM_THE_VAULT_2024}",
    "password: ${{ secrets.DATABASE_PASSWORD_V2 }}",
    "password = get_password_from_keyring2(user1)",
    'api_key=os.environ["OPENAI_API_KEY"]',
    "private_key = Ed25519PrivateKey.from_private_bytes(data)",
    "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "ghp_" + "x" * 36,
    "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789",
    "ghp_" + "1a2b3c4d5e6f7g8h9i0j1k2l3m4n5o6p7q8r",
    "glpat-" + "0" * 20,
    "glpat-your_access_token_here",
    "hf_" + "a" * 34,
    "https://hooks.slack.com/services/T00000000/B00000000/" + "X" * 24,
    "xoxb-your-slack-bot-token-here",
    "Authorization: Bearer <token>",
    "Authorization: Bearer $TOKEN",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiIs...",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.<payload>.<signature>",
    '{"access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"}',
    "Authorization: Basic dXNlcjpwYXNzd29yZA==",
    "authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l",
    "postgres://user:password@localhost/app",
    "postgresql+asyncpg://app:Tr0ub4dor-3@localhost:5432/app",
    "postgresql://commontrace:commontrace@db:5432/commontrace",
    "postgresql://app:${POSTGRES_PASSWORD}@db/app",
    "redis://:{password1234}@cache",
    "mongodb+srv://<user>:<password>@cluster0.mongodb.net",
    "amqp://guest:guest@rabbitmq",
    "mysql://app:%(mysql_pw)s@db",
    "mysql://app:correcthorse@db",
    "https://user:S3cr3tV4lue@api.example.com",
    "git@github.com:org/repository1234567890.git",
    "http://host:8080/path@12345678",
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n" + "f" * 20 + hashlib.sha256(b"").hexdigest(),
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n",
    "risk-assessment2024forthewholedepartment",
]
_HARMLESS = {
    "an id": str(uuid.UUID(int=0x123E4567E89B12D3A456426614174000)),
    "an id as a key": 'client_secret: "123e4567-e89b-12d3-a456-426614174000"',
    "SHA-256": f"sha256:{hashlib.sha256(b'a').hexdigest()} --hash=sha256:{hashlib.sha256(b'b').hexdigest()}",
    "a commit": f"commit {hashlib.sha1(b'a', usedforsecurity=False).hexdigest()}",
    "SRI": f"sha512-{base64.b64encode(hashlib.sha512(b'a').digest()).decode()}",
    "an image": f"data:image/png;base64,{base64.b64encode(hashlib.shake_256(b'a').digest(20_000)).decode()}",
    "a hashed password": "password_hash = '$2b$12$" + "LQv3c1yqBWVHxkd0LHAkCOYz6TtxMQJqhN8/LewdBPj4J3VrLpXuG'",
    "a public key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + base64.b64encode(hashlib.sha256(b"k").digest()).decode(),
}
_WRITTEN = [
    *(REPOSITORY / "fixtures").glob("*.json"),
    *(REPOSITORY / "docs").rglob("*.md"),
    *(path for path in (REPOSITORY / "examples").rglob("*") if path.suffix in {".go", ".ts", ".md", ".json", ".proto"}),
    *(REPOSITORY / "bench").glob("*.py"),
    *REPOSITORY.glob("*.md"),
    *REPOSITORY.glob("requirements*.lock"),
]
_EXAMINED = 200
# Known by what stands beside them, which percent signs take apart.
_BESIDE = {
    *("private-key", "aws-secret-access-key", "azure-account-key", "azure-signature", "slack-webhook"),
    *("discord-webhook", "url-password", "authorization-header", "named-secret"),
}


def _names(text: str) -> list[str]:
    return [secret.rule.name for secret in scan.find(text)]


@pytest.mark.parametrize("rule", SECRETS)
def test_every_form_of_every_kind_is_found(rule: str) -> None:
    missed = [secret for seed in range(100) if _names(secret := planted(rule, seed)) != [rule]]
    assert missed == []


@pytest.mark.parametrize("rule", SECRETS)
def test_a_secret_is_found_in_any_surroundings(rule: str) -> None:
    for secret in (planted(rule, seed) for seed in range(len(SECRETS[rule]))):
        settings_file = json.dumps({"lines": f"first\n{secret}\nlast"})
        for text in (
            f"Try this:\n```sh\n{secret}\n```\n",
            settings_file,
            json.dumps({"quoted": settings_file}),
            f"https://host/path?state=1%3D{secret if rule in _BESIDE else quote(secret, safe='')}%26",
            f"# Überschrift 🎉\n- {secret}, and so on",
            secret[:-9] + "\u200b" + secret[-9:],
            f"\ufeff{secret}\u00ad",
        ):
            assert _names(text), text


def test_all_kinds_have_forms_and_are_described() -> None:
    section = (REPOSITORY / "docs/security.md").read_text().partition("## Secrets are refused")[2]
    documented = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", section, re.MULTILINE)
    assert documented == [(rule.name, rule.what) for rule in RULES]
    assert set(SECRETS) == {rule.name for rule in RULES}


def test_a_finding_has_its_line() -> None:
    secrets = scan.find(f"one\ntwo {planted('github-token', 1)}\n\n{planted('npm-token', 1)}")
    assert [(secret.rule.name, secret.line) for secret in secrets] == [("github-token", 2), ("npm-token", 4)]


@pytest.mark.parametrize("text", _PLACEHOLDERS)
def test_placeholders_pass(text: str) -> None:
    assert _names(text) == []


@pytest.mark.parametrize("what", _HARMLESS)
def test_values_that_only_look_random_pass(what: str) -> None:
    assert _names(_HARMLESS[what]) == []


def test_texts_of_this_repository_pass() -> None:
    assert len(_WRITTEN) > 60
    found = {path.name: names for path in _WRITTEN if (names := _names(path.read_text()))}
    assert found == {}


_BEFORE = st.sampled_from([" ", "\n", '"', "'", "(", "`", "=", ": ", "\\n", "%3D", "🎉"])
_AFTER = st.sampled_from([" ", "\n", '"', "'", ")", "`", ",", "\\n", "🎉", ""])


@given(st.sampled_from(sorted(SECRETS)), st.integers(0, 1_000), st.text(), _BEFORE, _AFTER, st.text())
@settings(max_examples=300, deadline=None)
def test_no_text_around_it_hides_a_secret(
    rule: str, seed: int, before: str, opening: str, closing: str, after: str
) -> None:
    around = f"{before}{opening}{planted(rule, seed)}{closing}{after if closing else ''}"
    assert _names(around)


@pytest.mark.parametrize("count", [1, _EXAMINED - 1, _EXAMINED, 20 * _EXAMINED])
def test_placeholders_before_it_do_not_hide_a_secret(count: int) -> None:
    placeholders = "".join(f"ghp_{number:036d}\n" for number in range(count))
    assert _names(placeholders) == ([] if count <= _EXAMINED else ["github-token"])
    assert _names(placeholders + planted("github-token", 0)) == ["github-token"]


def test_no_hostile_text_hides_a_secret_behind_it() -> None:
    secret = planted("github-token", 0)
    hiding = [name for name, text in hostile_texts(1 << 15) if not _names(f"{text}\n{secret}")]
    assert hiding == []


def test_few_values_of_a_hostile_text_are_examined() -> None:
    looked_at: Counter[str] = Counter()

    def counting(name: str) -> SecretScan:
        def holds(value: bytes) -> bool:
            looked_at[name] += 1
            assert len(value) <= 1 << 16
            return False

        return SecretScan(tuple(rule._replace(holds=holds) for rule in RULES))

    for name, text in hostile_texts(1 << 16):
        counting(name).find(text)
    assert len(looked_at) > 20
    assert max(looked_at.values()) <= _EXAMINED
