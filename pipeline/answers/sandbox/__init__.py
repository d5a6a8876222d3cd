"""Code that a model wrote, run against its tests where it can do no harm."""

from pipeline.answers.sandbox.programs import CONTAINER_FLAGS, INSTALL, Limits, require_sandbox, run_tests

__all__ = ["CONTAINER_FLAGS", "INSTALL", "Limits", "require_sandbox", "run_tests"]
