"""The rules of the house that a machine can check: who imports whom, who may load TensorFlow, what
gin files and commands hold.

Modules, commands and gin files are found by themselves; a new one is bound by the rules without a
change here.
"""

import ast
import graphlib
import pathlib
import re
import shlex
import subprocess
import sys

import gin
import no_tensorflow
import pytest

from dlib_tf2.configuration import gin_utils

REPO = pathlib.Path(__file__).parents[1]
PACKAGE = REPO / "dlib_tf2"
GIN_FILES = sorted(
    str(path.relative_to(REPO / "gin_configs")) for path in (REPO / "gin_configs").rglob("*.gin")
)
COMMANDS = sorted(path.name for path in (REPO / "bin").iterdir() if path.is_file())

# The ground: what the root holds beside one module per command. All may import it; it imports
# nothing of ours but itself.
GROUND = {"errors", "seeds", "replicas", "__version__"}
# The rooms, and what each may import beside itself and the ground.
# A new room needs a line here; a new file in a room needs none.
ROOMS = {
    "system": set(),
    "configuration": set(),
    "regularizers": set(),
    "models": {"regularizers"},
    "datasets": {"system"},
    "records": {"system", "configuration"},
    "representations": {"system", "configuration"},
    "metrics": {"system", "configuration", "representations"},
    # each metric declares which of its scores counts, and whether higher is better
    "report": {"system", "records", "configuration"},
    "studies": {"system", "configuration", "records"},
    "training": {"system", "records", "datasets", "models"},
    "visualize": {"system", "records", "datasets", "models", "training"},
}
TENSORFLOW = {"tensorflow", "keras", "tensorflow_probability", "tensorflow_datasets"}
# all others never load it
WITH_TENSORFLOW = {"datasets", "models", "regularizers", "training", "visualize", "replicas"}


class Module:
    """One file of the package: its name, its syntax tree, and what it imports."""

    def __init__(self, path):
        self.name = (
            ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            .removesuffix("__init__")
            .rstrip(".")
        )
        self.room = self.name.split(".")[0]
        self.tree = ast.parse(path.read_text())

    def imports(self, without_function=None):
        """Full names of imported modules, and of what is imported from them, at any depth."""
        skipped = {
            id(inner)
            for function in ast.walk(self.tree)
            if isinstance(function, ast.FunctionDef) and function.name == without_function
            for inner in ast.walk(function)
        }
        names = set()
        for node in ast.walk(self.tree):
            if id(node) in skipped:
                continue
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} has a relative import; write it whole"
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
        return names

    def rooms(self):
        """The rooms and modules of ours, by their first name, that this one imports beside its
        own.
        """
        ours = {name.split(".")[1] for name in self.imports() if name.startswith("dlib_tf2.")}
        return ours - {self.room, "__version__"}

    def calls(self):
        """(dotted name, call) of every call."""
        return [
            (ast.unparse(node.func), node)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call)
        ]

    def decorated(self):
        """(name, decorator) of every decorated function or class."""
        kinds = (ast.FunctionDef, ast.ClassDef)
        return [
            (node, decorator)
            for node in ast.walk(self.tree)
            if isinstance(node, kinds)
            for decorator in node.decorator_list
        ]


MODULES = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]


COMMAND_MODULES = {name.removeprefix("dlib_") for name in COMMANDS}
LOADING = {
    name.removeprefix("dlib_")
    for name in COMMANDS
    if "import_tensorflow" in (REPO / "bin" / name).read_text()
}


def test_the_package_was_found():
    names = {module.name for module in MODULES}
    assert {"errors", "train", "metrics.mig", "datasets.named.rendered_sprites", ""} <= names
    assert "seeds" in next(module for module in MODULES if module.name == "train").rooms()


def test_the_root_holds_the_ground_and_one_module_per_command():
    loose = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert loose - GROUND <= COMMAND_MODULES
    assert {
        path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"
    } == set(ROOMS)


def test_a_room_imports_only_what_it_may():
    allowed = ROOMS | {name: set() for name in GROUND} | {"": set()}
    found = {
        (m.name, room)
        for m in MODULES
        if m.room not in COMMAND_MODULES - set(ROOMS)
        for room in m.rooms() - allowed[m.room] - GROUND
    }
    assert found == set()


def test_a_command_imports_no_other_but_those_that_run_others():
    commands = COMMAND_MODULES - set(ROOMS)
    found = {
        module.name: module.rooms() & commands for module in MODULES if module.name in commands
    }
    assert {name: others for name, others in found.items() if others} == {
        "reproduce": {"train", "postprocess", "evaluate"},
        "sweep": {"reproduce"},
    }


def test_no_imports_run_in_a_circle_not_even_in_functions():
    names = {module.name for module in MODULES}
    arrows = {}
    for module in MODULES:
        imported = {
            name.removeprefix("dlib_tf2").lstrip(".")
            for name in module.imports()
            if name.startswith("dlib_tf2")
        }
        arrows[module.name] = {
            name if name in names else name.rpartition(".")[0] for name in imported
        } - {module.name, ""}
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_private_names_stay_in_their_module():
    private = {
        (module.name, name)
        for module in MODULES
        for name in module.imports()
        if name.startswith("dlib_tf2.")
        and any(part.startswith("_") and part != "__version__" for part in name.split(".")[1:])
    }
    assert {
        (name, used)
        for name, used in private
        if not used.startswith(f"dlib_tf2.{name.split('.')[0]}._")
    } == set()


def test_the_light_rooms_do_not_import_tensorflow():
    # The one exception loads it on purpose, with the noise held back.
    found = {
        module.name: (
            {name.split(".")[0] for name in module.imports("import_tensorflow")} & TENSORFLOW
        )
        for module in MODULES
        if module.room not in WITH_TENSORFLOW | LOADING
    }
    assert {name: packages for name, packages in found.items() if packages} == {}


def test_loading_the_light_rooms_does_not_load_tensorflow():
    names = [
        f"dlib_tf2.{module.name}".rstrip(".")
        for module in MODULES
        if module.room not in WITH_TENSORFLOW | LOADING
    ]
    code = (
        f"import importlib, sys; [importlib.import_module(name) for name in {names}];"
        " print(*sys.modules)"
    )
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert (
        {"dlib_tf2.evaluate", "dlib_tf2.metrics.mig", "dlib_tf2.records.results"}
        <= set(names)
        <= loaded
    )
    assert loaded & TENSORFLOW == set()


def test_gin_is_given_text_in_one_place_only():
    places = {
        module.name
        for module in MODULES
        for name, _ in module.calls()
        if re.match(r"gin\.(parse_|bind_parameter)", name)
    }
    assert places == {"configuration.gin_utils"}
    assert not [
        module.name
        for module in MODULES
        if any(name.startswith("gin.tf") for name in module.imports())
    ]


def test_only_stage_functions_are_configured_where_they_are_called():
    found = {
        (module.name, node.name)
        for module in MODULES
        for node, by in module.decorated()
        if "gin.configurable" in ast.unparse(by)
    }
    assert {("train", "train"), ("postprocess", "postprocess"), ("evaluate", "evaluate")} <= found
    assert {name for name, _ in found} - {"train", "postprocess", "evaluate"} <= {
        m.name for m in MODULES if m.room == "studies"
    }


def test_registered_names_are_unique():
    names = [
        node.name
        for module in MODULES
        for node, by in module.decorated()
        if "gin." in ast.unparse(by)
    ]
    assert len(names) > 15
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
    renamed = [
        node.name
        for module in MODULES
        for node, by in module.decorated()
        if isinstance(by, ast.Call) and "gin." in ast.unparse(by)
    ]
    assert renamed == []  # a name that is not the function's own would hide from this test


def test_nothing_is_unpickled_and_no_global_generator_is_used():
    for module in MODULES:
        for name, call in module.calls():
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            if name in ("np.load", "numpy.load"):
                assert keywords.get("allow_pickle") == "False", (
                    f"{module.name}: {ast.unparse(call)}"
                )
            assert not re.match(r"(pickle|joblib)\.loads?$", name), f"{module.name}: {name}"
            if match := re.match(r"(?:np|numpy)\.random\.(\w+)", name):
                assert match[1] in (
                    "default_rng",
                    "SeedSequence",
                    "Generator",
                    "Philox",
                ), f"{module.name}: {name}"
            assert name != "tf.random.set_seed", module.name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_short_and_answers_help_without_tensorflow(name, run_command, tmp_path):
    without_tensorflow = no_tensorflow.environment(tmp_path)
    assert len((REPO / "bin" / name).read_text().splitlines()) <= 52
    code, out, err = run_command(name, "--help", environment=without_tensorflow)
    assert (code, err) == (0, "")
    assert f"Flags of {name}:" in out
    examples = out.split("Flags of")[0]
    assert set(re.findall(r"--(?:no)?([a-z_]+)", examples)) <= set(
        re.findall(r"^  --(?:\[no\])?([a-z_]+):", out, re.M)
    )
    assert re.search(rf"^(Example: )?{name} --", out, re.M), "an example to copy"
    if name == "dlib_list":
        return  # it needs no flag
    code, out, err = run_command(name, environment=without_tensorflow)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"{name}: missing required flag --.*; see {name} --help\n", err)


@pytest.fixture
def clean_gin():
    gin.clear_config()
    yield
    gin.clear_config()


def header(name):
    """The comment that a gin file opens with, as {"Command": ..., ...} for what its lines are
    labelled with.
    """
    text = (REPO / "gin_configs" / name).read_text()
    lines = [line for line in text.split("\n\n")[0].splitlines() if line.startswith("#")]
    return {match[1]: match[2] for line in lines if (match := re.match(r"# (\w+):\s+(.+)", line))}


def command_of(name):
    """The header's command as (name, files, bindings)."""
    command, *flags = shlex.split(header(name)["Command"])
    values = [flag.split("=", 1) for flag in flags]
    return command, *(
        [value for key, value in values if key == f"--{wanted}"]
        for wanted in ("gin_config", "gin_bindings")
    )


RUNNABLE = [name for name in GIN_FILES if "# Command:" in (REPO / "gin_configs" / name).read_text()]


MACROS = ['DATASET = "x"', "NUM_LATENT = 1", "STEPS = 1", "BATCH_SIZE = 1", "SEED = 0"]


@pytest.mark.parametrize(
    "name", [name for name in RUNNABLE if name.startswith(("models/", "quickstart"))]
)
def test_a_runnable_model_file_shows_the_macros_that_a_person_overrides(name):
    text = (REPO / "gin_configs" / name).read_text()
    assert all(re.search(rf"^{macro.split()[0]} = ", text, re.M) for macro in MACROS)


@pytest.mark.parametrize("name", GIN_FILES)
def test_a_gin_file_parses_and_comes_back_from_its_own_text(name, clean_gin, tmp_path):
    # What only others include leaves to them the macros that a person overrides.
    used = set(re.findall(r"%(\w+)", (REPO / "gin_configs" / name).read_text()))
    missing = [macro for macro in [*MACROS, "SAMPLER = None"] if macro.split()[0] in used]
    alone = "no runnable file" in (REPO / "gin_configs" / name).read_text()
    gin_utils.parse([name], missing if name.startswith("models/") and alone else [])
    text = gin_utils.resolved_text()
    assert gin_utils.typed_bindings(text) or re.search(r"^\w+ = ", text, re.M)
    (tmp_path / "again.gin").write_text(text)
    gin_utils.parse([str(tmp_path / "again.gin")])
    assert gin_utils.resolved_text() == text


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_runnable_file_opens_with_a_command_that_works_its_time_and_what_to_expect(
    name, clean_gin
):
    assert {"Command", "Time", "Expect"} <= set(header(name))
    command, files, bindings = command_of(name)
    assert command in COMMANDS
    assert name in files
    gin_utils.parse(files, bindings)
    if command == "dlib_train":
        macros = set(re.findall(r"^(\w+) = ", gin_utils.resolved_text(), re.M))
        assert {"DATASET", "NUM_LATENT", "STEPS", "BATCH_SIZE", "SEED"} <= macros
        gin_utils.GinText(files, [*bindings, "STEPS = 1000"])


def test_what_can_be_run_says_so():
    assert {"quickstart.gin", "models/beta_vae.gin"} <= set(RUNNABLE)
    models = {name for name in GIN_FILES if name.startswith(("models/", "studies/"))}
    assert {
        name
        for name in models - set(RUNNABLE)
        if "no runnable file" not in (REPO / "gin_configs" / name).read_text()
    } == set()


def test_no_two_test_files_have_one_name():
    # pytest would collect one of the two only
    names = [path.name for path in (REPO / "tests").rglob("test_*.py")]
    assert len(names) > 100
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
