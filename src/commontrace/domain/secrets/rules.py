"""Rules of the secret scan: the formats of secrets, as their issuers document them.

`begins` and `goes_on` are RE2 patterns over bytes. Together they have one group, the part that a placeholder would
replace. All beginnings are matched at once. In a beginning, no repetition may match its own start: RE2 would build a
state for every way in which a hostile text overlaps them.
"""

from collections.abc import Callable
from typing import NamedTuple

from commontrace.domain.secrets import values


class Rule(NamedTuple):
    """A kind of secret. `what` completes "It looks like ..."; `holds` is true of secrets, false of placeholders."""

    name: str
    what: str
    begins: str
    goes_on: str
    holds: Callable[[bytes], bool] = values.is_random


# No letter or digit before it. `\n`, `%3D` and `\u003d` are escaped line ends and punctuation.
_START = r"(?:^|[^A-Za-z0-9]|\\[nrtbf]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})"
# The same where the secret itself may have hyphens and underscores.
_EDGE = r"(?:^|[^A-Za-z0-9_-]|\\[nrt]|%[0-9A-Fa-f]{2})"
# Between a name and its value: `=`, `:`, `=>`, `:=`, with the quotes of JSON, also inside of strings.
_IS = r"""["'\\\s\]]{0,10}(?:=>|:=|[:=]|%3[AaDd])["'\\\s]{0,10}"""

RULES = (
    # The body may be in lines, in quotes, after headers; `...` is no body.
    Rule(
        "private-key",
        "a private key (PEM, OpenSSH or PGP)",
        r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----",
        r"""[\s"'\\nr,;>|*#+]{0,40}(?:[A-Z][A-Za-z-]{2,20}:[^\n\\]{0,80}[\s"'\\nr,;>|*#+]{1,8}){0,4}([A-Za-z0-9+/]{32})""",
    ),
    Rule("age-key", "an age identity", r"AGE-SECRET-KEY-1", r"([02-9AC-HJ-NP-Z]{58})"),
    Rule("commontrace-key", "a key of this service", r"ct_[0-9a-f]{32}_", r"([0-9A-Za-z]{49})"),
    Rule("aws-access-key-id", "an AWS access key id", r"(?:AKIA|ASIA)", r"([A-Z2-7]{16})"),
    Rule(
        "aws-secret-access-key",
        "an AWS secret access key",
        r"(?i:secret[ _-]?access[ _-]?key|aws[ _-]?secret(?:[ _-]?key)?|secret[ _-]?key)" + _IS,
        # Longer than 40 characters, it is something else.
        r"((?:[A-Za-z0-9+/]|%2[BbFf]){40})(?:[^A-Za-z0-9+/=]|$)",
    ),
    Rule("azure-account-key", "a key of an Azure account", r"(?:Account|SharedAccess)Key=", r"([A-Za-z0-9+/]{43,86}=)"),
    Rule("azure-client-secret", "a client secret of Azure", r"[78]Q~", r"([A-Za-z0-9_.~-]{31})"),
    Rule("azure-signature", "a shared access signature of Azure", r"[?&;]sig=", r"([A-Za-z0-9+/%]{43,60}(?:%3[Dd]|=))"),
    Rule("google-api-key", "a Google API key", r"AIza", r"([A-Za-z0-9_-]{35})"),
    Rule("google-oauth", "a Google OAuth secret or token", r"(?:GOCSPX-|ya29\.)", r"([A-Za-z0-9_-]{28,})"),
    Rule("github-token", "a GitHub token", r"(?:gh[opusr]_|github_pat_[A-Za-z0-9]{22}_)", r"([A-Za-z0-9]{36})"),
    Rule(
        "gitlab-token",
        "a GitLab token",
        r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-",
        r"([A-Za-z0-9_-]{20,})",
    ),
    Rule("slack-token", "a Slack token", r"(?:xox[a-z](?:\.xox[a-z])?|xapp-[0-9])-", r"([A-Za-z0-9-]{20,})"),
    Rule(
        "slack-webhook",
        "a Slack webhook",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/",
        r"[A-Z0-9]{6,20}/[A-Z0-9]{6,20}/([A-Za-z0-9]{18,})",
    ),
    Rule("discord-webhook", "a Discord webhook", r"/api/webhooks/", r"[0-9]{17,20}/([A-Za-z0-9_-]{60,})"),
    Rule(
        "discord-token",
        "a token of a Discord bot",
        _EDGE + r"[MNO][A-Za-z0-9_-]{23,27}\.",
        r"[A-Za-z0-9_-]{6}\.([A-Za-z0-9_-]{27,})",
    ),
    Rule("telegram-token", "a token of a Telegram bot", r"[0-9]{8}(?::|%3[Aa])AA", r"([A-Za-z0-9_-]{33})"),
    Rule("stripe-key", "a Stripe key", r"(?:[sr]k_live_|whsec_)", r"([A-Za-z0-9+/]{20,})"),
    Rule("anthropic-key", "an Anthropic key", r"sk-ant-", r"[a-z0-9]{3,10}-([A-Za-z0-9_-]{40,})"),
    Rule(
        "openai-key",
        "an OpenAI key, or one of the same form",
        _START + r"sk-",
        r"((?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}|(?:or-v1-)?[A-Za-z0-9]{20,})",
    ),
    Rule("huggingface-token", "a Hugging Face token", r"hf_", r"([A-Za-z0-9]{34})"),
    Rule("npm-token", "an npm token", r"npm_", r"([A-Za-z0-9]{36})"),
    Rule("pypi-token", "a PyPI token", r"pypi-AgE", r"([A-Za-z0-9_-]{50,})"),
    Rule("sendgrid-key", "a SendGrid key", r"SG\.", r"[A-Za-z0-9_-]{20,24}\.([A-Za-z0-9_-]{39,})"),
    Rule("twilio-key", "a Twilio key", _START + r"SK", r"([0-9a-f]{32})"),
    Rule("digitalocean-token", "a DigitalOcean token", r"do[opr]_v1_", r"([0-9a-f]{64})"),
    Rule("shopify-token", "a Shopify token", r"shp(?:at|ca|pa|ss)_", r"([0-9A-Fa-f]{32})"),
    Rule("databricks-token", "a Databricks token", _START + r"dapi", r"([0-9a-f]{32})"),
    Rule("vault-token", "a HashiCorp Vault token", r"hv[sbr]\.", r"([A-Za-z0-9_-]{24,})"),
    Rule(
        "prefixed-token",
        "a token with its issuer's prefix",
        r"(?:glsa_|glc_|gsk_|xai-|pplx-|r8_|sbp_|nfp_|rubygems_|dckr_pat_|lin_api_|ntn_|figd_|sntry[su]_|pscale_tkn_"
        r"|PMAK-|NRAK-|ATATT3x|tskey-[a-z]{2,12}-|fm2_|tvly-|lsv2_[ps]t_|xkeysib-|CCIPAT_|dp\.pt\.)",
        r"([A-Za-z0-9_+/-]{26,})",
        values.is_opaque,
    ),
    Rule(
        "json-web-token",
        "a JSON Web Token",
        r"eyJ",
        r"([A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{6,})\.[A-Za-z0-9_-]{16,}",
        values.is_signed_object,
    ),
    Rule(
        "url-password",
        "a password in an address",
        r"://",
        r"""([^\s/:@"'`<>\\]{0,100}:[^\s/@"'`<>\\]{8,200}@[A-Za-z0-9.-]{1,80})""",
        values.is_password,
    ),
    Rule(
        "authorization-header",
        "the credentials of an Authorization header",
        r"(?i:authorization)" + _IS,
        r"(?i:bearer|basic|token)(?:\s|%20){1,3}([A-Za-z0-9_+/=.~-]{20,})",
        values.is_authorization,
    ),
    Rule(
        "named-secret",
        "a value under a name such as `api_key`, `client_secret` or `password`",
        r"(?i:api[ _-]?key|api[ _-]?token|auth[ _-]?token|access[ _-]?token|refresh[ _-]?token|bearer[ _-]?token"
        r"|access[ _-]?key|secret[ _-]?key|private[ _-]?key|signing[ _-]?key|client[ _-]?secret|api[ _-]?secret"
        r"|app[ _-]?secret|password|passwd)" + _IS,
        r"([A-Za-z0-9_+/=~-]{20,})",
        values.is_opaque,
    ),
)
"""In order of precedence: the first rule that matches names the secret."""
