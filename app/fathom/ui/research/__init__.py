"""The Research area: sessions, a new question, the steps of a run and what they found."""
