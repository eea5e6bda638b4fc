"""Entry of the bundle: the server of the installed package."""

from sam3_mcp.__main__ import main

main()
