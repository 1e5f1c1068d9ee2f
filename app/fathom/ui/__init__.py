"""The window: Qt Widgets on top of the services. The only package that imports PySide6 and qasync."""
