"""Models: which are on this computer, which can be had, what fits, how long a question takes; load, try, add, remove.

Looks are made off the event loop and end in one value, ``Shelf``; whoever shows it subscribes. Removes only files of
Fathom's own folder; files of others are only forgotten. Knows nothing of windows.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from fathom.core.errors import EngineError, FathomError, ModelFileError, UserError
from fathom.core.settings import Settings
from fathom.core.types import EngineInfo, EngineSpec, Session, Struct
from fathom.engines import BACKENDS
from fathom.prompting.profiles import Profile, load_profile
from fathom.services import engine_choice, engine_fit, machine, pace
from fathom.services.downloads import Download, Downloads
from fathom.services.engine_service import EngineService
from fathom.services.pace import Pace, Probe
from fathom.weights import convertible, embedded, gguf, memory, mlx_folder, places
from fathom.weights.catalog import Entry, catalog
from fathom.weights.memory import Fit, Machine
from fathom.weights.places import Candidate
from fathom.workers.client import EngineClient

NOT_CHAT = frozenset(
    {"clip", "bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "t5encoder", "whisper", "gemma-embedding"}
)
TRY_CONTEXT = 2048
MAX_MODELS = 300
NAME_CHARS = 80  # of what a file calls itself


class Model(Struct, frozen=True):
    """A model on this computer.

    ``path`` is what to load, "" never. ``name`` is for people, ``engine_name`` what a loaded engine will call it.
    ``backend`` computes it when nothing else is chosen, and ``fit`` is with that one. ``own``: it lies in Fathom's
    folder and can be removed. ``problem`` says why it cannot be loaded, "" when it can.
    """

    path: str
    name: str
    engine_name: str
    place: str
    bytes: int
    backend: str = "llamacpp"
    entry: str = ""  # the catalogue's id
    detail: str = ""  # quantisation and licence, as far as they are known
    note: str = ""
    embedded: bool = False
    own: bool = False
    in_use: bool = False
    fit: Fit = Fit(state="unknown")
    others: tuple[tuple[str, Fit], ...] = ()  # the other backends that take it, each with its fit
    pace: Pace | None = None
    probe: Probe | None = None
    problem: str = ""
    problem_do: str = ""


class Offer(Struct, frozen=True):
    """A model of the catalogue that is not here. ``recommended``: the one to take on this computer."""

    entry: Entry
    fit: Fit
    pace: Pace | None = None
    recommended: bool = False


class Shelf(Struct, frozen=True):
    """Everything about models, as it was at the last look."""

    machine: Machine
    models: tuple[Model, ...] = ()
    offers: tuple[Offer, ...] = ()
    places: tuple[str, ...] = ()  # labels of the places that were looked at
    disk_free: int = 0
    own_bytes: int = 0
    host: str = ""

    @property
    def recommended(self) -> Offer | None:
        """The model to take on this computer, None when there is none to be had or a better one is here."""
        return next((offer for offer in self.offers if offer.recommended), None)

    def model(self, path: str) -> Model | None:
        """The model of a path."""
        return next((one for one in self.models if one.path == path), None)


class _Room(Struct, frozen=True):
    """The computer as each library can use it, and what the present model would give back."""

    llamacpp: Machine
    mlx: Machine
    held_bytes: int


class ModelLibrary:
    """All methods belong to the event loop's thread. ``busy`` tells whether a session runs."""

    def __init__(
        self,
        settings: Settings,
        home: Path,
        engine: EngineService,
        sessions: Callable[[], Sequence[Session]],
        *,
        user_home: Path | None = None,
        look_at_machine: Callable[[], Machine] = machine.look,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._sessions = sessions
        self._user_home = user_home or Path.home()
        self._look_at_machine = look_at_machine
        self.folder = home / "models"
        self.downloads = Downloads(self.folder)
        self.probes = pace.ProbeBook(self.folder / "pace.json")
        self.shelf = Shelf(machine=Machine(ram_bytes=0, free_bytes=0), host=self.downloads.host)
        self.looked = False
        self._read: dict[tuple[str, int, int], gguf.GgufHeader | mlx_folder.MlxFolder | ModelFileError] = {}
        self._callbacks: list[Callable[[Shelf], None]] = []
        self._looking = asyncio.Lock()
        self._trying = asyncio.Lock()
        self._ends = [self.downloads.subscribe(self._download_changed)]
        self._later: set[asyncio.Task[Shelf]] = set()

    def subscribe(self, callback: Callable[[Shelf], None]) -> Callable[[], None]:
        """Call ``callback(shelf)`` after each look; returns the way to end it."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    async def close(self) -> None:
        """End downloads and looks; downloads can be resumed later."""
        for end in self._ends:
            end()
        self._ends = []
        await self.downloads.close()
        for task in list(self._later):
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    # --- looking --------------------------------------------------------------------------------------------------

    async def look(self) -> Shelf:
        """Look at the machine and at every place; some tenths of a second, off the event loop."""
        async with self._looking:
            sessions = list(self._sessions())
            pid = self._engine.pid
            self.shelf = await asyncio.to_thread(self._look, sessions, pid, self.loaded_path, self._on_gpu)
            self.looked = True
        for callback in list(self._callbacks):
            callback(self.shelf)
        return self.shelf

    @property
    def loaded_path(self) -> str:
        """The path of the model that is loaded, "" when none is."""
        return self._engine.info.path if self._engine.info is not None else ""

    @property
    def _on_gpu(self) -> bool:
        return self._engine.info is not None and self._engine.info.device != "cpu"

    def _look(self, sessions: list[Session], pid: int, loaded: str, gpu: bool) -> Shelf:
        seen_machine = self._look_at_machine()
        # A card counts when the library was built for it, or what is loaded is on it.
        here = _Room(
            llamacpp=seen_machine if gpu else engine_fit.seen_by("llamacpp", seen_machine),
            mlx=engine_fit.seen_by("mlx", seen_machine),
            held_bytes=machine.process_bytes(pid) if pid else 0,
        )
        with contextlib.suppress(ModelFileError):  # no room for it: whoever loads it says so
            embedded.locate()
        known = places.standard_places(self.folder, self._user_home, os.environ)
        candidates = [found for place in known for found in places.look(place)]
        for added in self._settings.model_places:
            path = Path(added)
            one = None if path.is_dir() and not (path / "config.json").is_file() else places.single(path)
            candidates += [one] if one is not None else places.look(places.Place(label=places.CHOSEN, path=added))
        models: list[Model] = []
        seen: set[str] = set()
        for candidate in candidates[:MAX_MODELS]:
            real = os.path.realpath(candidate.path)
            if real in seen or candidate.path in self._settings.forgotten_models:
                continue
            seen.add(real)
            model = self._model(candidate, here, sessions, loaded)
            if model is not None:
                models.append(model)
        models.sort(key=lambda one: (not one.in_use, bool(one.problem), -one.bytes))
        return Shelf(
            machine=seen_machine,
            models=tuple(models),
            offers=self._offers(models, here, sessions),
            places=tuple(dict.fromkeys(place.label for place in known)),
            disk_free=_disk_free(self.folder),
            own_bytes=sum(one.bytes for one in models if one.own),
            host=self.downloads.host,
        )

    def _model(self, found: Candidate, here: _Room, sessions: list[Session], loaded: str) -> Model | None:
        path = Path(found.path)
        own = found.place == places.OWN
        small = own and path.name == embedded.FILE
        entry = _entry_of(path, found)
        base = Model(
            path=found.path,
            name=entry.name if entry else pace.printable(found.name or path.stem, NAME_CHARS),
            engine_name="",
            place="Comes with Fathom" if small else found.place,
            bytes=found.bytes,
            backend=found.backend,
            entry=entry.id if entry else "",
            note=entry.note if entry else "",
            embedded=small,
            own=own and not small,
            in_use=bool(loaded) and os.path.realpath(loaded) == os.path.realpath(found.path),
            probe=self.probes.get(found.path),
        )
        header = self._told(path, base.bytes)
        if isinstance(header, ModelFileError):
            return msgspec.structs.replace(base, problem=f"Cannot be loaded: {header.has}", problem_do=header.do)
        if isinstance(header, mlx_folder.MlxFolder):
            return self._mlx_model(base, header, entry, here, sessions)
        if header.architecture in NOT_CHAT or header.metadata.get("general.type") in ("adapter", "mmproj", "imatrix"):
            return None  # a part of another model, or one that does not write
        missing = [part.name for part in places.parts(path) if not part.is_file()]
        name = base.name if entry or found.name else pace.printable(header.name or path.stem, NAME_CHARS)
        detail = " · ".join(
            part
            for part in (
                "" if small else _quantisation(path.name),
                _licence(entry) or pace.printable(header.license, 24),
            )
            if part
        )
        profile = _profile(header.name or path.stem, header.architecture, path)
        context = min(profile.context_tokens, header.context_length or profile.context_tokens)
        shape = memory.of_entry(entry) if entry else None
        kv_type = self._settings.kv_type
        need = engine_fit.demand(header, path, "llamacpp", here.llamacpp, kv_type=kv_type, shape=shape)
        fits = {"llamacpp": need.fit(context, here.llamacpp, here.held_bytes)}
        if not _no_mlx() and not convertible.why_not(header):
            unpacked = engine_fit.demand(header, path, "mlx", here.mlx, shape=shape)
            fits["mlx"] = unpacked.fit(context, here.mlx, here.held_bytes)
        backend = engine_choice.backend_of(self._settings, path)
        backend = backend if backend in fits else "llamacpp"
        return msgspec.structs.replace(
            base,
            name=name,
            engine_name=header.name or path.stem,
            bytes=sum(part.stat().st_size for part in places.parts(path) if part.is_file()),
            detail=detail,
            backend=backend,
            fit=fits.pop(backend),
            others=tuple(fits.items()),
            pace=self._pace(base.path, header.name or path.stem, profile, sessions, entry),
            problem=f"Cannot be loaded: the part {missing[0]} is missing" if missing else "",
            problem_do="Fetch the missing part into the same folder." if missing else "",
        )

    def _mlx_model(
        self, base: Model, folder: mlx_folder.MlxFolder, entry: Entry | None, here: _Room, sessions: list[Session]
    ) -> Model:
        path, why = Path(base.path), _no_mlx()
        profile = _profile(base.name, "", path)
        shape = memory.of_entry(entry) if entry else None
        need = engine_fit.demand(folder, path, "mlx", here.mlx, shape=shape)
        context = min(profile.context_tokens, folder.context_length or profile.context_tokens)
        return msgspec.structs.replace(
            base,
            engine_name=base.name,
            detail=" · ".join(part for part in ("MLX", _licence(entry)) if part),
            fit=need.fit(context, here.mlx, here.held_bytes),
            pace=self._pace(base.path, base.name, profile, sessions, entry),
            problem=why,
            problem_do="Use a GGUF file of the same model." if why else "",
        )

    def _told(self, path: Path, size: int) -> gguf.GgufHeader | mlx_folder.MlxFolder | ModelFileError:
        """What a file or a folder says of itself, checked; one that did not change is not read again."""
        try:
            key = (str(path), size, path.stat().st_mtime_ns)
        except OSError as error:
            return ModelFileError(f"{path.name} cannot be read.", has=error.strerror or str(error), do="Look again.")
        if key not in self._read:
            try:
                self._read[key] = engine_choice.read_model(path)
            except ModelFileError as error:
                self._read[key] = error
        return self._read[key]

    def _offers(self, models: Sequence[Model], here: _Room, sessions: list[Session]) -> tuple[Offer, ...]:
        have = {one.entry for one in models if one.entry and not one.problem}
        offers = []
        for entry in catalog().values():
            if entry.embedded or entry.id in have or (entry.format == "mlx" and _no_mlx()):
                continue
            profile = _profile(entry.name, "", Path(entry.target))
            context = min(profile.context_tokens, entry.context)
            computer = here.mlx if entry.format == "mlx" else here.llamacpp
            need = engine_fit.of_entry(entry, computer, self._settings.kv_type)
            found = need.fit(context, computer, here.held_bytes)
            offers.append(Offer(entry=entry, fit=found, pace=self._pace("", "", profile, sessions, entry)))
        best = memory.recommended(((offer.entry, offer.fit) for offer in offers), here.llamacpp)
        if best is not None and any(
            _better(catalog()[one.entry], best) for one in models if one.entry and one.fit.usable
        ):
            best = None
        return tuple(
            msgspec.structs.replace(offer, recommended=best is not None and offer.entry.id == best.id)
            for offer in offers
        )

    def _pace(
        self, path: str, engine_name: str, profile: Profile, sessions: list[Session], entry: Entry | None
    ) -> Pace | None:
        if engine_name and (found := pace.measured(sessions, engine_name)) is not None:
            return found
        probe = self.probes.get(path) if path else None
        if probe is not None:
            return Pace(seconds=pace.estimate_s(probe, profile), source="estimate")
        if entry is None:
            return None
        for other, theirs in self.probes.all().items():  # another model's speed, from what both read for a token
            reference = _entry_of(Path(other), None)
            if reference is not None and (guess := pace.scaled(theirs, reference.active_bytes, entry.active_bytes)):
                return Pace(seconds=pace.estimate_s(guess, profile), source="rough")
        return None

    def _download_changed(self, item: Download) -> None:
        if item.state == "done":
            task = asyncio.get_running_loop().create_task(self.look())
            self._later.add(task)
            task.add_done_callback(self._later.discard)

    # --- commands -------------------------------------------------------------------------------------------------

    async def add(self, path: Path) -> Shelf:
        """List a file, an MLX folder, or the models of a folder. Raises ModelFileError when there is no model in it."""
        path = await asyncio.to_thread(_checked, path)
        kept = tuple(one for one in self._settings.model_places if one != str(path))
        self._settings.model_places = (*kept, str(path))
        self._settings.forgotten_models = tuple(
            one for one in self._settings.forgotten_models if not Path(one).is_relative_to(path)
        )
        self._settings.save()
        return await self.look()

    async def use(self, model: Model) -> None:
        """Load a model; the choice is kept. Raises ModelFileError or UserError; the present one then stays."""
        self._refuse_while_running("A question is being answered with the present model.")
        if model.problem:
            raise ModelFileError(
                f"{model.name} cannot be loaded.", has=model.problem, do=model.problem_do, remedy="choose_model"
            )
        await self._engine.use_model("" if model.embedded else model.path)

    async def unload(self) -> None:
        """Give the memory back; the next question loads the model again. Raises UserError while a session runs."""
        self._refuse_while_running("The model is answering.")
        await self._engine.unload()

    async def try_model(self, model: Model, limit_s: float = pace.PROBE_S) -> Probe:
        """A test sentence with its speed, within ``limit_s`` of reading and writing. Kept as the model's pace.

        A model that is not loaded gets a process of its own for it. Raises ModelFileError, EngineError, or UserError
        while a session runs: both would be slow.
        """
        self._refuse_while_running("A question is being answered.")
        async with self._trying:
            if model.in_use and self._engine.info is not None:
                client, _profile_of = await self._engine.ready_or_raise()
                found = await pace.probe(client, limit_s)
            else:
                header = await asyncio.to_thread(engine_choice.read_model, Path(model.path))
                spec = EngineSpec(
                    backend=model.backend,
                    model=model.path,
                    context_tokens=TRY_CONTEXT,
                    gpu_layers=await asyncio.to_thread(engine_choice.graphics_layers, header, TRY_CONTEXT),
                )
                other = await EngineClient.start(spec)
                try:
                    found = await pace.probe(other, limit_s)
                finally:
                    await other.close()
            self.probes.put(model.path, found)
        await self.look()
        return found

    def _refuse_while_running(self, what: str) -> None:
        if any(one.state == "running" for one in self._sessions()):
            raise UserError(what, has="a session that runs", do="Wait until it is done, or pause it.")

    async def forget(self, model: Model) -> Shelf:
        """Do not list it any more; its file stays where it is."""
        self._settings.model_places = tuple(one for one in self._settings.model_places if one != model.path)
        if model.path not in self._settings.forgotten_models:
            self._settings.forgotten_models = (*self._settings.forgotten_models, model.path)
        self._settings.save()
        return await self.look()

    async def remove(self, model: Model) -> Shelf:
        """Delete a model of Fathom's own folder. Raises UserError for any other, and for the one that is in use."""
        path = Path(model.path)
        if not model.own or path.parent != self.folder:
            raise UserError(
                f"{model.name} is not Fathom’s to delete.",
                has=f"a file of {model.place}",
                do="Delete it there; here it can only be taken out of the list.",
            )
        if model.in_use:
            raise UserError(f"{model.name} is in use.", do="Use another model first.")
        await asyncio.to_thread(_delete, path)
        if self._settings.model == model.path:
            self._settings.model = ""
            self._settings.save()
        return await self.look()


def _checked(path: Path) -> Path:
    """The absolute path of what a person chose. Raises ModelFileError when there is no model in it."""
    path = path.expanduser().absolute()
    if path.is_dir() and not (path / "config.json").is_file():
        if not places.look(places.Place(label=places.CHOSEN, path=str(path))):
            raise ModelFileError(
                f"There is no model in {path.name or path}.",
                needs="a GGUF file, or an MLX folder",
                has="neither, in this folder and those below it",
                do="Choose another folder.",
                remedy="choose_model",
            )
    elif path.is_dir():
        if places.single(path) is None:
            raise ModelFileError(
                f"{path.name} is not an MLX model.",
                needs="config.json with a quantisation, and safetensors files",
                has="a folder without them",
                do="Choose another folder, or a GGUF file.",
                remedy="choose_model",
            )
    else:
        gguf.read_header(path)
    return path


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            for part in places.parts(path):
                part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{path.name} could not be deleted.",
            has=error.strerror or str(error),
            do="Make the models folder writable, then try again.",
        ) from error


def _disk_free(folder: Path) -> int:
    for place in (folder, *folder.parents):
        if place.is_dir():
            return shutil.disk_usage(place).free
    return 0


def _no_mlx() -> str:
    """Why an MLX folder cannot be run here, "" when it can."""
    if "mlx" not in BACKENDS or importlib.util.find_spec("mlx") is None:
        return "Cannot be loaded: MLX is not installed"
    return ""


def _profile(name: str, architecture: str, path: Path) -> Profile:
    return load_profile(EngineInfo(backend="llamacpp", model=name, architecture=architecture, path=path.name))


def _entry_of(path: Path, found: Candidate | None) -> Entry | None:
    """The catalogue's entry of a file: by its name; a file of Ollama's by what Ollama calls it is not known."""
    for entry in catalog().values():
        if path.name == entry.target or (found is not None and found.backend == "mlx" and found.name == entry.target):
            return entry
    return None


def _better(here: Entry, offered: Entry) -> bool:
    """Whether a model that is here makes the offer needless."""
    return here.worth_having >= offered.worth_having and here.bytes >= offered.bytes


def _licence(entry: Entry | None) -> str:
    return entry.licence if entry else ""


def _quantisation(name: str) -> str:
    """ "Q4_K_M" of a file's name, "" when it does not say."""
    for part in reversed(name.removesuffix(".gguf").replace(".", "-").split("-")):
        upper = part.upper()
        if (
            upper[:1] in "QIF"
            and any(c.isdigit() for c in upper)
            and upper[:2] in ("Q2", "Q3", "Q4", "Q5", "Q6", "Q8", "IQ", "F1", "F3")
        ):
            return upper
    return "BF16" if "BF16" in name.upper() else ""


def failure(error: FathomError) -> UserError:
    """Any of Fathom's errors as one that a person can act on."""
    if isinstance(error, UserError):
        return error
    has = str(error) if isinstance(error, EngineError) else type(error).__name__
    return UserError("The model could not be used.", has=has, do="Try again, or use another model.")
