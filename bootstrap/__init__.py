"""What stands behind ./veche before there is a virtual environment. Standard library only."""
