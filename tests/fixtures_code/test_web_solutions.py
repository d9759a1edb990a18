"""CORS and JWT: the applications of the solutions, called over ASGI as a browser or a client would."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware

from tests.fixtures_code.asgi import browse
from tests.fixtures_code.conftest import ImportCode
from tests.fixtures_code.solutions import block, read_trace

CORS = block("fastapi-cors-credentials-wildcard", "python")
JWT = block("fastapi-jwt-asgi-middleware", "python")

SPA = "http://localhost:5173"
SESSION = {"Cookie": "session=abc"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, x-csrf-token"}
ALLOW_ORIGIN = "Access-Control-Allow-Origin"
KEY = "a placeholder key for these tests only"


async def test_cors_listed_origins_get_their_own_name_and_credentials(import_code: ImportCode) -> None:
    async with browse(import_code(CORS.code).app) as client:
        for origin in (SPA, "https://app.example.com"):
            answer = await client.get("/me", headers={"Origin": origin, **SESSION})
            assert (answer.status_code, answer.json()) == (200, {"session": "abc"})
            assert answer.headers[ALLOW_ORIGIN] == origin
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
            assert answer.headers["Access-Control-Expose-Headers"] == "X-Request-ID"
            assert answer.headers["Vary"] == "Origin"
        for origin in ("https://evil.example", SPA + "/", "http://127.0.0.1:5173"):
            answer = await client.get("/me", headers={"Origin": origin, **SESSION})
            assert ALLOW_ORIGIN not in answer.headers


async def test_cors_preflight_passes_the_login_check_outside_of_it(import_code: ImportCode) -> None:
    async with browse(import_code(CORS.code).app) as client:
        answer = await client.options("/me", headers={"Origin": SPA, **PREFLIGHT})
        assert answer.status_code == 200
        assert answer.headers[ALLOW_ORIGIN] == SPA
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "X-CSRF-Token" in answer.headers["Access-Control-Allow-Headers"]
        assert answer.headers["Access-Control-Max-Age"] == "600"
        refused = await client.options("/me", headers={"Origin": "https://evil.example", **PREFLIGHT})
        assert refused.status_code == 400
        assert ALLOW_ORIGIN not in refused.headers


async def test_cors_headers_are_on_401_and_on_500(import_code: ImportCode) -> None:
    async with browse(import_code(CORS.code).app, crashes=True) as client:
        for path, cookie, status in (("/me", {}, 401), ("/report", SESSION, 500)):
            answer = await client.get(path, headers={"Origin": SPA, **cookie})
            assert (answer.status_code, answer.headers[ALLOW_ORIGIN]) == (status, SPA)


def _inside(import_code: ImportCode, *, first: bool, **options: Any) -> FastAPI:
    """The solution's API with CORS inside its middleware stack; `first`: added before the login check."""
    added = f"api.add_middleware(CORSMiddleware, **{options!r})\n"
    api, wrapper = CORS.code.split("# The server runs this name")
    assert "CORSMiddleware(" in wrapper
    head, rest = api.split("\n\n\n@api.middleware", 1)
    code = f"{head}\n{added}\n\n@api.middleware{rest}" if first else f"{api}\n{added}"
    app = import_code(code).api
    assert isinstance(app, FastAPI)
    return app


async def test_cors_inside_the_stack_fails_as_described(import_code: ImportCode) -> None:
    options: dict[str, Any] = {"allow_origins": [SPA], "allow_credentials": True, "allow_methods": ["POST"]}
    async with browse(_inside(import_code, first=True, **options)) as client:
        assert (await client.options("/me", headers={"Origin": SPA, **PREFLIGHT})).status_code == 401
    async with browse(_inside(import_code, first=False, **options), crashes=True) as client:
        crashed = await client.get("/report", headers={"Origin": SPA, **SESSION})
        assert crashed.status_code == 500
        assert ALLOW_ORIGIN not in crashed.headers


@pytest.mark.parametrize(("credentials", "allowed"), [(False, "*"), (True, "https://evil.example")])
async def test_cors_wildcard_is_refused_by_browsers_or_open_to_everyone(
    import_code: ImportCode, *, credentials: bool, allowed: str
) -> None:
    options: dict[str, Any] = {"allow_origins": ["*"], "allow_credentials": credentials}
    async with browse(_inside(import_code, first=False, **options)) as client:
        answer = await client.get("/me", headers={"Origin": "https://evil.example", **SESSION})
    assert answer.headers[ALLOW_ORIGIN] == allowed


def test_cors_regular_expression_needs_its_dots_escaped() -> None:
    pattern = r"https://[a-z0-9-]+\.preview\.acme\.example"
    assert pattern in read_trace(CORS.slug)["solution"]
    for regex, fooled in ((pattern, False), (pattern.replace("\\", ""), True)):
        middleware = CORSMiddleware(FastAPI(), allow_origin_regex=regex)
        assert middleware.is_allowed_origin("https://pr-7.preview.acme.example")
        assert middleware.is_allowed_origin("https://a-preview-acme.example") == fooled


def _token(*, key: str = KEY, algorithm: str = "HS256", **changes: Any) -> dict[str, str]:
    claims = {"sub": "ada", "iss": "https://auth.example.com", "aud": "orders-api", "exp": time.time() + 600}
    kept = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return {"Authorization": f"Bearer {jwt.encode(kept, key, algorithm=algorithm)}"}


@pytest.fixture
def app(import_code: ImportCode, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("JWT_KEY", KEY)
    app = import_code(JWT.code).app
    assert isinstance(app, FastAPI)
    return app


async def test_jwt_good_tokens_and_public_paths_pass(app: FastAPI) -> None:
    async with browse(app) as client:
        answer = await client.get("/me", headers=_token())
        assert (answer.status_code, answer.json()) == (200, {"subject": "ada"})
        assert (await client.get("/me", headers=_token(exp=time.time() - 5))).status_code == 200
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/healthz/")).status_code == 401
        assert (await client.get("/docs")).status_code == 401


@pytest.mark.parametrize(
    ("new_headers", "detail"),
    [
        (dict, "invalid token"),
        (lambda: {"Authorization": "Basic YTpi"}, "invalid token"),
        (lambda: {"Authorization": "Bearer"}, "invalid token"),
        (lambda: {"Authorization": "Bearer not.a.token"}, "invalid token"),
        (lambda: _token(exp=time.time() - 60), "token expired"),
        (lambda: _token(exp=None), "invalid token"),
        (lambda: _token(sub=None), "invalid token"),
        (lambda: _token(aud="billing-api"), "invalid token"),
        (lambda: _token(aud=None), "invalid token"),
        (lambda: _token(iss="https://auth.evil.example"), "invalid token"),
        (lambda: _token(key="another placeholder key, just as long"), "invalid token"),
        (lambda: _token(algorithm="none", key=""), "invalid token"),
    ],
)
async def test_jwt_bad_tokens_are_answered_401(
    app: FastAPI, new_headers: Callable[[], dict[str, str]], detail: str
) -> None:
    headers = new_headers()
    async with browse(app) as client:
        answer = await client.get("/me", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": detail})
    assert answer.headers["WWW-Authenticate"] == f'Bearer error="invalid_token", error_description="{detail}"'


async def test_jwt_another_hmac_size_is_refused_even_with_the_right_key(app: FastAPI) -> None:
    long_enough = KEY * 2  # HS512 wants 64 bytes
    app.user_middleware[0].kwargs["key"] = long_enough
    async with browse(app) as client:
        assert (await client.get("/me", headers=_token(key=long_enough))).status_code == 200
        refused = await client.get("/me", headers=_token(key=long_enough, algorithm="HS512"))
    assert refused.status_code == 401


async def test_jwt_websockets_are_closed_before_they_are_accepted(app: FastAPI) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await app({"type": "websocket", "path": "/feed", "headers": [], "query_string": b""}, receive, send)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


async def test_jwt_short_keys_are_refused(app: FastAPI) -> None:
    app.user_middleware[0].kwargs["key"] = "short"
    async with browse(app) as client:
        with pytest.raises(ValueError, match="at least 32 bytes"):
            await client.get("/healthz")


async def test_jwt_an_http_exception_raised_in_a_middleware_is_a_500() -> None:
    app = FastAPI()

    @app.middleware("http")
    async def refuse(_request: Request, _call_next: Any) -> Any:
        raise HTTPException(401)

    async with browse(app, crashes=True) as client:
        assert (await client.get("/me")).status_code == 500
