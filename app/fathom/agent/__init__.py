"""The agent: the loop, its guards and control, the report and its evidence. Knows no process, database or window."""
