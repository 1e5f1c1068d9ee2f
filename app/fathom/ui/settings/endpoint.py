"""Settings, A server of your own: its address, leave to send text there, model, key, a test, and whether it is used.

Works on the endpoint's service; every change counts from the next run on. The key's field is emptied when it is
handed on, and whether there is a key is looked for when the card is first seen.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from PySide6.QtGui import QAction, QIntValidator, QShowEvent
from PySide6.QtWidgets import QLineEdit, QMenu, QWidget

from fathom.core.errors import UserError
from fathom.core.settings import Settings
from fathom.ui import theme
from fathom.ui.bridge import Tasks
from fathom.ui.widgets.buttons import Button, Tick
from fathom.ui.widgets.cards import Card, IconLine, column, row
from fathom.ui.widgets.labels import Label

if TYPE_CHECKING:
    from fathom.services.endpoint_service import EndpointService
    from fathom.services.engine_service import EngineService

MENU_MODELS = 40


class EndpointCard(Card):
    """Empty until ``attach``."""

    def __init__(self, tasks: Tasks) -> None:
        super().__init__(gap=8)
        self._tasks = tasks
        self._engine: EngineService | None = None
        self._settings = Settings()
        self._looked = False
        self._names: tuple[str, ...] = ()
        self.body.addWidget(Label("A server of your own", "title", theme.BOLD))
        self.body.addWidget(
            Label(
                "Instead of a model on this computer: vLLM, SGLang, llama-server, LM Studio, Ollama, or another server "
                "with OpenAI’s protocol, here or on another computer.",
                lines=0,
            )
        )
        self.state = IconLine("info", "mut", "No address yet")
        self.body.addWidget(self.state)
        self.address = self._field("Address", "http://localhost:8000", self._give_address)
        self._add("Address", self.address)
        self.allow = Tick("")
        self.allow.clicked.connect(lambda on: self._change(allow_remote=on))
        self.body.addWidget(self.allow)
        self.model = self._field("Model", "The first one that the server lists", self._give_model)
        self.models = Button("The server’s models", "down", on_click=self._choose_model)
        self.models.setAccessibleName("Choose from the server’s models")
        self.models.offer("Test the server first: it then names its models")
        self._add("Model", self.model, self.models)
        self.context = self._field("Context in tokens", "What the server says", self._give_context)
        self.context.setValidator(QIntValidator(0, 1 << 24, self))
        self._add("Context in tokens", self.context)
        self.native = Tick("Use the server’s own tool calls")
        self.native.setAccessibleDescription("Otherwise calls are written as text, in the way that the model knows")
        self.native.clicked.connect(lambda on: self._change(native_tools=on))
        self.body.addWidget(self.native)
        self.key = self._field("Key", "Key, when the server wants one", None)
        self.key.setEchoMode(QLineEdit.EchoMode.Password)
        self.key.returnPressed.connect(self._give_key)
        self.keep_key = Button("Keep the key", on_click=self._give_key)
        self.keep_key.setAccessibleName("Keep the server’s key")
        self.remove_key = Button("Remove it", kind="link", on_click=self._start_removal)
        self.remove_key.setAccessibleName("Remove the server’s key")
        self.remove_key.hide()
        self._add("Key", self.key, self.keep_key, self.remove_key)
        self.store = IconLine("shield", "mut", "Keys are kept in your desktop’s keyring, never in a file of Fathom’s.")
        self.body.addWidget(self.store)
        buttons = row(gap=8)
        self.test = Button("Test", "retry", on_click=self._start_test)
        self.test.setAccessibleName("Test the server")
        self.test.setToolTip("Asks for the server’s list of models. No question and no page is sent.")
        self.use = Button("Use this server", "models", on_click=self._toggle)
        for button in (self.test, self.use):
            buttons.addWidget(button)
        buttons.addStretch(1)
        self.body.addLayout(buttons)

    def _field(self, name: str, hint: str, given: object) -> QLineEdit:
        field = QLineEdit()
        field.setFont(theme.font("body"))
        field.setPlaceholderText(hint)
        field.setAccessibleName(f"{name} of your server")
        if callable(given):
            field.editingFinished.connect(given)
        return field

    def _add(self, title: str, field: QLineEdit, *beside: QWidget) -> None:
        holder = column(gap=4)
        label = Label(title, weight=theme.MEDIUM)
        label.setBuddy(field)
        line = row(gap=8)
        line.addWidget(field, 1)
        for widget in beside:
            line.addWidget(widget)
        holder.addWidget(label)
        holder.addLayout(line)
        self.body.addLayout(holder)

    def attach(self, engine: EngineService, settings: Settings) -> None:
        """Show what there is."""
        self._engine, self._settings = engine, settings
        self._show()
        if self.isVisible():
            self._look_for_key()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._engine is not None:
            self._show()
            self._look_for_key()

    # --- what is there --------------------------------------------------------------------------------------------

    @property
    def _service(self) -> EndpointService:
        assert self._engine is not None
        return self._engine.endpoint

    def _show(self) -> None:
        service = self._service
        chosen, where, leaves_for = service.settings, service.where, service.leaves_for
        self.address.setText(chosen.base_url)
        self.model.setText(chosen.model)
        self.context.setText(str(chosen.context_tokens) if chosen.context_tokens else "")
        self.native.setChecked(chosen.native_tools)
        self.allow.setVisible(bool(leaves_for))
        self.allow.setText(f"My text may go to {leaves_for}")
        self.allow.setAccessibleName(self.allow.text())
        self.allow.setChecked(chosen.allow_remote)
        used = self._settings.backend == "endpoint"
        missing = "" if where else "Give an address first"
        if leaves_for and not chosen.allow_remote:
            missing = f"Tick “My text may go to {leaves_for}” first"
        self.test.offer(missing, "Asks for the server’s list of models. No question and no page is sent.")
        self.use.offer("" if used else missing)
        self.use.set_face("Use a model on this computer" if used else "Use this server")
        self.keep_key.offer("" if where else "Give an address first")
        if not where:
            self._say("info", "mut", "No address yet")
        elif leaves_for and not chosen.allow_remote:
            self._say("shield", "mut", f"{leaves_for} is not this computer: nothing is sent there until you allow it.")
        elif used and leaves_for:
            self._say("globe", "orange", f"In use: questions, and what is read for them, go to {leaves_for}.")
        elif used:
            self._say("ok", "green", f"In use: {where}, on this computer.")
        else:
            self._say("clock", "mut", "Not in use")

    def _say(self, icon: str, token: str, text: str) -> None:
        self.state.icon.set_icon(icon, token)
        self.state.label.setText(text)
        self.state.setAccessibleName(f"Your server: {text}")

    def _look_for_key(self) -> None:
        if not self._looked:
            self._looked = True
            self._tasks.start(self._show_key())

    async def _show_key(self) -> None:
        service = self._service
        state = await asyncio.to_thread(service.keys.state)
        if not state.lasting:
            self.store.icon.set_icon("warn", "orange")
            self.store.label.setText(
                f"Keys are kept until Fathom is closed, and then have to be given again: {state.reason}."
            )
        has = await service.has_key() if service.where else False
        self.key.setPlaceholderText(
            "A key is kept; write another one to replace it" if has else "Key, when it wants one"
        )
        self.remove_key.setVisible(has)

    # --- what is wanted -------------------------------------------------------------------------------------------

    def _give_address(self) -> None:
        text = self.address.text().strip()
        if self._engine is None or text == self._service.settings.base_url:
            return
        try:
            self._service.set_address(text)
        except UserError as error:
            self._say("warn", "red", " ".join(str(error).split("\n")))
            return
        self.models.offer("Test the server first: it then names its models")
        self._changed()
        self._tasks.start(self._show_key())

    def _give_model(self) -> None:
        if self._engine is not None and self.model.text().strip() != self._service.settings.model:
            self._change(model=self.model.text().strip())

    def _give_context(self) -> None:
        tokens = int(self.context.text() or 0)
        if self._engine is not None and tokens != self._service.settings.context_tokens:
            self._change(context_tokens=tokens)

    def _change(self, **changes: object) -> None:
        self._service.change(**changes)
        self._changed()

    def _changed(self) -> None:
        """Show it; a server that is in use is asked anew."""
        self._show()
        assert self._engine is not None
        if self._settings.backend == "endpoint" and not self._engine.busy():
            self._tasks.start(self._engine.restart())

    def _choose_model(self) -> None:
        menu = QMenu(self)
        menu.aboutToHide.connect(menu.deleteLater)
        for name in self._names[:MENU_MODELS]:
            action = QAction(name.replace("&", "&&"), menu)
            action.triggered.connect(lambda _checked=False, name=name: self._change(model=name))
            menu.addAction(action)
        menu.popup(self.models.mapToGlobal(self.models.rect().bottomLeft()))

    def _give_key(self) -> None:
        key = self.key.text()
        self.key.clear()
        if key:
            self._tasks.start(self._set_key(key))

    async def _set_key(self, key: str) -> None:
        try:
            await self._service.set_key(key)
        except UserError as error:
            self._say("warn", "red", " ".join(str(error).split("\n")))
            return
        await self._show_key()
        self._changed()
        await self._test()

    def _start_removal(self) -> None:
        self._tasks.start(self._remove_key())

    async def _remove_key(self) -> None:
        try:
            await self._service.remove_key()
        except UserError as error:
            self._say("warn", "red", " ".join(str(error).split("\n")))
        await self._show_key()
        self._changed()
        self.key.setFocus()  # the button that had it may be gone

    def _start_test(self) -> None:
        self._tasks.start(self._test())

    async def _test(self) -> None:
        self._say("running", "teal", "Asking the server")
        self.test.offer("It is being asked")
        result = await self._service.test()
        self._show()
        self._say("ok" if result.ok else "warn", "green" if result.ok else "red", result.message)
        self._names = result.models
        self.models.offer("" if result.models else "Test the server first: it then names its models")

    def _toggle(self) -> None:
        assert self._engine is not None
        if self._engine.busy():
            self._say("info", "mut", "A question is being researched: wait for its report, or stop it, then change.")
            return
        self._tasks.start(self._use(self._settings.backend != "endpoint"))

    async def _use(self, on: bool) -> None:
        assert self._engine is not None
        await self._engine.use_endpoint(on)
        self._show()
