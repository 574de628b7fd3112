"""The widgets behind `places`: a picture that answers the pointer and the keyboard
(`pad.js`), and a button that takes a photo."""

import io
from pathlib import Path

import anywidget
import ipywidgets
import traitlets
from ipywidgets.widgets import ValueWidget

from cnnviz_utils.plot.places import image_of

HERE = Path(__file__).parent


class Pad(anywidget.AnyWidget, ValueWidget):
    """A picture to draw on, to drag a square over, or a table to click in (`mode`).

    value: (y, x, side) in pixels or (row, column); while drawing the number of changes.
    picture: the pixels as bytes, red, green, blue and alpha; drawing changes them.
    """

    _esm = (HERE / "pad.js").read_text(encoding="utf-8")
    _css = (HERE / "pad.css").read_text(encoding="utf-8")

    description = traitlets.Unicode("")
    mode = traitlets.Unicode("draw").tag(sync=True)
    size = traitlets.List().tag(sync=True)
    picture = traitlets.CBytes(b"").tag(sync=True)
    paints = traitlets.List().tag(sync=True)
    cells = traitlets.List().tag(sync=True)
    rows = traitlets.List().tag(sync=True)
    columns = traitlets.List().tag(sync=True)
    value = traitlets.List([0]).tag(sync=True)

    def get_interact_value(self):
        if self.mode == "draw":
            return image_of(bytes(self.picture), self.size)
        return tuple(self.value)


class Upload(ipywidgets.FileUpload):
    """A button that takes one photo; until then, and for a file that is none, its value
    is the photo at the beginning."""

    def __init__(self, start, side: int) -> None:
        super().__init__(accept="image/*", multiple=False, description="Your photo")
        self.start, self.side = start, side

    def get_interact_value(self):
        from PIL import Image, ImageOps
        from torchvision.transforms.functional import pil_to_tensor

        if not self.value:
            return self.start
        try:
            photo = ImageOps.exif_transpose(
                Image.open(io.BytesIO(bytes(self.value[0]["content"])))
            )
        except OSError:
            self.description = "No photo: choose another file"
            return self.start
        square = ImageOps.fit(photo.convert("RGB"), (self.side, self.side))
        self.description = "Your photo"
        return pil_to_tensor(square)[None] / 255
