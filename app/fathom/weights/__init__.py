"""Files of models: what they say of themselves, and the one that comes with Fathom. Loads no model."""
