"""DATABASE_URL: which spellings will do, and what is said of the others."""

import pytest

from commontrace.storage.postgres_url import parse_postgres_url


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("postgres://ada:secret@db:5433/traces", "postgresql+asyncpg://ada:secret@db:5433/traces"),
        ("postgresql://db/traces", "postgresql+asyncpg://db/traces"),
        ("postgresql+asyncpg://db/traces", "postgresql+asyncpg://db/traces"),
        ("postgresql+psycopg://db/traces", "postgresql+asyncpg://db/traces"),
        ("postgres://db/traces?sslmode=require", "postgresql+asyncpg://db/traces?ssl=require"),
        ("postgresql:///traces?host=/run/pg&port=5433", "postgresql+asyncpg:///traces?host=%2Frun%2Fpg&port=5433"),
        ("postgresql://ada:p%40ss@db/traces", "postgresql+asyncpg://ada:p%40ss@db/traces"),
        ("postgresql://ada:a,b?c@db/traces", "postgresql+asyncpg://ada:a%2Cb%3Fc@db/traces"),
        ("postgresql://[::1]:5433/traces", "postgresql+asyncpg://[::1]:5433/traces"),
        ("postgresql:///traces?host=a:1&host=b:2", "postgresql+asyncpg:///traces?host=a%3A1&host=b%3A2"),
        ("postgresql:///traces?host=a,b&port=1,2", "postgresql+asyncpg:///traces?host=a%2Cb&port=1%2C2"),
    ],
)
def test_any_spelling_of_a_postgres_url_will_do(given: str, wanted: str) -> None:
    assert parse_postgres_url(given).render_as_string(hide_password=False) == wanted


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("mysql://ada:secret@db/traces", "must be a Postgres URL"),
        ("sqlite:///traces.db", "must be a Postgres URL"),
        ("", "must be a Postgres URL"),
        ("localhost", "must be a Postgres URL"),
        ("postgresql://ada:secret@db:port/traces", "must be a Postgres URL"),
        ("postgresql://ada:secret@db/traces?channel_binding=require&sslmode=require", "channel_binding"),
        ("postgresql://ada:secret@db/traces?port=port", "a port that is none"),
        ("postgresql://ada:secret@db/traces?port=99999", "a port that is none"),
        ("postgresql://ada:secret@db/traces?port=-1", "a port that is none"),
        ("postgresql://ada:secret@db/traces?port=1,2", "a port that is none"),
        ("postgresql://ada:secret@db:0/traces", "a port that is none"),
        ("postgresql://ada:secret@db:99999/traces", "a port that is none"),
        ("postgresql://ada:secret@/traces?host=db:99999", "a port that is none"),
        ("postgresql://ada:secret@/traces?host=a:99999&host=b:5432", "a port that is none"),
        ("postgresql://ada:secret@db/traces?prepared_statement_cache_size=abc", "prepared_statement_cache_size"),
        ("postgresql://ada:secret@db/traces?prepared_statement_cache_size=-1", "prepared_statement_cache_size"),
        ("postgresql://ada:secret@db/traces?sslmode=nonsense", "sslmode of another value than disable, allow"),
        ("postgresql://ada:secret@db/traces?ssl=true", "ssl of another value than disable, allow"),
        (
            "postgresql://ada:secret@db/traces?target_session_attrs=master",
            "target_session_attrs of another value than any",
        ),
        ("postgresql://ada:secret@db/traces?gsslib=krb", "gsslib of another value than gssapi, sspi"),
        ("postgresql://ada:secret@db/traces?password=secret&password=secret", "password more than once"),
        ("postgresql://ada:secret@a,b/traces", "names several hosts"),
        ("postgresql://ada:secret@a:1,b:2/traces", "names several hosts"),
        ("postgresql://ada:secret@/traces?host=a&host=b", "names several hosts"),
        ("postgresql://ada:secret@/traces?host=a,b&port=1", "names several hosts"),
        ("postgresql://ada:sec%00ret@db/traces", "a character that Postgres takes nowhere"),
        ("postgresql://ada:secret\udc80@db/traces", "a character that Postgres takes nowhere"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_the_password(given: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refusal:
        parse_postgres_url(given)
    assert "secret" not in str(refusal.value)
