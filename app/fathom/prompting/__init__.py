"""What the model sees: retention and budgets, call formats, chat templates, profiles. Knows the core only."""
