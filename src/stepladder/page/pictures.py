"""Images as data URIs."""

from base64 import b64encode
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def data_uri(levels: NDArray[np.uint8], *, inverted: bool = False) -> str:
    """A PNG of levels (1 or 3 channels, height, width), inverted where they are ink on black, so that the page shows it on white;
    the page enlarges it without smoothing."""
    written = BytesIO()
    shown = 255 - levels if inverted else levels
    Image.fromarray(shown[0] if len(shown) == 1 else np.moveaxis(shown, 0, 2).copy()).save(written, "png", optimize=True)
    return f"data:image/png;base64,{b64encode(written.getvalue()).decode()}"
