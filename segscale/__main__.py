"""``python -m segscale``: the command line."""

from segscale.flows.cli.main import main

if __name__ == "__main__":
    main()
