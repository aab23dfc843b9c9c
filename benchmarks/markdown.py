"""Markdown of the benchmarks' reports."""


def markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table.

    Args:
        header: titles of the columns.
        rows: cells of each row, as many as there are titles.

    Returns:
        The lines, without line breaks.
    """
    return ["| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *rows]]
