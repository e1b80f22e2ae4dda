"""The one table of kinds: complete, and each order key in exactly one topic."""

from __future__ import annotations

from collections import defaultdict

from libs.canonical.kinds import KINDS, RESERVED, Kind, Nature


def test_every_kind_has_its_row() -> None:
    """And every row is of the kind under which it stands."""
    assert set(KINDS) == set(Kind)
    assert all(spec.kind is kind for kind, spec in KINDS.items())


def test_an_order_key_lives_in_one_topic() -> None:
    """Keys are made of the entity: two topics for one entity would be two orders for one key."""
    topics = defaultdict(set)
    for spec in KINDS.values():
        topics[spec.entity].add(spec.topic)
    assert {entity: len(names) for entity, names in topics.items() if len(names) != 1} == {}


def test_everything_about_a_sale_is_in_one_topic() -> None:
    """A refund must never overtake its sale."""
    about_sales = {k for k in Kind if k.value.startswith(("sale.", "refund."))}
    assert {KINDS[kind].topic for kind in about_sales} == {"retail.sales"}
    assert {KINDS[kind].nature for kind in about_sales} == {Nature.FACT}


def test_an_entity_is_all_facts_or_all_states() -> None:
    """Mixed, a newer state could supersede a fact that waits."""
    natures = defaultdict(set)
    for spec in KINDS.values():
        natures[spec.entity].add(spec.nature)
    assert all(len(found) == 1 for found in natures.values())


def test_topics_and_names_are_plain() -> None:
    """Small letters and one dot."""
    assert all(spec.topic.removeprefix("retail.").isalpha() for spec in KINDS.values())
    assert all(spec.topic.startswith("retail.") for spec in KINDS.values())


def test_reserved_names_are_not_used() -> None:
    """A name that is taken for later means nothing else today."""
    assert RESERVED & {kind.value for kind in Kind} == set()
    assert len(RESERVED) == 16
