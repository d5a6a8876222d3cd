"""Problems that reasoning-gym generates: `reasoning_gym:chain_sum?min_terms=2&size=500&seed=1`.

A seed counts the problems: item i of seed s is item i - 1 of seed s + 1, so two sources need seeds further apart than
their sizes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote

import yaml

from pipeline.choices import nearest
from pipeline.errors import UsageError

PREFIX = "reasoning_gym:"


@dataclass(frozen=True)
class Address:
    """A data set of reasoning-gym and what it is generated with."""

    name: str
    parameters: Mapping[str, Any]
    """Of the data set; all but `size` and `seed`."""
    scorer: str
    """Address of the scorer of these problems: without size and seed, which it does not depend on."""
    size: int | None = None
    """Problems generated; None leaves it to the data set (500)."""
    seed: int = 0

    @classmethod
    def of(cls, path: str) -> "Address":
        """Read an address; values are typed as YAML types them.

        Raises:
            UsageError: a parameter without a value, or a size or seed that is no number.
        """
        name, _, query = path.removeprefix(PREFIX).partition("?")
        values = {key: _typed(value, path) for key, value in _items(query, path)}
        numbers = {key: values.pop(key) for key in ("size", "seed") if key in values}
        for key, number in numbers.items():
            if type(number) is not int:
                raise UsageError(f"{path}: {key} is a whole number, found {number!r}")
        kept = "&".join(f"{key}={value}" for key, value in _items(query, path) if key in values)
        return cls(name, values, f"{PREFIX}{name}?{kept}".rstrip("?"), **numbers)


def entries(path: str) -> Iterator[dict[str, Any]]:
    """The problems of an address, each with `question`, `answer` and `metadata`.

    Raises:
        UsageError: an unknown data set or parameter, or a value that the data set refuses.
    """
    address = Address.of(path)
    from reasoning_gym.factory import DATASETS, create_dataset

    if address.name not in DATASETS:
        raise UsageError(f"{path}: reasoning-gym has no data set {address.name!r}", nearest(address.name, [*DATASETS]))
    known = DATASETS[address.name][1].__dataclass_fields__
    for parameter in address.parameters:
        if parameter not in known:
            raise UsageError(f"{path}: {address.name} has no parameter {parameter!r}", nearest(parameter, [*known]))
    size = {} if address.size is None else {"size": address.size}
    try:
        dataset = create_dataset(address.name, **address.parameters, **size, seed=address.seed)
    except (AssertionError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: {address.name} refuses its parameters: {error}") from None
    return (dataset[index] for index in range(len(dataset)))


def package_version() -> str:
    """The version that generates these problems."""
    return version("reasoning-gym")


def _items(query: str, path: str) -> list[tuple[str, str]]:
    items = [item.partition("=") for item in query.split("&") if item]
    for key, equals, _ in items:
        if not equals:
            raise UsageError(f"{path}: expected parameter=value, found {key!r}")
    return [(key, value) for key, _, value in items]


def _typed(value: str, path: str) -> Any:
    try:
        return yaml.safe_load(unquote(value))
    except yaml.YAMLError:
        raise UsageError(f"{path}: {value!r} is not a value as YAML writes it") from None
