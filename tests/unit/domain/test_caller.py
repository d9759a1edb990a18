import pytest

from commontrace.domain.caller import Caller, claim_address
from commontrace.domain.errors import InvalidUser, UserReserved


@pytest.mark.parametrize("email", ["ada@example.org", " Ada@Example.ORG ", "a.b+c@sub.example.co.uk", "o'neil@x.io"])
def test_an_address_is_lower_cased(email: str) -> None:
    assert claim_address(email) == Caller(email=email.strip().lower())


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "@example.org",
        "ada@",
        "ada@example",
        "ada@example.",
        "a@b@example.org",
        "Ada <ada@example.org>",
        "ada@example.org, bob@example.org",
        "ada lovelace@example.org",
        "ad\ta@example.org",
        "ad\x7fa@example.org",
        "\u0430da@example.org",
        "a" * 243 + "@example.org",
    ],
)
def test_malformed_addresses_are_refused(email: str) -> None:
    with pytest.raises(InvalidUser):
        claim_address(email)


@pytest.mark.parametrize("email", ["seed@commontrace.dev", "SEED@CommonTrace.dev"])
def test_the_seeds_own_address_cannot_be_claimed(email: str) -> None:
    with pytest.raises(UserReserved):
        claim_address(email)
