"""`da-bench search`."""

import json

from da_bench.studies import fit


def test_a_search_is_a_program_a_method_with_source_only_beside_it_and_has_a_table_of_its_own(command, monkeypatch):
    build, built = fit.InMemory, []
    monkeypatch.setattr(fit, "InMemory", lambda *args: built.append(len(args[0])) or build(*args))
    brief = ["--training.steps", "4", "--training.evaluations", "2", "--trials", "3", "--seeds", "2"]
    code, out, _ = command("search", "coral", "--task", "moons/35", *brief)
    assert (code, built) == (0, [6, 6])
    assert "Search, moons/35" in out
    assert out.count("3 × 2") == 2 * 4  # both methods, by each of four rules
    code, table, _ = command("table", "--of", "search", "--rule", "im", "--format", "json")
    (found,) = json.loads(table)
    assert code == 0
    assert [row["method"] for row in found["rows"]] == ["source_only"] * 4 + ["coral"] * 4
    assert command("search", "coral", "--task", "moons/35", *brief)[1] == out
