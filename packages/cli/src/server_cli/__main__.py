"""``python -m server_cli`` is the command ``server``."""

from server_cli.main import main

main()
