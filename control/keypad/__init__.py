"""The telephone keypad of somebody who is in a conference."""
