"""Settings: found by the contract's rules, and wrong ones named with file and line."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.config import find_workspace, load
from mlops_jupyter.errors import ConfigError, NotFoundError


def write(folder: Path, text: str) -> Path:
    (folder / "mlops.toml").write_text(text)
    return folder


def test_the_call_comes_before_everything(tmp_path: Path) -> None:
    """What the caller names holds, whatever lies about."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    found, why = find_workspace(tmp_path / "a", tmp_path, {"MLOPS_WORKSPACE": str(tmp_path / "b")})
    assert (found, why) == ((tmp_path / "a").resolve(), "named by the call")


def test_the_environment_comes_before_walking_up(tmp_path: Path) -> None:
    """MLOPS_WORKSPACE names it when the call does not."""
    (tmp_path / "b").mkdir()
    found, why = find_workspace(None, write(tmp_path, ""), {"MLOPS_WORKSPACE": str(tmp_path / "b")})
    assert (found.name, why) == ("b", "MLOPS_WORKSPACE")


@pytest.mark.parametrize("marker", ["mlops.toml", ".mlops"])
def test_the_nearest_marker_above_is_found(tmp_path: Path, marker: str) -> None:
    """Walking up ends at the first mlops.toml or .mlops/, nearer than the git root."""
    deep = tmp_path / "project" / "notebooks" / "old"
    deep.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    place = tmp_path / "project" / marker
    place.write_text("") if marker == "mlops.toml" else place.mkdir()
    found, why = find_workspace(None, deep, {})
    assert found == (tmp_path / "project").resolve()
    assert marker in why


def test_without_a_marker_it_is_the_git_root_else_the_folder(tmp_path: Path) -> None:
    """The last two rules of the contract."""
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "sub").mkdir()
    assert find_workspace(None, tmp_path / "repo" / "sub", {}) == ((tmp_path / "repo").resolve(), "the git root")
    assert find_workspace(None, tmp_path, {}) == (tmp_path.resolve(), "the working directory")


def test_a_file_named_from_elsewhere_brings_its_project(tmp_path: Path) -> None:
    """Only where walking up from the working directory finds nothing, the file's own project holds."""
    project = tmp_path / "project"
    project.mkdir()
    write(project, "")
    (tmp_path / "elsewhere").mkdir()
    assert find_workspace(None, tmp_path / "elsewhere", {}, project)[0] == project.resolve()


def test_a_workspace_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A typo must not make a new workspace."""
    with pytest.raises(NotFoundError):
        find_workspace(tmp_path / "nowhere")


def test_the_file_yields_to_the_environment_and_that_to_the_call(tmp_path: Path) -> None:
    """mlops.toml < environment < call."""
    write(tmp_path, '[tracking]\nuri = "http://file"\nexperiment = "file"\n')
    environ = {"MLFLOW_TRACKING_URI": "http://env", "MLFLOW_EXPERIMENT_NAME": "env"}
    assert load(tmp_path, environ={}).tracking_uri == "http://file"
    assert load(tmp_path, environ=environ).tracking_uri == "http://env"
    assert load(tmp_path, environ=environ, tracking_uri="http://call").tracking_uri == "http://call"
    assert load(tmp_path, environ=environ).experiment == "env"
    assert load(tmp_path, environ=environ, experiment="call").experiment == "call"


def test_the_embedded_store_passed_on_by_name_stays_embedded(tmp_path: Path) -> None:
    """A pipeline's kernel is told the store by its URI, and must still know that it is the workspace's own."""
    uri = f"sqlite:///{tmp_path.resolve() / '.mlops' / 'mlflow.db'}"
    assert load(tmp_path, environ={"MLFLOW_TRACKING_URI": uri}).tracking_uri is None


def test_a_relative_database_lies_in_the_workspace(tmp_path: Path) -> None:
    """What mlops.toml says does not depend on where a command was typed."""
    write(tmp_path, '[tracking]\nuri = "sqlite:///my.db"\n')
    assert load(tmp_path, environ={}).tracking_uri == f"sqlite:///{tmp_path.resolve() / 'my.db'}"


def test_policies_are_read_as_the_contract_writes_them(tmp_path: Path) -> None:
    """The contract's own example."""
    write(
        tmp_path,
        "[[promotion]]\n"
        'models = "*"\n'
        'alias = "champion"\n'
        'gates = [{metric = "auc", min = 0.75}, {beats = "champion", metric = "auc"}]\n'
        "approvals = {count = 0, roles = [], not_author = true}\n",
    )
    (policy,) = load(tmp_path, environ={}).policies
    assert [str(gate) for gate in policy.gates] == ["auc ≥ 0.75", "auc beats champion"]
    assert policy.approvals.count == 0


WRONG = [
    ("tracking = 3\n", 1, "tracking"),
    ("[tracking]\nurl = 'x'\n", 2, "unknown key 'url'"),
    ("[trackin]\nuri = 'x'\n", 1, "unknown key 'trackin'"),
    ("[tracking]\nuri = 3\n", 2, "uri = 3"),
    ("[tracking]\n\nuri = \n", 3, "not valid TOML"),
    ("[[promotion]]\nalias = 'a'\n\n[[promotion]]\nalais = 'b'\n", 5, "unknown key 'alais'"),
    ("[[promotion]]\ngates = [{min = 1}]\n", 2, "names no metric"),
    ("[[promotion]]\ngates = [{metric = 'auc'}]\n", 2, "no min, max or beats"),
    ("[[promotion]]\ngates = [{metric = 'auc', min = 'x'}]\n", 2, "min = 'x'"),
    ("[[promotion]]\ngates = [{metric = 'auc', min = true}]\n", 2, "min = True"),
    ("[[promotion]]\napprovals = {count = -1}\n", 2, "negative"),
    ("[roles]\nreviewer = 'ann'\n", 2, "reviewer"),
    ("promotion = 3\n", 1, "promotion"),
]


@pytest.mark.parametrize(("text", "line", "said"), WRONG)
def test_wrong_settings_name_file_line_and_remedy(tmp_path: Path, text: str, line: int, said: str) -> None:
    """Whoever reads the error knows where to click and what to write."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), environ={})
    assert caught.value.message.startswith(f"mlops.toml:{line}: ")
    assert said in caught.value.message
    assert caught.value.hint


@given(st.text(max_size=200))
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    """No file makes the reader fall over."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        Path(place, "mlops.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
        with contextlib.suppress(ConfigError):
            load(place, environ={})
