"""The services: they compose stores, tools, engine and agent for the window and the command line alike. Know no Qt."""
