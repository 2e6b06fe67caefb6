"""Reading whole lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_dataphin import FakeDataphin, paged
from phinops.arrive.paging import MAX_PAGES, ListApi, Listing, read_all
from phinops.errors import Malformed
from phinops.vendor import read_id, read_object


def things() -> ListApi:
    def query(page: int, size: int) -> Mapping[str, Any]:
        return {"Page": page, "PageSize": size}

    def read(row: object) -> tuple[str, Any]:
        record = read_object(row, "Thing")
        return read_id(record), record

    return ListApi("ListThings", "Result", "Things", query, read)


async def read_pages(answer: Any, most: int | None = None) -> Listing:
    return await read_all(FakeDataphin({"ListThings": answer}), things(), most)


def result(rows: Any, total: Any) -> Mapping[str, Any]:
    return {"Result": {"Things": rows, "TotalCount": total}}


def rows(count: int) -> list[dict[str, Any]]:
    return [{"Id": str(place)} for place in range(count)]


@pytest.mark.parametrize(("count", "calls"), [(0, 1), (1, 1), (100, 1), (101, 2), (250, 3)])
async def test_a_list_takes_as_many_calls_as_it_has_pages_of_a_hundred(count: int, calls: int) -> None:
    listing = await read_pages(lambda query: result(*paged(rows(count), query)))
    assert (len(listing.values), listing.calls, listing.total, listing.faults) == (count, calls, count, [])


@pytest.mark.parametrize("clamp", [1, 7, 50, 99])
async def test_pages_that_are_cut_lose_no_row(clamp: int) -> None:
    listing = await read_pages(lambda query: result(*paged(rows(130), query, clamp=clamp)))
    assert len(listing.values) == 130


async def test_rows_that_moved_to_a_page_already_read_are_found_by_a_second_reading() -> None:
    held = rows(150)

    def answer(query: Mapping[str, Any]) -> Mapping[str, Any]:
        page = result(*paged(held, query))
        if len(held) == 150:
            held.insert(0, {"Id": "new"})
        return page

    listing = await read_pages(answer)
    assert (len(listing.values), listing.calls) == (151, 4)


async def test_rows_that_stay_hidden_are_a_fault() -> None:
    listing = await read_pages(lambda query: result(rows(100), 150))
    assert [fault.reason for fault in listing.faults] == ["50 of 150 rows not seen: pages shifted"]
    assert len(listing.values) == 100


async def test_a_count_that_the_rows_never_reach_ends_with_an_empty_page() -> None:
    listing = await read_pages(lambda query: result(paged(rows(120), query)[0], 500))
    assert (len(listing.values), listing.calls) == (120, 6)


async def test_a_row_that_comes_twice_on_the_only_page_is_no_fault() -> None:
    listing = await read_pages(lambda _: result([*rows(3), {"Id": "1"}], 4))
    assert (len(listing.values), listing.calls, listing.faults) == (3, 1, [])


async def test_without_a_count_pages_are_read_until_one_is_short_or_brings_nothing_new() -> None:
    listing = await read_pages(lambda query: result(paged(rows(250), query)[0], None))
    assert (len(listing.values), listing.calls, listing.total) == (250, 3, 250)
    listing = await read_pages(lambda query: result(rows(100), ""))
    assert (len(listing.values), listing.calls) == (100, 2)


async def test_a_list_that_is_too_long_is_given_up_after_its_first_page() -> None:
    listing = await read_pages(lambda query: result(*paged(rows(301), query)), most=3)
    assert (listing.calls, len(listing.values), listing.faults) == (1, 100, [])


async def test_a_list_that_never_ends_is_not_read_for_ever() -> None:
    endless = 0

    def answer(_: Mapping[str, Any]) -> Mapping[str, Any]:
        nonlocal endless
        endless += 100
        return result([{"Id": str(endless + place)} for place in range(100)], None)

    assert (await read_pages(answer)).calls == MAX_PAGES


async def test_what_lies_behind_the_last_page_that_is_read_is_a_fault() -> None:
    listing = await read_pages(lambda query: result(*paged(rows(MAX_PAGES + 5), query, clamp=1)))
    assert listing.calls == MAX_PAGES
    assert [fault.reason for fault in listing.faults] == ["5 of 305 rows not seen: more than 300 pages"]


async def test_a_broken_row_is_named_by_its_id_or_its_place() -> None:
    listing = await read_pages(lambda _: result([{"Id": "1"}, "x", {"Id": ["y"]}, None], 4))
    assert list(listing.values) == ["1"]
    assert [fault.reason for fault in listing.faults] == [
        "Thing: a text where an object was expected (page 1 row 2)",
        "Id: a list where a text was expected (Id ['y'])",
        "Id is missing (page 1 row 4)",
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Result is missing"),
        ({"Result": []}, "Result is a list where an object was expected"),
        ({"Result": {"Things": {}}}, "Result.Things: an object where a list was expected"),
        ({"Result": {"Things": [], "TotalCount": "x"}}, "Result.TotalCount: «x» is not a count"),
    ],
)
async def test_an_envelope_that_cannot_be_read_is_malformed(body: Any, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        await read_pages(lambda _: body)
    assert (caught.value.api, caught.value.message, caught.value.request_id) == ("ListThings", message, "r-1")


@given(
    count=st.integers(0, 420),
    clamp=st.integers(1, 120),
    inserted=st.lists(st.integers(0, 3), max_size=12),
)
@settings(max_examples=80, deadline=None)
async def test_a_list_that_grows_at_its_front_while_it_is_read_is_read_or_reported(
    count: int, clamp: int, inserted: list[int]
) -> None:
    held = rows(count)
    grows = list(inserted)

    def answer(query: Mapping[str, Any]) -> Mapping[str, Any]:
        page = result(*paged(held, query, clamp=max(clamp, 20)))
        for _ in range(grows.pop() if grows else 0):
            held.insert(0, {"Id": f"new{len(held)}"})
        return page

    listing = await read_pages(answer)
    missing = {row["Id"] for row in rows(count)} - set(listing.values)
    assert not missing or listing.faults
