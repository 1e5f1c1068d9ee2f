"""The Models area: which model answers, which are here, which can be had."""
