"""What is kept: sessions and the library's full-text index, in SQLite. Knows no process, no engine, no window."""
