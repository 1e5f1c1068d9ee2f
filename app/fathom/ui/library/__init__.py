"""The Library area: collections, their documents, and a document opened at the passage that was found."""
