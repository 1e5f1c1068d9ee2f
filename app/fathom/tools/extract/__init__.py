"""From bytes to text, and from a long text to what was asked for. Knows no network and no process."""
