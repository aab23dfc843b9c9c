"""All checks. They run in the order of these imports: what fails early explains what fails later."""

from da_bench.testing.checks import interface, terms, training, isolation, classical  # noqa: F401, I001
