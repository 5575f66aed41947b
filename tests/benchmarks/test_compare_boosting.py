"""benchmarks/compare_boosting.py: goes on where it was killed, and sums up what docs/metrics.md
shows.
"""

import importlib.util
import json
import pathlib
import sys

import pytest

PATH = pathlib.Path(__file__).parents[2] / "benchmarks" / "compare_boosting.py"


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("compare_boosting", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.os, "nice", lambda increment: None)
    return module


def test_the_summary_by_hand(script):
    first, again, fast = [0.1, 0.5, 0.9], [0.2, 0.5, 0.7], [0.1, 0.9, 0.8]
    found = {}
    for number in range(3):
        for run, values in (
            (("sklearn", 0), first),
            (("sklearn", 1), again),
            (("lightgbm_exact", 0), fast),
        ):
            found[f"t{number}", *run] = {"disentanglement": values[number]}
    found["unfinished", "sklearn", 0] = {"disentanglement": 0.0}
    summed = script.summary(found, ["t0", "t1", "t2", "unfinished"])
    entry = {"tables": 3, "mean": 0.1667, "largest": 0.4, "signed": 0.1, "ranks": 0.5}
    assert summed["lightgbm_exact_against_sklearn"]["disentanglement"] == entry
    assert summed["sklearn_against_itself"]["disentanglement"]["ranks"] == 1.0
    assert (
        "| disentanglement | 3 | 0.1667, 0.4000, 0.500 | 0.1000, 0.2000, 1.000 |"
        in script.markdown(summed)
    )


def test_a_killed_run_goes_on_at_the_score_it_was_in(script, tmp_path, monkeypatch, capsys):
    calls = []

    def score(table, backend, seed, points):
        calls.append((backend, seed))
        return {"disentanglement": float(seed)}

    monkeypatch.setattr(script, "score", score)
    monkeypatch.setattr(script, "tables", lambda arguments: iter([("one", None)]))
    output = tmp_path / "boosting.jsonl"
    monkeypatch.setattr(sys, "argv", ["compare_boosting.py", "--points=50", f"--output={output}"])
    script.main()
    assert calls == list(script.RUNS)
    lines = output.read_text().splitlines()
    output.write_text("\n".join([*lines[:2], lines[2][:30]]))  # killed while it wrote
    calls.clear()
    script.main()
    assert calls == [("lightgbm_exact", 0)]
    assert json.loads(output.read_text().splitlines()[-1])["backend"] == "lightgbm_exact"
    calls.clear()
    script.main()
    assert calls == []
    assert (
        "| disentanglement | 1 | 0.0000, 0.0000, nan | 1.0000, 1.0000, nan |"
        in capsys.readouterr().out
    )
