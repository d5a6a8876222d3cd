"""One door in front of one ledger of paid replies; the only asynchronous code."""

from pipeline.teacher.keys import record_of as record_of_teacher
from pipeline.teacher.teachers import Teachers

__all__ = ["Teachers", "record_of_teacher"]
