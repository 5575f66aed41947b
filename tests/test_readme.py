"""What the README says is what runs: its quickstart is the Makefile's, word for word."""

import pathlib
import re

from dlib_tf2.configuration import gin_utils

REPO = pathlib.Path(__file__).parents[1]
README = (REPO / "README.md").read_text(encoding="utf-8")


def quickstart_of_the_makefile():
    recipe = re.search(r"^quickstart:.*\n((?:\t.*\n)+)", (REPO / "Makefile").read_text(), re.M)[1]
    return [
        line.strip()
        for line in recipe.replace("\\\n", " ").splitlines()
        if line.startswith("\tdlib_")
    ]


def test_the_quickstart_runs_the_commands_of_the_readme():
    commands = re.findall(
        r"^    (dlib_.*)$", README.split("`make quickstart` runs these")[1].split("\n## ")[0], re.M
    )
    assert [command.split()[0] for command in commands] == [
        "dlib_train",
        "dlib_postprocess",
        "dlib_evaluate",
    ]
    assert quickstart_of_the_makefile() == commands


def test_the_container_runs_the_quickstart_as_an_ordinary_user():
    lines = (REPO / "Dockerfile").read_text().splitlines()
    assert lines[-1] == 'CMD ["make", "quickstart"]'
    assert "USER user" in lines
    assert any("libgomp1" in line for line in lines)


def test_the_glossary_has_ten_words_of_one_line_each():
    section = README.split("## Ten words")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \| (.*) \|$", section, re.M)
    assert len(rows[1:]) == 10
    words = [word for word, _ in rows[1:]]
    assert sorted(set(words)) == sorted(words)
    assert all(len(meaning) <= 120 for _, meaning in rows)


def test_the_quickstart_scores_what_its_suite_says():
    files = ["suites/quickstart.gin"]
    assert gin_utils.GinText(files).value("evaluate.metrics") == ["mig", "factor_vae", "dci"]
    assert gin_utils.GinText(files).value("dci.num_train") == 1000
    assert gin_utils.GinText(files).value("dci.num_test") == 500
