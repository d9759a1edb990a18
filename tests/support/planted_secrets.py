"""Made-up secrets of every kind that is refused, put together when they are asked for: no file holds one."""

import base64
import json
import string
from collections.abc import Callable
from random import Random

_LETTERS, _DIGITS = string.ascii_letters, string.digits
_WORD = _LETTERS + _DIGITS
_HEX = "0123456789abcdef"
_URL = _WORD + "-_"
_BASE32 = string.ascii_uppercase + "234567"
_BECH32 = "023456789ACDEFGHJKLMNPQRSTUVWXYZ"


def _some(alphabet: str, count: int) -> Callable[[Random], str]:
    return lambda random: "".join(random.choices(alphabet, k=count))


def _prefixed(prefix: str, alphabet: str, count: int) -> Callable[[Random], str]:
    return lambda random: prefix + _some(alphabet, count)(random)


def _opaque(random: Random, count: int = 32) -> str:
    # At least two digits and two letters, as nearly every one has.
    return "a7" + _some(_WORD, count - 4)(random) + "x3"


def _pem(kind: str, line_end: str = "\n", headers: str = "") -> Callable[[Random], str]:
    def key(random: Random) -> str:
        body = base64.b64encode(random.randbytes(192)).decode()
        lines = [body[at : at + 64] for at in range(0, len(body), 64)]
        return line_end.join([f"-----BEGIN {kind}-----{headers}", *lines, f"-----END {kind}-----"])

    return key


def _token(random: Random) -> str:
    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    payload = part({"sub": _some(_DIGITS, 12)(random), "exp": random.randrange(1 << 32)})
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{payload}.{_some(_URL, 43)(random)}"


def _beside(name: str, secret: Callable[[Random], str]) -> Callable[[Random], str]:
    return lambda random: name + secret(random)


def _user_and_password(random: Random) -> str:
    return base64.b64encode(f"app:{_opaque(random, 14)}".encode()).decode()


def _address(random: Random) -> str:
    return f"postgresql://app:{_opaque(random, 14)}@db.internal:5432/app"


SECRETS: dict[str, list[Callable[[Random], str]]] = {
    "private-key": [
        _pem("RSA PRIVATE KEY"),
        _pem("PRIVATE KEY", "\\n"),
        _pem("OPENSSH PRIVATE KEY", "\r\n"),
        _pem("EC PRIVATE KEY", headers="\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B2C3D\n"),
        _pem("PGP PRIVATE KEY BLOCK", headers="\nVersion: GnuPG v2\n"),
        _pem("ENCRYPTED PRIVATE KEY", '"\n"'),
    ],
    "age-key": [_prefixed("AGE-SECRET-KEY-1", _BECH32, 58)],
    "commontrace-key": [lambda random: f"ct_{_some(_HEX, 32)(random)}_{_some(_WORD, 49)(random)}"],
    "aws-access-key-id": [_prefixed("AKIA", _BASE32, 16), _prefixed("ASIA", _BASE32, 16)],
    "aws-secret-access-key": [
        _beside("aws_secret_access_key = ", _some(_WORD + "+/", 40)),
        _beside('"SecretAccessKey": "', _some(_WORD + "+/", 40)),
        _beside("AWS_SECRET_ACCESS_KEY=", _some(_WORD + "+/", 40)),
    ],
    "azure-account-key": [
        lambda random: f"AccountKey={_some(_WORD + '+/', 86)(random)}==",
        lambda random: f"SharedAccessKey={_some(_WORD + '+/', 43)(random)}=",
    ],
    "azure-client-secret": [lambda random: f"{_some(_WORD, 3)(random)}8Q~{_some(_URL, 34)(random)}"],
    "azure-signature": [lambda random: f"https://x.blob.core.windows.net/c?sv=1&sig={_some(_WORD, 43)(random)}%3D"],
    "google-api-key": [_prefixed("AIza", _URL, 35)],
    "google-oauth": [_prefixed("GOCSPX-", _URL, 28), _prefixed("ya29.", _URL, 60)],
    "github-token": [
        *(_prefixed(f"gh{kind}_", _WORD, 36) for kind in "pousr"),
        lambda random: f"github_pat_{_some(_WORD, 22)(random)}_{_some(_WORD, 59)(random)}",
    ],
    "gitlab-token": [_prefixed("glpat-", _URL, 20), _prefixed("glrt-", _URL, 20)],
    "slack-token": [
        lambda random: f"xoxb-{_some(_DIGITS, 12)(random)}-{_some(_DIGITS, 12)(random)}-{_some(_WORD, 24)(random)}",
        lambda random: f"xapp-1-A{_some(_BASE32, 10)(random)}-{_some(_DIGITS, 12)(random)}-{_some(_HEX, 64)(random)}",
    ],
    "slack-webhook": [
        lambda random: (
            "https://hooks.slack.com/services/"
            f"T{_some(_BASE32, 8)(random)}/B{_some(_BASE32, 8)(random)}/{_some(_WORD, 24)(random)}"
        )
    ],
    "discord-webhook": [
        lambda random: f"https://discord.com/api/webhooks/{_some('123', 18)(random)}/{_some(_URL, 68)(random)}"
    ],
    "discord-token": [lambda random: f"M{_some(_WORD, 23)(random)}.{_some(_URL, 6)(random)}.{_some(_URL, 38)(random)}"],
    "telegram-token": [lambda random: f"{_some('123456789', 10)(random)}:AA{_some(_URL, 33)(random)}"],
    "stripe-key": [
        _prefixed("sk_live_", _WORD, 24),
        _prefixed("rk_live_", _WORD, 99),
        _prefixed("whsec_", _WORD, 32),
    ],
    "anthropic-key": [lambda random: f"sk-ant-api03-{_some(_URL, 93)(random)}AA"],
    "openai-key": [
        _prefixed("sk-", _WORD, 48),
        lambda random: f"sk-proj-{_some(_URL, 74)(random)}T3BlbkFJ{_some(_URL, 74)(random)}",
        _prefixed("sk-or-v1-", _HEX, 64),
    ],
    "huggingface-token": [_prefixed("hf_", _LETTERS, 34)],
    "npm-token": [_prefixed("npm_", _WORD, 36)],
    "pypi-token": [_prefixed("pypi-AgEIcHlwaS5vcmc", _URL, 150)],
    "sendgrid-key": [lambda random: f"SG.{_some(_URL, 22)(random)}.{_some(_URL, 43)(random)}"],
    "twilio-key": [_prefixed("SK", _HEX, 32)],
    "digitalocean-token": [_prefixed("dop_v1_", _HEX, 64), _prefixed("doo_v1_", _HEX, 64)],
    "shopify-token": [_prefixed("shpat_", _HEX, 32), _prefixed("shpss_", _HEX, 32)],
    "databricks-token": [_prefixed("dapi", _HEX, 32)],
    "vault-token": [_prefixed("hvs.", _URL, 90), _prefixed("hvb.", _URL, 130)],
    "prefixed-token": [
        *(
            (lambda random, prefix=prefix: prefix + _opaque(random, 40))
            for prefix in ("glsa_", "gsk_", "xai-", "dckr_pat_", "lin_api_", "dp.pt.", "PMAK-", "tskey-auth-")
        )
    ],
    "json-web-token": [_token],
    "url-password": [_address, lambda random: f"redis://:{_opaque(random, 20)}@cache.internal:6379/0"],
    "authorization-header": [
        _beside("Authorization: Bearer ", _opaque),
        _beside("'authorization': 'Basic ", _user_and_password),
        _beside("curl -H 'Authorization: token ", _opaque),
    ],
    "named-secret": [
        _beside("API_KEY=", _opaque),
        _beside('{"client_secret": "', _opaque),
        _beside("password: ", _opaque),
        _beside('\\"access_token\\":\\"', _opaque),
        _beside("x-api-key: ", _opaque),
        _beside('apiKey := "', _opaque),
    ],
}
"""By the name of its rule, every form in which each kind is planted; how long values are is what issuers document."""


def planted(rule: str, seed: int) -> str:
    """Returns a text of a few words that a rule refuses, another one for each seed."""
    random = Random(f"{rule} {seed}")  # noqa: S311 - none of them opens anything
    forms = SECRETS[rule]
    return forms[seed % len(forms)](random)
