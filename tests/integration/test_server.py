"""The server's door, in a real Jupyter server."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sqlite3
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar
from typing import Any

import pytest
import websocket
from driving import TOKEN, Notebook, Server, free_port, python, write_notebook
from prepared import Prepared, prepare

from mlops_jupyter import Workspace
from mlops_jupyter.actor import Actor

OS_USER = pwd.getpwuid(os.getuid()).pw_name
IDENTITY = """
from jupyter_server.auth import IdentityProvider, User

class Header(IdentityProvider):
    def get_user(self, handler):
        name = handler.request.headers.get("X-Person")
        return User(name, name.title()) if name in ("alice", "bob") else None

c.ServerApp.identity_provider_class = Header
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Give a prepared workspace inside a server's root."""
    return prepare(tmp_path_factory.mktemp("root") / "team" / "work")


@pytest.fixture(scope="module")
def server(made: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server with a bare token; its root is a workspace too, whatever lies above the folder of the tests."""
    (made.root.parents[1] / "mlops.toml").touch()
    running = Server(made.root.parents[1], tmp_path_factory.mktemp("server"))
    yield running
    running.close()


@pytest.fixture
def project(made: Prepared, server: Server) -> str:
    """Give a copy of the prepared workspace, as a body names it."""
    name = f"copies/{uuid.uuid4().hex[:8]}"
    shutil.copytree(made.root, server.root / name)
    return name


def error(answer: Any) -> str:
    """Give an error's message; its form is the contract's."""
    assert set(answer) == {"error"}, answer
    assert set(answer["error"]) == {"message", "hint"}, answer
    assert answer["error"]["message"], answer
    assert answer["error"]["hint"], answer
    return str(answer["error"]["message"])


# ---------------------------------------------------------------------------------------------------------------------
# Answers


def test_a_verb_answers_with_ok_and_result(server, project):
    """200 carries `ok` and `result`; a table is rows."""
    status, answer = server.post("runs", {"workspace": project, "limit": 2})
    assert (status, answer["ok"]) == (200, True)
    assert [row["name"] for row in answer["result"]["rows"]] == ["refined", "tuned"]
    assert set(answer) == {"ok", "result"}


def test_no_is_an_answer(server, project):
    """A refused promotion is 200 with `ok` false, as the shell's exit code 1."""
    status, answer = server.post("promote", {"workspace": project, "model": "churn/1", "to": "champion"})
    assert (status, answer["ok"], answer["result"]["status"]) == (200, False, "refused")


def test_no_body_is_no_arguments(server):
    """A request without a body is one without arguments."""
    assert server.post("status", raw=b"")[0] == 200


@pytest.mark.parametrize(
    ("verb", "body", "expected"),
    [
        ("runs", {"limit": "many"}, 400),
        ("runs", {"limit": 0}, 400),
        ("runs", {"bogus": 1}, 400),
        ("promote", {"model": "churn"}, 400),
        ("promote", {"model": "a/b/c", "to": "champion"}, 400),
        ("runs", {"filter": "this is none"}, 400),
        ("show", {"snapshot": "nobody"}, 404),
        ("compare", {"runs": ["nobody"]}, 404),
        ("model", {"model": "nobody"}, 404),
        ("model", {"model": "churn@nobody"}, 404),
        ("nothing", {}, 404),
        ("pipeline/nothing", {}, 404),
        ("demo", {}, 404),
        ("log/metric", {"pairs": ["a=1"]}, 404),
        ("rollback", {"name": "churn", "alias": "reviewed"}, 409),
        ("promote", {"model": "churn", "to": "latest"}, 422),
        ("pipeline/plan", {"file": "pipeline.yaml", "params": {"nobody": 1}}, 400),
        ("pipeline/plan", {"file": "broken.yaml"}, 422),
    ],
    ids=str,
)
def test_mistakes_have_their_statuses(server, project, verb, body, expected):
    """Wrong words are 400, names that mean nothing 404, what does not fit 409, values and files that are off 422."""
    (server.root / project / "broken.yaml").write_text("name: broken\nsteps:\n  a: {notbook: a.ipynb}\n")
    status, answer = server.post(verb, {"workspace": project, **body})
    assert error(answer)
    assert status == expected, answer


def test_an_ambiguous_name_is_409_with_candidates(server, project):
    """A name that two runs have is a conflict, and the hint names both."""
    workspace = Workspace.open(server.root / project)
    ids = []
    for _ in range(2):
        with workspace.run("twin") as run:
            ids.append(run.run_id)
    status, answer = server.post("compare", {"workspace": project, "runs": ["twin"]})
    assert status == 409
    assert error(answer)
    assert all(run_id[:8] in answer["error"]["hint"] for run_id in ids)


def test_a_wrong_setting_is_422_with_its_line(server, project):
    """A mistake in mlops.toml is told with file and line."""
    (server.root / project / "mlops.toml").write_text("[tracking]\nurl = 'x'\n")
    status, answer = server.post("runs", {"workspace": project})
    assert (status, error(answer).startswith("mlops.toml:2:")) == (422, True)


def test_a_store_that_is_away_is_503(server, project):
    """A database that is none, or a server that does not answer, is 503."""
    database = server.root / project / ".mlops" / "ledger.db"
    database.write_bytes(b"nothing at all" * 1000)
    status, answer = server.post("audit", {"workspace": project})
    assert (status, bool(error(answer))) == (503, True)


def test_verbs_are_posted(server):
    """Other methods are refused with 405 in our form."""
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        status, answer = server.request(method, "mlops/api/status", None, {"Authorization": f"token {TOKEN}"})
        assert status == 405, method
        if method == "GET":
            assert error(answer)


def test_answers_are_json_whatever_they_hold(server, project):
    """NaN in a metric does not make an answer that no JSON reader takes."""
    with Workspace.open(server.root / project).run("odd") as run:
        run.tracking.client.log_metric(run.run_id, "loss", float("nan"))
    data = json.dumps({"workspace": project, "limit": 1}).encode()
    request = urllib.request.Request(
        server.base + "mlops/api/runs", data, {"Authorization": f"token {TOKEN}"}, method="POST"
    )

    def refuse(word: str) -> None:
        raise AssertionError(word)

    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("application/json")
        rows = json.loads(answer.read(), parse_constant=refuse)["result"]["rows"]
    assert rows[0]["metrics"] == {"loss": "nan"}


def test_requests_are_answered_side_by_side(server, project):
    """Many requests at once, reading and writing, are all answered, and the ledger's chain holds."""
    with ThreadPoolExecutor(12) as pool:
        reads = [pool.submit(server.post, "runs", {"workspace": project}) for _ in range(12)]
        writes = [
            pool.submit(server.post, "promote", {"workspace": project, "model": "churn/2", "to": f"side-{n}"})
            for n in range(12)
        ]
        assert {future.result()[0] for future in reads + writes} == {200}
    verdict = server.post("audit verify", {"workspace": project})[1]["result"]
    assert verdict["ok"]
    aliases = server.post("model", {"workspace": project, "model": "churn/2"})[1]["result"]["aliases"]
    assert {f"side-{n}" for n in range(12)} <= set(aliases)


# ---------------------------------------------------------------------------------------------------------------------
# Which workspace


def test_the_notebook_s_workspace_is_the_one(server, project):
    """A notebook's path names its workspace, with the rule that found it, with JupyterLab's drive in front or not."""
    (server.root / project / "deep").mkdir()
    for notebook in (f"{project}/deep/a.ipynb", f"RTC:{project}/deep/a.ipynb", f"/{project}/deep/a.ipynb"):
        status, answer = server.post("status", {"notebook": notebook})
        assert status == 200, answer
        assert answer["result"]["workspace"] == str(server.root / project)
        assert "mlops.toml" in answer["result"]["why"]


def test_without_a_workspace_the_root_is_asked(server):
    """A request that names none is about the server's root."""
    assert server.post("status")[1]["result"]["workspace"] == str(server.root)


_OUTSIDE = ["..", "../..", "team/../..", "link", "link/below", "team/work/../../../.."]


@pytest.mark.parametrize(
    ("key", "outside"),
    [
        *(("workspace", path) for path in [*_OUTSIDE, "/", "/etc", "~", "~root"]),
        *(("notebook", f"{path}/a.ipynb") for path in _OUTSIDE),
    ],
)
def test_a_workspace_outside_of_the_root_is_refused(server, tmp_path_factory, key, outside):
    """Neither `..`, nor absolute paths, nor symbolic links lead out of the server's root."""
    away = tmp_path_factory.mktemp("away")
    (away / "below").mkdir()
    (server.root / "link").unlink(missing_ok=True)
    (server.root / "link").symlink_to(away, target_is_directory=True)
    status, answer = server.post("status", {key: outside})
    assert status == 403, answer
    assert error(answer)
    assert list(away.iterdir()) == [away / "below"]


@pytest.mark.parametrize("file", ["../../../outside.yaml", "/etc/passwd", "linked.yaml", "~/x.yaml"])
def test_a_file_outside_of_the_root_is_refused(server, project, tmp_path_factory, file):
    """An argument that names a file is held to the server's root too."""
    away = tmp_path_factory.mktemp("away") / "pipeline.yaml"
    away.write_text("name: away\n")
    (server.root / project / "linked.yaml").symlink_to(away)
    status, answer = server.post("pipeline show", {"workspace": project, "file": file})
    assert status == 403, answer


def test_a_folder_to_make_outside_of_the_root_is_refused(server, tmp_path):
    """`init` makes nothing outside of the server's root."""
    status, answer = server.post("init", {"dir": str(tmp_path / "made")})
    assert status == 403, answer
    assert not (tmp_path / "made").exists()


def test_a_workspace_found_above_the_root_is_refused(made, tmp_path_factory):
    """When walking up from the root leads out of it, the request is refused: the root bounds what a server touches."""
    inner = made.root / "inner"
    inner.mkdir()
    above = Server(inner, tmp_path_factory.mktemp("server"))
    try:
        status, answer = above.post("status")
    finally:
        above.close()
    assert status == 403, answer
    assert error(answer)


def test_the_base_url_is_in_front_of_every_route(made, tmp_path_factory):
    """Under a base URL, as behind JupyterHub, routes are below it and nowhere else."""
    server = Server(made.root, tmp_path_factory.mktemp("server"), base_url="/user/ann/")
    try:
        assert server.post("status")[0] == 200
        server.base = f"http://127.0.0.1:{server.port}/"
        assert server.post("status")[0] == 404
    finally:
        server.close()


# ---------------------------------------------------------------------------------------------------------------------
# Who asks


def actors(server: Server, project: str, **credentials: Any) -> list[tuple[str, str]]:
    rows = server.post("audit", {"workspace": project}, **credentials)[1]["result"]["rows"]
    return [(row["actor"], row["via"]) for row in rows]


@pytest.mark.parametrize("token", [None, "wrong", ""])
def test_without_credentials_nothing_is_answered(server, project, token):
    """A request without the token, or with another, is refused with 401 or 403 in our form, and changes nothing."""
    before = actors(server, project)
    for verb in ("status", "runs", "promote", "nothing"):
        body = {"workspace": project, "model": "churn", "to": "other"} if verb == "promote" else {}
        status, answer = server.post(verb, body, token=token)
        assert status in (401, 403), (verb, answer)
        assert error(answer)
    status, answer = server.get("mlops/api/jobs/abc123", token=token)
    assert status in (401, 403)
    assert error(answer)
    assert actors(server, project) == before


def test_with_a_bare_token_the_actor_is_the_account_that_runs_the_server(server, project):
    """Where the identity provider knows nobody, the ledger has the OS user, known by the token."""
    server.post("promote", {"workspace": project, "model": "churn", "to": "other"})
    assert actors(server, project)[-1] == (OS_USER, "token")


def test_a_body_cannot_say_who_asks(server, project):
    """No key of the body names the actor, and no header is believed that the identity provider does not read."""
    for key in ("actor", "user", "via", "_actor"):
        status, _ = server.post("promote", {"workspace": project, "model": "churn", "to": "other", key: "mallory"})
        assert status == 400
    forged = {"X-Person": "mallory", "Remote-User": "mallory", "X-Forwarded-User": "mallory"}
    server.post("promote", {"workspace": project, "model": "churn", "to": "other"}, **forged)
    assert actors(server, project)[-1] == (OS_USER, "token")


@pytest.fixture(scope="module")
def known(made: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server whose identity provider knows alice and bob."""
    root = tmp_path_factory.mktemp("known")
    shutil.copytree(made.root, root / "work")
    running = Server(root, tmp_path_factory.mktemp("server"), config=IDENTITY)
    yield running
    running.close()


def as_person(name: str) -> dict[str, Any]:
    return {"token": None, "X-Person": name, "X-XSRFToken": "x", "Cookie": "_xsrf=x"}


def test_the_identity_provider_s_user_is_the_actor(known):
    """Whoever the identity provider names is who the ledger has, known by identity."""
    body = {"workspace": "work", "model": "churn", "to": "theirs"}
    assert known.post("promote", body, **as_person("alice"))[0] == 200
    assert actors(known, "work", **as_person("bob"))[-1] == ("alice", "identity")
    status, answer = known.post("promote", body, **as_person("mallory"))
    assert status in (401, 403)
    assert error(answer)


def test_approvals_are_given_by_the_identified_person(known):
    """Who asks can't approve; another person can, and the alias moves."""
    with (known.root / "work" / "mlops.toml").open("a") as file:
        file.write('\n[[promotion]]\nmodels = "*"\nalias = "guarded"\napprovals = {count = 1}\n')
    asked = known.post("promote", {"workspace": "work", "model": "churn/2", "to": "guarded"}, **as_person("alice"))[1]
    request = {"workspace": "work", "id": asked["result"]["request"]}
    status, answer = known.post("approve", request, **as_person("alice"))
    assert (status, bool(error(answer))) == (403, True)
    status, answer = known.post("approve", request, **as_person("bob"))
    assert (status, answer["result"]["status"]) == (200, "promoted")
    assert ("bob", "identity") in actors(known, "work", **as_person("alice"))
    assert known.post("approve", request, **as_person("bob"))[0] == 409


# ---------------------------------------------------------------------------------------------------------------------
# Browsers


class Browser:
    """A browser that is logged in: it has the cookies, and sends them to whoever asks."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self._opener.open(f"{server.base}login?token={TOKEN}", timeout=30).close()

    def post(self, verb: str, **headers: str) -> int:
        url = f"{self._server.base}mlops/api/{verb}"
        try:
            with self._opener.open(urllib.request.Request(url, b"{}", headers, method="POST"), timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            refused.close()
            return int(refused.code)


def test_another_site_cannot_post_in_the_name_of_a_browser(server):
    """A browser's cookies alone do not carry a request: the value of _xsrf must come with it."""
    browser = Browser(server)
    assert browser.post("status") == 403
    xsrf = next(cookie.value for cookie in browser.cookies if cookie.name == "_xsrf")
    assert browser.post("status", **{"X-XSRFToken": str(xsrf)}) == 200
    assert browser.post("status", **{"X-XSRFToken": "forged"}) == 403


# ---------------------------------------------------------------------------------------------------------------------
# Work of more than a moment, and events


class Events:
    """What a browser hears of a server's events."""

    def __init__(self, server: Server) -> None:
        self._socket = websocket.create_connection(
            server.base.replace("http", "ws", 1) + "api/events/subscribe",
            header={"Authorization": f"token {TOKEN}"},
            timeout=60,
        )

    def wait(self, **expected: Any) -> dict[str, Any]:
        """Wait for an event that has these values."""
        while True:
            event = json.loads(self._socket.recv())
            if all(event.get(key) == value for key, value in expected.items()):
                return event

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def events(server: Server) -> Iterator[Events]:
    """Listen to the server."""
    listening = Events(server)
    yield listening
    listening.close()


def test_a_change_by_another_process_is_told(server, project, events):
    """After somebody looked at a workspace, a run that another process makes there is told as an event."""
    place = str(server.root / project)
    assert server.post("status", {"workspace": project})[0] == 200
    python("import mlops_jupyter\nwith mlops_jupyter.run('from elsewhere'): pass", server.root / project)
    assert events.wait(workspace=place, topic="runs")
    Workspace.open(place).registry.promote("churn/2", to="told")
    assert events.wait(workspace=place, topic="models")


def test_a_snapshot_of_a_kernel_is_told(server, project, events):
    """A snapshot that a notebook takes is told to whoever looks at its workspace."""
    assert server.post("status", {"workspace": project})[0] == 200
    notebook = Notebook(server.root / project)
    try:
        notebook.good("x = 1\n%mlops snapshot from-a-kernel")
    finally:
        notebook.close()
    assert events.wait(workspace=str(server.root / project), topic="snapshots")


def test_a_pipeline_is_a_job_with_progress(server, project, events):
    """Work of more than a moment is answered with 202 and a job; events tell of it; its answer is the pipeline's."""
    body = {"workspace": project, "file": "pipeline.yaml", "params": {"depth": 5}}
    status, answer = server.post("pipeline run", body)
    assert (status, set(answer)) == (202, {"job"})
    job = answer["job"]
    assert events.wait(topic="job", job=job, state="running")
    step = events.wait(topic="pipelines", step="train", state="succeeded")
    assert step["workspace"] == str(server.root / project)
    assert events.wait(topic="job", job=job, state="done")
    done = server.job(job)
    assert (done["state"], done["ok"], done["error"]) == ("done", True, None)
    assert done["result"]["state"] == "succeeded"
    assert done["result"]["steps"][0]["outputs"] == {"doubled": 10}


def test_a_job_whose_answer_is_no(server, project):
    """A pipeline that fails is a job that is done, and its answer is no."""
    write_notebook(server.root / project / "train.ipynb", "raise ValueError('no data')", parameters="depth = 1")
    job = server.job(server.post("pipeline run", {"workspace": project, "file": "pipeline.yaml"})[1]["job"])
    assert (job["state"], job["ok"], job["result"]["state"]) == ("done", False, "failed")


def test_a_job_that_was_a_mistake(server, project):
    """A job whose request was wrong has failed, with the two lines of every error."""
    status, answer = server.post("pipeline run", {"workspace": project, "file": "nothing.yaml"})
    if status == 202:  # it may be refused at once as well
        job = server.job(answer["job"])
        assert (job["state"], job["result"]) == ("failed", None)
        answer = {"error": job["error"]}
    assert "nothing.yaml" in error(answer)


def test_an_unknown_job_is_not_found(server):
    """A job that nobody knows is 404 in our form."""
    status, answer = server.get("mlops/api/jobs/abcdef0123")
    assert (status, bool(error(answer))) == (404, True)
    assert server.get("mlops/api/jobs/..%2f..")[0] in (404, 405)


def test_the_server_stays_awake_while_a_verb_is_busy(server, project):
    """While a verb waits for a locked ledger, the server answers others."""
    ledger = sqlite3.connect(server.root / project / ".mlops" / "ledger.db", isolation_level=None)
    ledger.execute("BEGIN EXCLUSIVE")
    answers: list[Any] = []
    body = {"workspace": project, "model": "churn/2", "to": "waited"}
    waiting = threading.Thread(target=lambda: answers.append(server.post("promote", body)))
    try:
        waiting.start()
        assert server.get("api")[0] == 200
        assert server.post("runs", {"workspace": project})[0] == 200
        assert answers == []
    finally:
        ledger.execute("ROLLBACK")
        ledger.close()
        waiting.join(60)
    assert answers[0][0] == 200


def test_an_unreachable_tracking_server_is_503_and_does_not_stop_the_others(made, tmp_path_factory):
    """With a tracking server that is away, what needs it is 503; what does not is answered."""
    uri = f"http://127.0.0.1:{free_port()}"
    away = Server(
        made.root,
        tmp_path_factory.mktemp("server"),
        MLFLOW_TRACKING_URI=uri,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    try:
        status, answer = away.post("runs")
        assert (status, uri in error(answer)) == (503, True)
        assert away.post("status")[1]["result"]["tracking"] == uri
        assert away.post("audit")[0] == 200
        assert away.post("snapshots")[0] == 200
    finally:
        away.close()


def test_a_kernel_and_the_server_see_each_other_s_work(server, project):
    """What a notebook logs is in the server's next answer, and what the server promotes in the notebook's."""
    notebook = Notebook(server.root / project)
    try:
        notebook.good("%%mlops run --name from-the-notebook\n%mlops log metric auc=0.95")
        rows = server.post("runs", {"workspace": project, "limit": 1})[1]["result"]["rows"]
        assert rows[0]["name"] == "from-the-notebook"
        server.post("promote", {"workspace": project, "model": "churn/2", "to": "from-the-server"})
        notebook.good("r = %mlops model churn@from-the-server")
        assert notebook.value("r.to_json()['version']") == 2
    finally:
        notebook.close()


def test_nothing_unforeseen_was_logged(server):
    """After all of this, the server's log has no traceback of ours."""
    assert "Serving" in server.log
    assert "this is a defect of mlops-jupyter" not in server.log
    assert "Uncaught exception" not in server.log


def test_an_actor_of_python_is_told_as_it_was_given(made, tmp_path):
    """Python callers may say who works; the ledger has that name and how it was known."""
    shutil.copytree(made.root, tmp_path / "work")
    workspace = Workspace.open(tmp_path / "work", actor=Actor("ci", "identity"))
    workspace.registry.promote("churn/2", to="python")
    event = workspace.ledger.events()[-1]
    assert (event.actor, event.via) == ("ci", "identity")


@pytest.mark.parametrize("uri", ["sqlite:////tmp/evil.db", "sqlite:///../../../evil.db", "file:///tmp/evil", "x"])
def test_a_tracking_uri_outside_of_the_root_is_refused(server, uri):
    """`init` over REST makes no database where the server's root does not reach."""
    status, answer = server.post("init", {"dir": "elsewhere", "tracking_uri": uri})
    assert status in (400, 403), answer
    assert set(answer["error"]) == {"message", "hint"}


def test_a_verb_with_a_space_is_told_its_route(server):
    """The hint is the route that works."""
    status, answer = server.request(
        "POST",
        "mlops/api/pipeline%20plan",
        b"{}",
        {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
    )
    assert status == 404
    assert "pipeline/plan" in answer["error"]["hint"]
