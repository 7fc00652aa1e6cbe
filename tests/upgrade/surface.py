"""What of the schema does a release's code rely on, and does a newer schema still give it all of that?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COLUMNS = """
select c.relname as relation, c.relkind in ('r', 'p') as stored, a.attname as name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required,
       a.atthasdef or a.attidentity <> '' as filled
from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid
where c.relnamespace = 'ml_guard'::regnamespace and c.relkind in ('r', 'p', 'v') and a.attnum > 0 and not a.attisdropped"""

_FUNCTIONS = """
select p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' as name,
       coalesce(pg_catalog.pg_get_function_result(p.oid), 'procedure') as result
from pg_catalog.pg_proc p where p.pronamespace = 'ml_guard'::regnamespace"""

_UNIQUE = """
select t.relname as relation, pg_catalog.pg_get_indexdef(i.indexrelid) as definition
from pg_catalog.pg_index i join pg_catalog.pg_class t on t.oid = i.indrelid
where t.relnamespace = 'ml_guard'::regnamespace and i.indisunique"""

_CHECKS = """
select t.relname as relation, pg_catalog.pg_get_constraintdef(k.oid) as definition
from pg_catalog.pg_constraint k join pg_catalog.pg_class t on t.oid = k.conrelid
where t.relnamespace = 'ml_guard'::regnamespace and k.contype in ('c', 'f')"""


@dataclass(frozen=True)
class Column:
    """A column of a table, or of a view."""

    stored: bool
    type: str
    required: bool
    filled: bool


@dataclass(frozen=True)
class Surface:
    """Columns by relation and name, results by function, and rules by table: unique keys, checks, references."""

    columns: dict[tuple[str, str], Column]
    functions: dict[str, str]
    unique: frozenset[tuple[str, str]]
    checks: frozenset[tuple[str, str]]

    @property
    def relations(self) -> set[str]:
        """Tables and views."""
        return {relation for relation, _ in self.columns}


async def surface(connection: Any) -> Surface:
    """Of the schema as it is."""
    columns = {
        (row["relation"], row["name"]): Column(row["stored"], row["type"], row["required"], row["filled"])
        for row in await connection.fetch(_COLUMNS)
    }
    unique = await connection.fetch(_UNIQUE)
    return Surface(
        columns,
        {row["name"]: row["result"] for row in await connection.fetch(_FUNCTIONS)},
        frozenset((row["relation"], re.sub(r"^.* USING ", "", row["definition"])) for row in unique),
        frozenset((row["relation"], row["definition"]) for row in await connection.fetch(_CHECKS)),
    )


def taken_away(before: Surface, after: Surface) -> list[str]:
    """What code that was written for `before` would miss, or be refused, on `after`."""
    found = [*_lost(before, after), *_required(before, after)]
    for name, result in before.functions.items():
        if after.functions.get(name) != result:
            found.append(f"{name} gives {after.functions.get(name, 'nothing')}, gave {result}")
    found += [f"{table} is not unique by {rule} any more" for table, rule in before.unique - after.unique]
    for rules in (after.unique - before.unique, after.checks - before.checks):
        found += [
            f"{table} has a new rule: {rule}" for table, rule in rules if _binds(table, rule, before, after)
        ]
    return sorted(found)


def _lost(before: Surface, after: Surface) -> Iterator[str]:
    for (relation, name), column in before.columns.items():
        now = after.columns.get((relation, name))
        if now is None:
            yield f"{relation}.{name} is gone"
        elif now.type != column.type:
            yield f"{relation}.{name} is {now.type}, was {column.type}"
        elif now.required != column.required:
            yield f"{relation}.{name} {'is required' if now.required else 'may be null'} now"
        elif column.filled and not now.filled:
            yield f"{relation}.{name} has no default any more"


def _required(before: Surface, after: Surface) -> Iterator[str]:
    for (relation, name), column in after.columns.items():
        new = (relation, name) not in before.columns and relation in before.relations
        if new and column.stored and column.required and not column.filled:
            yield f"{relation}.{name} is new, required and has no default"


def _binds(table: str, rule: str, before: Surface, after: Surface) -> bool:
    """Whether a new rule can refuse rows that code of before writes: one on its own new columns cannot."""
    if table not in before.relations:
        return False
    new = {name for relation, name in after.columns if relation == table} - {
        name for relation, name in before.columns if relation == table
    }
    return not any(re.search(rf"\b{re.escape(name)}\b", rule) for name in new)
