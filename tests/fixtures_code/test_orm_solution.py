"""FastAPI over async SQLAlchemy: the application of the solution serves a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from types import ModuleType

import pytest
from fastapi.exceptions import ResponseValidationError
from sqlalchemy import event, literal, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import create_async_engine

from tests.fixtures_code.asgi import serve
from tests.fixtures_code.conftest import ImportCode
from tests.fixtures_code.solutions import block

APP = block("fastapi-async-sqlalchemy-missing-greenlet", "python")

EAGER = ".options(selectinload(Author.books))"
LAZY_RAISE = 'relationship(lazy="raise")'
MISSING_GREENLET = "Error extracting attribute: MissingGreenlet: greenlet_spawn has not been called; can't call await_"
DUMAS = {"name": "Dumas", "titles": ["The Black Tulip", "Twenty Years After"]}


@pytest.fixture(autouse=True)
async def tables(database_url: str, monkeypatch: pytest.MonkeyPatch, import_code: ImportCode) -> AsyncIterator[None]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(import_code(APP.code).Base.metadata.create_all)
    yield
    await engine.dispose()


async def _post_and_list(module: ModuleType) -> object:
    async with serve(module.app) as client:
        created = await client.post("/authors", json=DUMAS)
        assert created.status_code == 201
        return (await client.get("/authors")).json()


async def test_relationships_are_served_with_two_statements_for_any_number_of_authors(import_code: ImportCode) -> None:
    module = import_code(APP.code)
    statements: list[str] = []
    async with serve(module.app) as client:
        for name in ("Dumas", "Shelley", "Verne"):
            created = await client.post("/authors", json={**DUMAS, "name": name})
            assert (created.status_code, created.json()["name"]) == (201, name)
        engine = module.app.state.new_session.kw["bind"].sync_engine
        event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
        listed = (await client.get("/authors")).json()
    assert [author["name"] for author in listed] == ["Dumas", "Shelley", "Verne"]
    assert listed[0]["books"] == [{"title": "The Black Tulip"}, {"title": "Twenty Years After"}]
    assert len([statement for statement in statements if statement.startswith("SELECT authors")]) == 1
    assert len([statement for statement in statements if " IN (" in statement]) == 1
    assert len(statements) == 2


@pytest.mark.parametrize(
    ("relationship", "message"),
    [("relationship()", MISSING_GREENLET), (LAZY_RAISE, "'Author.books' is not available due to lazy='raise'")],
)
async def test_without_eager_loading_the_response_fails_as_described(
    import_code: ImportCode, relationship: str, message: str
) -> None:
    module = import_code(APP.altered(EAGER, "").replace(LAZY_RAISE, relationship))
    with pytest.raises(ResponseValidationError) as failure:
        await _post_and_list(module)
    assert failure.value.errors()[0]["loc"] == ("response", 0, "books")
    assert message in failure.value.errors()[0]["msg"]


@pytest.mark.usefixtures("collect_abandoned")
@pytest.mark.filterwarnings("ignore:coroutine 'connect' was never awaited:RuntimeWarning")
async def test_with_expiring_commits_even_plain_columns_fail(import_code: ImportCode) -> None:
    module = import_code(APP.altered(", expire_on_commit=False", ""))
    with pytest.raises(ResponseValidationError) as failure:
        await _post_and_list(module)
    failed = {error["loc"]: error["msg"] for error in failure.value.errors()}
    assert MISSING_GREENLET in failed["response", "id"]
    assert MISSING_GREENLET in failed["response", "name"]


async def test_a_new_object_needs_a_value_for_its_collection(import_code: ImportCode) -> None:
    module = import_code(APP.altered(", books=[Book(title=t) for t in body.titles]", ""))
    with pytest.raises(ResponseValidationError, match="not available due to lazy='raise'"):
        await _post_and_list(module)


async def test_refresh_loads_a_relationship_only_by_name(import_code: ImportCode) -> None:
    module = import_code(APP.code)
    async with serve(module.app) as client:
        await client.post("/authors", json=DUMAS)
        async with module.app.state.new_session() as session:
            author = await session.scalar(select(module.Author))
            await session.refresh(author)
            with pytest.raises(InvalidRequestError):
                _ = author.books
            await session.refresh(author, ["books"])
            assert len(author.books) == 2


async def test_one_session_for_two_tasks_is_refused(import_code: ImportCode) -> None:
    module = import_code(APP.code)
    async with serve(module.app), module.app.state.new_session() as session:
        answers = await asyncio.gather(
            session.scalar(select(literal(1))), session.scalar(select(literal(2))), return_exceptions=True
        )
    message = "This session is provisioning a new connection; concurrent operations are not permitted"
    assert [message in str(answer) for answer in answers] == [False, True]


@pytest.mark.parametrize(("scope", "status"), [("", 201), (', scope="function"', 500)])
async def test_a_commit_after_yield_fails_too_late_for_the_status(
    import_code: ImportCode, scope: str, status: int
) -> None:
    late = APP.altered(
        "        yield session\n", "        yield session\n        raise RuntimeError('COMMIT failed')\n"
    )
    module = import_code(late.replace("Depends(get_session)", f"Depends(get_session{scope})"))
    async with serve(module.app, crashes=True) as client:
        assert (await client.post("/authors", json=DUMAS)).status_code == status
