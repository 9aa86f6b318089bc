"""Stores for tests: databases that need no migration, a real MLflow server, and what opens a workspace on either."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from driving import environment, free_port, until

from mlops_jupyter import Workspace

Opening = Callable[..., Workspace]


def copied_database(place: Path, target: Path) -> None:
    """Copy a workspace's database, which spares MLflow the seconds of migrating an empty one."""
    source = Workspace.open(place)
    source.tracking.create()
    with sqlite3.connect(place / ".mlops" / "mlflow.db") as ours, sqlite3.connect(target) as copy:
        ours.backup(copy)
    ours.close()
    copy.close()


class MlflowServer:
    """A real `mlflow server` on the loopback, with a SQLite of its own; it may be stopped and started again."""

    def __init__(self, place: Path) -> None:
        self._place = place
        (place / "seed").mkdir()
        copied_database(place / "seed", place / "server.db")
        self._port = free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it, wait until it answers, and give its address."""
        place = self._place
        words = ["server", "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        words += ["--backend-store-uri", f"sqlite:///{place / 'server.db'}"]
        words += ["--artifacts-destination", str(place / "kept")]
        with (place / "log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words],
                cwd=place,
                env=environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers, "the MLflow server answers", 120)
        return self.uri

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._place / "log").read_text()
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def process_group(self) -> int:
        """The group of its processes, for signals."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        # Its workers are children of their own; all of them are in the session that was made for it.
        os.killpg(self._process.pid, number)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None


class PostgreSQL:
    """A real PostgreSQL on the loopback, in a temporary folder; it may be stopped and started again."""

    def __init__(self) -> None:
        # Not below pytest's folder, which only its owner may enter: PostgreSQL refuses to be root.
        self._place = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(self._place, account.pw_uid, account.pw_gid)
        words = [self._program("initdb"), "-D", str(self._place / "data"), "-U", "mlops", "--auth=trust", "-E", "UTF8"]
        subprocess.run([*words, "--no-sync"], check=True, capture_output=True, user=self._user, cwd=self._place)
        self.uri = f"postgresql+psycopg2://mlops@127.0.0.1:{self._port}/postgres"

    @staticmethod
    def _program(name: str) -> str:
        # Debian keeps them off the PATH, a folder a version.
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
        return str(found[-1]) if found else (shutil.which(name) or name)

    def start(self) -> str:
        """Start it, wait until it answers with MLflow's tables in it, and give its address."""
        words = [self._program("postgres"), "-D", str(self._place / "data"), "-h", "127.0.0.1", "-p", str(self._port)]
        # Ends with the process that holds it, however: SIGQUIT and SIGKILL are as good here, nobody keeps the data.
        words += ["-k", "", "-c", "fsync=off", "-c", "max_connections=200"]
        with (self._place / "log").open("a") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, user=self._user, cwd=self._place)
        until(self._answers, "PostgreSQL answers", 60)
        from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

        engine = create_sqlalchemy_engine(self.uri)
        try:
            _initialize_tables(engine)
        finally:
            engine.dispose()
        return self.uri

    def _answers(self) -> bool:
        import psycopg2

        assert self._process is not None
        assert self._process.poll() is None, (self._place / "log").read_text()
        try:
            psycopg2.connect(host="127.0.0.1", port=self._port, user="mlops", dbname="postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """End it at once, its connections included."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def stop(self) -> None:
        """End it, and take its files away."""
        self.kill()
        shutil.rmtree(self._place, ignore_errors=True)


class FailingProxy:
    """Stands before a tracking server and answers 500 to every third call: before it is passed on, or after.

    A call that was passed on is the nasty one: it was carried out, and whoever asked is told that it was not.
    """

    def __init__(self, uri: str, every: int = 3) -> None:
        self._upstream = uri
        self._every = every
        self._turn = threading.Lock()
        self.calls = 0
        self.failures = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                status, headers, body = proxy.answer(self.command, self.path, dict(self.headers), self._body())
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() in ("content-type", "content-disposition"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Pass a call on, or fail it."""
        with self._turn:
            self.calls += 1
            fails = self.calls % self._every == 0
            self.failures += fails
            passed_on = not fails or self.failures % 2 == 0
        answer = self._ask(method, path, headers, body) if passed_on else None
        return (500, {}, b"out of order") if fails or answer is None else answer

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
        request = urllib.request.Request(self._upstream + path, body or None, kept, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def __enter__(self) -> FailingProxy:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
