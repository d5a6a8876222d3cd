"""What the tests of several modules share."""

from collections.abc import Iterator

import pytest

from tests.fake_teacher import FakeTeacher


@pytest.fixture(scope="module")
def teacher() -> Iterator[FakeTeacher]:
    """A fake teacher that serves one module's tests."""
    with FakeTeacher() as teacher:
        yield teacher
