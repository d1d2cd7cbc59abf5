"""The first rule that fits a file and can be followed decides its way; a share of documents is always the same one."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.models.documents import TenantId
from advanced_rag.models.parsed import DocumentKind
from advanced_rag.models.routing import OTHERWISE, Decision, Facts, Route, Rule, decide, fits, place

FACTS = Facts(TenantId("default"), "plan", "visual", has_scans=False, media_type="image/png", bytes=1000, pages=3)
ALL: tuple[Route, ...] = get_args(Route)
KINDS = st.sampled_from(get_args(DocumentKind))
TYPES = st.sampled_from(["application/pdf", "image/png", "image/tiff", "text/plain"])
TENANTS = st.sampled_from(["default", "acme", "initech"])
NUMBERS = st.integers(0, 100)
RULES = st.builds(
    Rule,
    name=st.text(min_size=1, max_size=5),
    route=st.sampled_from(ALL),
    kinds=st.sets(KINDS, max_size=2),
    has_scans=st.none() | st.booleans(),
    media_types=st.sets(TYPES | st.sampled_from(["image/*", "text/*"]), max_size=2),
    min_bytes=st.none() | NUMBERS,
    max_bytes=st.none() | NUMBERS,
    min_pages=st.none() | NUMBERS,
    max_pages=st.none() | NUMBERS,
    tenants=st.sets(TENANTS, max_size=2),
    percent=st.floats(0, 100),
)
FILES = st.builds(
    Facts,
    tenant=TENANTS.map(TenantId),
    document_id=st.text(max_size=8),
    kind=KINDS,
    has_scans=st.booleans(),
    media_type=TYPES,
    bytes=NUMBERS,
    pages=NUMBERS,
)


@given(FILES, st.lists(RULES, max_size=6), st.sets(st.sampled_from(ALL)))
def test_the_first_rule_that_fits_and_can_be_followed_decides(facts, rules, possible):
    decision = decide(facts, rules, possible)
    fitting = [rule for rule in rules if fits(rule, facts) and rule.route in possible]
    assert decision == (Decision(fitting[0].route, fitting[0].name) if fitting else OTHERWISE)


@given(FILES, RULES)
def test_a_rule_fits_when_each_of_its_conditions_would_by_itself(facts, rule):
    blank = Rule(rule.name, rule.route)
    conditions = [name for name in Rule.__slots__ if name not in {"name", "route"}]
    alone = [fits(replace(blank, **{name: getattr(rule, name)}), facts) for name in conditions]
    assert fits(blank, facts)
    assert fits(rule, facts) == all(alone)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"kinds": ["visual", "code"]}, True),
        ({"kinds": ["code"]}, False),
        ({"has_scans": False}, True),
        ({"has_scans": True}, False),
        ({"media_types": ["image/png"]}, True),
        ({"media_types": ["image/*"]}, True),
        ({"media_types": ["application/*", "image/tiff"]}, False),
        ({"min_bytes": 1000, "max_bytes": 1000}, True),
        ({"min_bytes": 1001}, False),
        ({"max_bytes": 999}, False),
        ({"min_pages": 3, "max_pages": 3}, True),
        ({"min_pages": 4}, False),
        ({"max_pages": 2}, False),
        ({"tenants": ["acme", "default"]}, True),
        ({"tenants": ["acme"]}, False),
        ({"percent": 100}, True),
        ({"percent": 0}, False),
    ],
)
def test_each_condition_means_what_it_is_called(condition, expected):
    assert fits(Rule("rule", "visual", **condition), FACTS) is expected


@given(FILES, st.floats(0, 100), st.floats(0, 100))
def test_a_document_that_goes_a_way_still_does_when_the_share_grows(facts, one, other):
    smaller, larger = sorted((one, other))
    assert fits(Rule("rule", "ocr", percent=smaller), facts) <= fits(Rule("rule", "ocr", percent=larger), facts)


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_the_share_is_what_was_asked_for(percent):
    rule = Rule("rule", "ocr", percent=percent)
    taken = sum(fits(rule, replace(FACTS, document_id=f"document-{number}")) for number in range(10_000))
    assert taken / 100 == pytest.approx(percent, abs=1.5)


@given(st.text(), st.text())
def test_a_place_is_a_share_of_a_hundred_and_a_tenants_own(document_id, tenant):
    found = place(TenantId(tenant), document_id)
    assert 0 <= found < 100
    assert found == place(TenantId(tenant), document_id)
    assert found != place(TenantId(f"{tenant}x"), document_id)
