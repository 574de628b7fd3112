"""Whether a person sits at the notebook."""


def someone_is_there() -> bool:
    """Whether a person can move a slider: papermill, nbval and nbconvert run cells
    without a standard input, JupyterLab with one, and the kernel is told which."""
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))
