"""The text that octavo-tiny learns from: every line of it is made here, from a seed."""
