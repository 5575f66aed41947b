"""Gin files found by name, every mistake as one line, and the configuration as typed data."""

import logging
import re
import subprocess
import sys

import gin
import pytest

from dlib_tf2.configuration import gin_utils
from dlib_tf2.errors import UserError


@gin.register
def gin_test_leaf(size=1, name=None, *, options=()):
    return size, name, options


@gin.configurable
def whole_step_of_tests(steps=gin.REQUIRED, model=None, rate=0.5):
    return steps, model, rate


@pytest.fixture(autouse=True)
def clean_gin():
    gin.clear_config()
    yield
    gin.clear_config()


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes gin files into the current folder, which is empty."""
    monkeypatch.chdir(tmp_path)

    def files(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.gin").write_text(text)
        return [f"{name}.gin" for name in texts]

    return files


@pytest.fixture
def refused(write):
    """Parses files and bindings that are wrong: the message, which is one line.

    `check`, which imports nothing, says the same or nothing.
    """

    def message(files, *bindings):
        with pytest.raises(UserError) as caught:
            gin_utils.parse(files, bindings)
        text, said = str(caught.value), []
        try:
            gin_utils.GinText(files, bindings)
        except UserError as error:
            said.append(str(error))
        assert said in ([], [text])
        assert len(text.splitlines()) == 1
        assert "0x" not in text  # no addresses of objects
        return text

    return message


def leaf():
    return gin.get_configurable("gin_test_leaf")()


class TestFindingFiles:
    def test_a_packaged_file_is_found_by_name_from_any_folder(self, write):
        assert (
            gin_utils.find_file("models/beta_vae.gin")
            == gin_utils.config_dir() / "models" / "beta_vae.gin"
        )

    def test_a_local_file_wins(self, write, tmp_path):
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "beta_vae.gin").write_text("gin_test_leaf.size = 7")
        gin_utils.parse(["models/beta_vae.gin"])
        assert leaf()[0] == 7

    def test_an_absolute_path_is_taken_as_it_is(self, write, tmp_path):
        (name,) = write(mine="gin_test_leaf.size = 3")
        gin_utils.parse([str(tmp_path / name)])
        assert leaf()[0] == 3

    def test_a_missing_file_names_the_search_path_and_what_is_close(self, refused, tmp_path):
        message = refused(["models/beta_va.gin"])
        assert "'models/beta_va.gin' not found" in message
        assert str(tmp_path) in message
        assert str(gin_utils.config_dir()) in message
        assert "; did you mean models/beta_vae.gin" in message

    def test_what_does_not_exist_is_not_found(self, refused):
        assert "gin file 'no/such/thing.gin' not found in the current folder" in refused(
            ["no/such/thing.gin"]
        )

    @pytest.mark.parametrize(
        "name, kind",
        [
            ("", "a folder"),
            (".", "a folder"),
            ("models", "a folder"),
            ("/dev/null", "no regular file"),
        ],
    )
    def test_what_is_no_file_is_named_for_what_it_is(self, refused, name, kind):
        assert refused([name]).endswith(f" is {kind}; name a gin file")

    def test_a_module_that_ends_the_process_is_one_line(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        for number, (line, said) in enumerate(
            {
                "import sys; sys.exit(3)": "SystemExit(3)",
                "1 / 0": "ZeroDivisionError(division by zero)",
            }.items()
        ):
            (tmp_path / f"ends_{number}.py").write_text(f"\n{line}\n")
            with pytest.raises(
                UserError,
                match=re.escape(f"ends_{number}.py ended in {said} at line 2; correct the module"),
            ):
                gin_utils.parse([], [f"import ends_{number}"])

    def test_a_missing_include_names_who_includes_it(self, write, refused):
        write(b='include "gone.gin"')
        assert refused(write(a='include "b.gin"')).endswith("correct the name (included by b.gin)")

    def test_includes_in_a_circle_are_refused(self, write, refused):
        write(b='include "a.gin"')
        assert "a.gin -> b.gin -> a.gin; remove one include" in refused(write(a='include "b.gin"'))

    def test_a_file_may_be_included_twice(self, write):
        write(base="gin_test_leaf.size = 5", left='include "base.gin"', right='include "base.gin"')
        gin_utils.parse(["left.gin", "right.gin"])
        assert leaf()[0] == 5


class TestPrecedence:
    def test_the_includer_wins_over_the_included_and_bindings_over_all(self, write):
        write(
            base='SIZE = 1\ngin_test_leaf.size = %SIZE\ngin_test_leaf.name = "base"',
            top='include "base.gin"\nSIZE = 2',
        )
        gin_utils.parse(["top.gin"])
        assert leaf() == (2, "base", ())
        gin_utils.parse(["top.gin"], ["SIZE = 3", "gin_test_leaf.name = 'é'"])
        assert leaf() == (3, "é", ())

    def test_later_files_and_later_bindings_win(self, write):
        gin_utils.parse(write(a="gin_test_leaf.size = 1", b="gin_test_leaf.size = 2"))
        assert leaf()[0] == 2
        gin_utils.parse(["a.gin"], ["gin_test_leaf.size = 8", "gin_test_leaf.size = 9"])
        assert leaf()[0] == 9

    def test_a_binding_may_hold_several_lines_and_be_empty(self, write):
        gin_utils.parse([], ["gin_test_leaf.size = 4\ngin_test_leaf.name = 'x'", "", "  "])
        assert leaf()[:2] == (4, "x")

    def test_parsing_replaces_what_was_parsed_before(self, write):
        gin_utils.parse([], ["gin_test_leaf.size = 4"])
        gin_utils.parse([], ["gin_test_leaf.name = 'x'"])
        assert leaf()[:2] == (1, "x")

    def test_more_files_do_not_win_over_what_is_there(self, write):
        gin_utils.parse([], ["gin_test_leaf.size = 4"])
        gin_utils.parse_more(write(more="gin_test_leaf.size = 5\ngin_test_leaf.name = 'more'"))
        assert leaf()[:2] == (4, "more")

    def test_the_configuration_is_locked_after_parsing(self, write):
        gin_utils.parse([], [])
        with pytest.raises(RuntimeError, match="locked"):
            gin.bind_parameter("gin_test_leaf.size", 3)


class TestMacros:
    @pytest.mark.parametrize(
        "binding, close",
        [
            ("STEP = 1", "did you mean STEPS?"),
            ("steps = 1", "the files define STEPS, WIDTH"),
            ("a/STEPS = 1", "did you mean STEPS?"),
        ],
    )
    def test_a_mistyped_macro_is_refused_with_the_close_ones_or_all(
        self, write, refused, binding, close
    ):
        message = refused(
            write(m="STEPS = 1\nWIDTH = 2\nwhole_step_of_tests.steps = %STEPS"), binding
        )
        assert message == f"no parsed gin file defines the macro {binding.split()[0]}; {close}"

    def test_without_any_macro_the_message_says_so(self, write, refused):
        assert (
            refused([], "X = 1")
            == "no parsed gin file defines the macro X; the files define no macro"
        )

    def test_an_unset_macro_names_who_uses_it_and_how_to_set_it(self, write, refused):
        write(deep='gin_test_leaf.options = {"a": [1, (%DEPTH, 2)]}')
        message = refused(write(top='include "deep.gin"'))
        assert (
            message == "macro %DEPTH, which gin_test_leaf.options uses, is not set; add"
            ' --gin_bindings="DEPTH = ..."'
        )
        gin_utils.parse(["top.gin"], ["DEPTH = 3"])
        assert leaf()[2] == {"a": [1, (3, 2)]}

    def test_a_macro_that_only_an_overridden_binding_used_need_not_be_set(self, write):
        for binding in ("gin_test_leaf.size = 2", f"{__name__}.gin_test_leaf.size = 2"):
            gin_utils.parse(write(m="gin_test_leaf.size = %GONE"), [binding])
            assert leaf()[0] == 2

    def test_a_macro_of_the_command_line_may_serve_another_binding(self, write):
        gin_utils.parse([], ["X = 3", "gin_test_leaf.size = %X"])
        assert leaf()[0] == 3

    @pytest.mark.parametrize("text", ["A = %A", "A = %B\nB = [%A]", "A = %B\nB = %C\nC = {%A: 1}"])
    def test_a_macro_that_is_defined_by_itself_is_refused(self, write, refused, text):
        assert (
            refused(write(m=f"{text}\ngin_test_leaf.size = %A"))
            == "macro A is defined by itself; give it a value"
        )
        gin_utils.parse(["m.gin"], ["A = 1"])
        assert leaf()[0] == 1

    def test_a_macro_of_a_macro_is_followed(self, write):
        gin_utils.parse(write(m="A = %B\nB = 6\ngin_test_leaf.size = %A"))
        assert leaf()[0] == 6

    @pytest.mark.parametrize(
        "text, name",
        [("gin_test_leaf.size = %gin.REQUIRED", "gin_test_leaf.size"), ("S = %gin.REQUIRED", "S")],
    )
    def test_what_is_required_must_be_set(self, write, refused, text, name):
        assert refused(write(m=text)) == f'{name} must be set; add --gin_bindings="{name} = ..."'
        gin_utils.parse(["m.gin"], [f"{name} = 1"])


class TestMistakes:
    @pytest.mark.parametrize(
        "binding, expected, hint",
        [
            (
                "gin_test_lef.size = 1",
                "No configurable matching 'gin_test_lef'",
                "did you mean gin_test_leaf?",
            ),
            (
                "zzzzzz.size = 1",
                "No configurable matching 'zzzzzz'",
                "import the module that registers it, or correct the name",
            ),
            (
                "gin_test_leaf.sise = 1",
                "'gin_test_leaf' doesn't have a parameter named 'sise'",
                "did you mean size?",
            ),
            (
                "gin_test_leaf.zzz = 1",
                "doesn't have a parameter named 'zzz'",
                "it has size, name, options",
            ),
            (
                "gin_test_leaf.name = @whole_step_of_test",
                "No configurable matching reference '@whole_step_of_test'",
                "did you mean whole_step_of_tests?",
            ),
            (
                "gin_test_leaf.name = @s/whole_step_of_test()",
                "No configurable matching reference",
                "did you mean whole_step_of_tests?",
            ),
            ("import no.such.module", "No module named 'no'", "import no.such.module"),
        ],
    )
    def test_an_unknown_name_is_shown_with_its_place_and_what_is_close(
        self, write, refused, binding, expected, hint
    ):
        message = refused([], binding)
        assert expected in message
        assert binding in message
        assert message.endswith(hint)
        message = refused(write(m=f"\n\n{binding}\n"))
        assert 'In file "m.gin", line 3' in message
        assert message.endswith(hint)

    @pytest.mark.parametrize(
        "text",
        [
            "gin_test_leaf.size",
            "gin_test_leaf.size = = 3",
            "gin_test_leaf.size = word",
            "gin_test_leaf.size = é",
            "A = 1; B = 2",
        ],
    )
    def test_wrong_syntax_is_shown_with_its_line(self, write, refused, text):
        message = refused(write(m=f"\n\n{text}\n"))
        assert message.startswith("gin: m.gin, line 3")
        assert message.endswith("expected NAME = VALUE, with text in quotes")
        assert refused([], text).startswith("gin: --gin_bindings, line 1")
        if "word" in text:
            assert "'gin_test_leaf.size = word': Failed to parse token 'word'" in message

    def test_an_unfinished_statement_names_its_source(self, write, refused):
        assert "unfinished statement in m.gin" in refused(write(m="gin_test_leaf.size = [1, 2\n"))
        assert refused([], "gin_test_leaf.size = (1,").startswith(
            "gin: unfinished statement in --gin_bindings"
        )

    def test_a_file_that_is_no_text_is_named(self, write, refused, tmp_path):
        (tmp_path / "model.gin").write_bytes(b"PK\xff\xfe")
        assert (
            refused(["model.gin"])
            == "gin: model.gin is not UTF-8 text (invalid start byte at byte 2); name a gin file"
        )

    def test_logging_is_as_before_after_a_mistake(self, write, refused):
        refused([], "zzzzzz.size = 1")
        assert logging.root.manager.disable == logging.NOTSET


def test_checking_imports_neither_tensorflow_nor_what_the_files_name():
    code = (
        "import sys; from dlib_tf2.configuration import gin_utils;"
        " gin_utils.GinText(['quickstart.gin'], ['STEPS = 3']); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "dlib_tf2.configuration.gin_text" in loaded
    assert not {"tensorflow", "keras", "sklearn", "dlib_tf2.train", "dlib_tf2.models"} & set(loaded)


class TestTypedBindings:
    def test_values_have_their_types_and_macros_are_resolved(self):
        text = """
            LIST = [1, %DEEP]
            DEEP = {"a": (1, 2.5), 3: None}
            leaf.list = %LIST
            leaf.flag = True
            leaf.rate = 1e-4
            leaf.text = 'a "quoted" # word = 1'
            leaf.reference = @other
            leaf.called = @scope/other()
            scope/leaf.rate = -2
            a/b/module.leaf.rate = 0
            leaf.unset = %NOWHERE
        """
        assert gin_utils.typed_bindings(text) == {
            "a/b/module.leaf.rate": 0,
            "leaf.called": "@scope/other()",
            "leaf.flag": True,
            "leaf.list": [1, {"a": [1, 2.5], "3": None}],
            "leaf.rate": 0.0001,
            "leaf.reference": "@other",
            "leaf.text": 'a "quoted" # word = 1',
            "leaf.unset": "%NOWHERE",
            "scope/leaf.rate": -2,
        }

    def test_the_last_binding_counts_and_blocks_and_imports_are_read(self):
        text = (
            "import no.such.module\nA = 1\nleaf.size = 1\nleaf:\n  size = %A\n  name = 'x'\nA = 2\n"
        )
        assert gin_utils.typed_bindings(text) == {"leaf.size": 2, "leaf.name": "x"}

    def test_operative_text_parses_again_to_the_same_bindings(self, write):
        long_list = [f"value number {number} of a list that is wrapped" for number in range(30)]
        nested = {"first": {"second": [1, 2, {"third": (None, True, "multi\nline")}]}, "é": 1e-30}
        bindings = [
            "RATE = 0.25",
            f"gin_test_leaf.options = {long_list!r}",
            f"scoped/gin_test_leaf.options = {nested!r}",
            "whole_step_of_tests.steps = 3",
            "whole_step_of_tests.rate = %RATE",
            "whole_step_of_tests.model = @scoped/gin_test_leaf()",
        ]
        gin_utils.parse([], bindings)
        steps, model, rate = whole_step_of_tests()
        leaf()
        assert (steps, model[2], rate) == (3, nested, 0.25)
        text, first = gin_utils.operative_text(), gin_utils.operative_bindings()
        # so that wrapped values are what is read here
        assert max(map(len, text.splitlines())) < 100
        assert first == {
            "gin_test_leaf.name": None,
            "gin_test_leaf.options": long_list,
            "gin_test_leaf.size": 1,
            "whole_step_of_tests.model": "@scoped/gin_test_leaf()",
            "whole_step_of_tests.rate": 0.25,
            "whole_step_of_tests.steps": 3,
            "scoped/gin_test_leaf.name": None,
            "scoped/gin_test_leaf.options": {
                "first": {"second": [1, 2, {"third": [None, True, "multi\nline"]}]},
                "é": 1e-30,
            },
            "scoped/gin_test_leaf.size": 1,
        }
        write(again=text)
        gin_utils.parse(["again.gin"])
        assert whole_step_of_tests() == (steps, model, rate)
        leaf()
        assert gin_utils.operative_bindings() == first

    def test_only_what_was_used_is_operative(self, write):
        gin_utils.parse([], ["gin_test_leaf.size = 4", "whole_step_of_tests.steps = 1"])
        leaf()
        assert "whole_step_of_tests.steps" not in gin_utils.operative_bindings()
        assert gin_utils.typed_bindings(gin_utils.resolved_text()) == {
            "gin_test_leaf.size": 4,
            "whole_step_of_tests.steps": 1,
        }
