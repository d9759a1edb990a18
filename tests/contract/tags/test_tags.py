import asyncio
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.domain import limits
from commontrace.v1 import tag_pb2
from commontrace.v1 import tag_service_pb2 as pb
from tests.conftest import RunningServer, administer
from tests.contract.tags.tag_calls import ADD_TAGS, add_tags, contribute, get, listed, merge, update
from tests.support.locks import held, until_waiting


async def test_two_spellings_of_a_tag_are_one_tag(server: RunningServer) -> None:
    spellings = ["C++", "cpp", " c++ ", "\uff23\uff0b\uff0b", "CPlusPlus"]
    for number, spelling in enumerate(spellings):
        assert await contribute(server, number, spelling, "Cpp") == ["cpp"]
    tag = await get(server.tags, "c++")
    assert (tag.name, tag.trace_count, list(tag.aliases)) == ("cpp", len(spellings), ["c++", "cplusplus"])
    assert tag.create_time.seconds > 0
    assert (tag.description, tag.is_curated) == ("", False)
    assert [await get(server.tags, spelling) for spelling in spellings] == [tag] * len(spellings)


async def test_only_live_traces_are_counted(server: RunningServer, database_url: str) -> None:
    await contribute(server, 1, "python", "go")
    await contribute(server, 2, "python")
    await administer(database_url, "UPDATE traces SET deleted_at = now() WHERE title LIKE '%1'")
    assert [(await get(server.tags, name)).trace_count for name in ("python", "go")] == [1, 0]
    assert await listed(server.tags, order=pb.TAG_ORDER_USE) == ["python", "go"]


async def test_a_tag_that_is_deleted_by_sql_while_it_is_given_to_a_trace(
    server: RunningServer, database_url: str
) -> None:
    await administer(database_url, ADD_TAGS.format(columns="", values="'unused'"))
    async with held(database_url, "DELETE FROM tags WHERE name = 'unused'"):
        contributing = asyncio.create_task(contribute(server, 1, "unused"))
        await until_waiting(database_url)
    assert await contributing == ["unused"]


async def test_a_tag_is_changed_where_the_mask_says(server: RunningServer) -> None:
    await contribute(server, 1, "golang")
    created = await get(server.tags, "go")
    described = await update(server.tags, ["description"], name=" GoLang ", description="A language\n", is_curated=True)
    assert (described.name, described.description, described.is_curated) == ("go", "A language\n", False)
    curated = await update(server.tags, ["is_curated"], name="go", description="ignored", is_curated=True)
    assert (curated.description, curated.is_curated) == ("A language\n", True)
    longest = "é" * limits.TAG_DESCRIPTION_CHARACTERS
    both = await update(server.tags, ["description", "is_curated", "description"], name="go", description=longest)
    assert (both.description, both.is_curated) == (longest, False)
    assert await get(server.tags, "go") == both
    assert (both.create_time, both.trace_count, both.aliases) == (
        created.create_time,
        created.trace_count,
        created.aliases,
    )


async def test_tags_are_listed_by_the_order_of_code_points(server: RunningServer, database_url: str) -> None:
    names = ["a", "a-b", "a.b", "ab", "b", "z", "\u00e9", "\u65e5", "\U00020000"]
    await add_tags(database_url, names[::-1])
    assert await listed(server.tags) == sorted(names) == names
    assert await listed(server.tags, order=pb.TAG_ORDER_NAME, page_size=3) == names[:3]


async def test_tags_are_listed_by_prefix_and_by_being_curated(server: RunningServer, database_url: str) -> None:
    await add_tags(database_url, ["python", "py_x", "pyxx", "pytest", "100%", "go"])
    await update(server.tags, ["is_curated"], name="pytest", is_curated=True)
    await update(server.tags, ["is_curated"], name="go", is_curated=True)
    assert await listed(server.tags, prefix=" \uff30Y") == ["py_x", "pytest", "python", "pyxx"]
    assert await listed(server.tags, prefix="py_") == ["py_x"]
    assert await listed(server.tags, prefix="10%") == []
    assert await listed(server.tags, prefix=" ", curated_only=True) == ["go", "pytest"]
    assert await listed(server.tags, prefix="py", curated_only=True, order=pb.TAG_ORDER_USE) == ["pytest"]
    assert await listed(server.tags, prefix="x" * limits.TAG_CHARACTERS) == []


async def test_pages_skip_nothing_and_repeat_nothing_while_tags_are_added(
    server: RunningServer, database_url: str
) -> None:
    names = [f"t{number:02}" for number in range(20)]
    await add_tags(database_url, names)
    request, seen = pb.ListTagsRequest(prefix="t", page_size=6), []
    while True:
        page = await server.tags.ListTags(request)
        seen += [tag.name for tag in page.tags]
        if not page.next_page_token:
            break
        last = seen[-1]
        # Before what was read, and right behind it.
        await add_tags(database_url, [f"s{last}", f"t00-{last}", f"{last}-next"])
        request.page_token, request.page_size = page.next_page_token, 7
    assert seen == sorted(seen)
    assert set(names) < set(seen)
    assert [name for name in seen if name.endswith("-next")] == ["t05-next", "t11-next", "t17-next"]


async def test_the_last_full_page_says_that_it_is_the_last(server: RunningServer, database_url: str) -> None:
    await add_tags(database_url, ["a", "b", "c", "d"])
    first = await server.tags.ListTags(pb.ListTagsRequest(page_size=2))
    assert first.next_page_token
    request = pb.ListTagsRequest(page_size=2, page_token=first.next_page_token)
    second = await server.tags.ListTags(request)
    assert [tag.name for tag in second.tags] == ["c", "d"]
    assert second.next_page_token == ""


async def test_a_page_is_as_large_as_asked_up_to_five_hundred(server: RunningServer, database_url: str) -> None:
    assert await listed(server.tags) == []
    values = "'t' || lpad(n::text, 4, '0') FROM generate_series(1, 600) AS n"
    await administer(database_url, ADD_TAGS.format(columns="", values=values))
    for order in (pb.TAG_ORDER_UNSPECIFIED, pb.TAG_ORDER_USE):
        sizes = [len(await listed(server.tags, order=order, page_size=size)) for size in (0, 1, 500, 501, 2**31 - 1)]
        assert sizes == [50, 1, 500, 500, 500]


async def test_no_page_exceeds_two_mebibytes(server: RunningServer, database_url: str) -> None:
    wide = "repeat('\U00020000', {})".format
    tags = f"'t' || lpad(n::text, 4, '0'), {wide(500)} FROM generate_series(1, 500) AS n"
    await administer(database_url, ADD_TAGS.format(columns=", description", values=tags))
    aliases = f"SELECT {wide(40)} || n || '-' || tags.name, tags.id FROM tags, generate_series(1, 20) AS n"  # noqa: S608 - our own names
    await administer(database_url, f"INSERT INTO tag_aliases (name, tag_id) {aliases}")
    names, request = [], pb.ListTagsRequest(page_size=500)
    pages = 0
    while not pages or request.page_token:
        page = await server.tags.ListTags(request)
        assert page.ByteSize() <= limits.RESPONSE_BYTES
        names += [tag.name for tag in page.tags]
        request.page_token, pages = page.next_page_token, pages + 1
    assert pages == 2
    assert names == [f"t{number:04}" for number in range(1, 501)]
    by_use = await server.tags.ListTags(pb.ListTagsRequest(page_size=500, order=pb.TAG_ORDER_USE))
    assert by_use.ByteSize() <= limits.RESPONSE_BYTES
    assert [tag.name for tag in by_use.tags] == names[: len(by_use.tags)]
    assert 300 < len(by_use.tags) < 500
    assert by_use.next_page_token == ""


async def test_the_most_used_tags_come_first_and_equals_by_name(server: RunningServer, database_url: str) -> None:
    await contribute(server, 1, "b", "a", "z")
    await contribute(server, 2, "z", "c")
    await contribute(server, 3, "z", "b")
    await add_tags(database_url, ["unused", "d"])
    tags = (await server.tags.ListTags(pb.ListTagsRequest(order=pb.TAG_ORDER_USE, page_size=5))).tags
    assert [(tag.name, tag.trace_count) for tag in tags] == [("z", 3), ("b", 2), ("a", 1), ("c", 1), ("d", 0)]
    by_name = (await server.tags.ListTags(pb.ListTagsRequest())).tags
    assert {tag.name: tag.trace_count for tag in by_name} == {"a": 1, "b": 2, "c": 1, "d": 0, "unused": 0, "z": 3}


async def test_a_listed_tag_says_what_a_tag_that_is_read_says(server: RunningServer) -> None:
    await contribute(server, 1, "python", "k8s")
    await merge(server.tags, "snake", "python")
    tags = (await server.tags.ListTags(pb.ListTagsRequest())).tags
    assert [list(tag.aliases) for tag in tags] == [["k8s"], ["py", "python3", "snake"]]
    assert list(tags) == [await get(server.tags, tag.name) for tag in tags]


async def test_spellings_are_resolved_in_their_order(server: RunningServer) -> None:
    await contribute(server, 1, "python", "cpp")
    await merge(server.tags, "snake", "python")
    await merge(server.tags, "csharp", "dotnet")
    long = "x" * 300
    names = ["python", " Python ", "snake", "C++", "c#", "golang", "new one", "c++ c", "", long, "python"]
    response = await server.tags.ResolveTags(pb.ResolveTagsRequest(names=names))
    existing, new, invalid = pb.TAG_STATE_EXISTING, pb.TAG_STATE_NEW, pb.TAG_STATE_INVALID
    assert [(r.given, r.name, r.state, r.is_normalised, r.alias) for r in response.resolved] == [
        ("python", "python", existing, False, ""),
        (" Python ", "python", existing, True, ""),
        ("snake", "python", existing, True, "snake"),
        ("C++", "cpp", existing, True, "c++"),
        ("c#", "dotnet", existing, True, "csharp"),
        ("golang", "go", new, True, "golang"),
        ("new one", "new-one", new, True, ""),
        ("c++ c", "", invalid, False, ""),
        ("", "", invalid, False, ""),
        ("x" * 200, "", invalid, False, ""),
        ("python", "python", existing, False, ""),
    ]
    assert [r.problem for r in response.resolved if r.state == invalid] == [
        "'c++ c' has the character U+002B, which no tag may have",
        "'' has no letter or digit",
        f"'{'x' * 57}...' is longer than 50 characters",
    ]
    assert not any(r.problem for r in response.resolved if r.state != invalid)
    assert await listed(server.tags) == ["cpp", "dotnet", "python"]


async def test_a_hundred_spellings_and_a_megabyte_of_them(server: RunningServer) -> None:
    names = ["C++"] * (limits.RESOLVE_TAGS - 1) + ["\U0001f600" * 260_000]
    resolved = (await server.tags.ResolveTags(pb.ResolveTagsRequest(names=names))).resolved
    assert [r.name for r in resolved] == ["cpp"] * (limits.RESOLVE_TAGS - 1) + [""]
    assert resolved[-1].given == "\U0001f600" * 200


async def test_a_repeated_update_is_answered_as_before(server: RunningServer) -> None:
    await contribute(server, 1, "go")
    request = pb.UpdateTagRequest(
        tag=tag_pb2.Tag(name="go", description="first"),
        update_mask=FieldMask(paths=["description"]),
        request_id=str(uuid4()),
    )
    answer = await server.tags.UpdateTag(request)
    await update(server.tags, ["description"], name="go", description="second")
    assert await server.tags.UpdateTag(request) == answer
    assert (await get(server.tags, "go")).description == "second"
