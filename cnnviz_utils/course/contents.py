"""The lessons as JupyterLab gets them from `cnnviz lab`.

JupyterLab writes the kernel's description, with Python's exact version, into every
notebook that it opens, and marks it as changed if another one stood there. Lessons do
not carry one, as it differs between machines: it is filled in while they are read.
"""

from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager


def described(metadata: dict[str, Any]) -> dict[str, Any]:
    """A notebook's metadata with the description of this Python's kernel, if it is a
    Python notebook or says nothing."""
    from ipykernel.ipkernel import IPythonKernel
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    if metadata.get("kernelspec", {}).get("name", "python3") != "python3":
        return metadata
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return metadata
    about = {"name": "python3", "display_name": spec.display_name, "language": "python"}
    language = dict(IPythonKernel.language_info)
    return metadata | {"kernelspec": about, "language_info": language}


class Lessons(AsyncLargeFileManager):
    """Files as they are; notebooks with the description of the kernel that will run
    them."""

    # as the server calls it: the content is wanted unless it says otherwise
    async def get(self, path: str, *options: Any, **named: Any) -> dict[str, Any]:
        model = await super().get(path, *options, **named)
        if model["type"] == "notebook" and model["content"]:
            notebook = model["content"]
            notebook["metadata"] = described(dict(notebook["metadata"]))
        return model
