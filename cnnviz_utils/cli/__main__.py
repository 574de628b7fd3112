"""`python -m cnnviz_utils.cli`: the command `cnnviz`."""

from cnnviz_utils.cli import main

if __name__ == "__main__":
    main()
