"""Values and names that every floor shares. Imports nothing else of Fathom, and no heavy library."""
