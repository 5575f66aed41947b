"""docs/score_your_own.md: its numpy snippets and its command run as they are written."""

import contextlib
import io
import json
import pathlib
import re
import shlex

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
BLOCKS = re.findall(
    r"```(\w+)\n(.*?)```", (ROOT / "docs" / "score_your_own.md").read_text(), flags=re.S
)
FACTORS = np.tile(np.stack(np.unravel_index(np.arange(4 * 5 * 6), (4, 5, 6)), axis=1), (5, 1))
CODES = (FACTORS + np.random.default_rng(0).normal(0, 0.05, FACTORS.shape)).astype(np.float32)


def run(block):
    """What a block prints, as the dict it is."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(block, {"codes": CODES, "factors": FACTORS, "np": np})
    return json.loads(printed.getvalue().replace("'", '"'))


def test_the_numpy_snippets_run_and_score_a_good_code_well():
    blocks = [
        block
        for language, block in BLOCKS
        if language == "python" and "torch" not in block and "jax" not in block
    ]
    assert [len(block.strip().splitlines()) for block in blocks] == [3, 3, 4]
    assert run(blocks[0]) == run(blocks[1])
    assert run(blocks[1])["mig"] > 0.9
    assert run(blocks[2])["disentanglement"] > 0.95


def test_the_snippets_of_other_frameworks_are_python_of_three_lines():
    blocks = [
        block
        for language, block in BLOCKS
        if language == "python" and ("torch" in block or "jax" in block)
    ]
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "docs/score_your_own.md", "exec")
        assert len(block.strip().splitlines()) == 3


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_the_command_runs_on_both_kinds_of_file(suffix, tmp_path, monkeypatch, run_command):
    (command,) = [block for language, block in BLOCKS if language == "sh"]
    monkeypatch.chdir(tmp_path)
    if suffix == ".npz":
        np.savez("both.npz", codes=CODES, factors=FACTORS)
        command = command.replace("codes.npy", "both.npz").replace(" --factors=factors.npy", "")
    else:
        np.save("codes.npy", CODES)
        np.save("factors.npy", FACTORS)
    code, out, err = run_command(*shlex.split(command.replace("\\\n", " ")))
    assert (code, err) == (0, "")
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert scores["mig"]["mig"] > 0.9
    assert scores["factor_vae"]["eval_accuracy"] == 1.0
    assert scores["mcc"]["mcc_pearson"] > 0.99
    assert "mig.mig" in out
