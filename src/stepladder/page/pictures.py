"""Images as data URIs."""

from base64 import b64encode
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def data_uri(grey: NDArray[np.uint8]) -> str:
    """A PNG of grey levels (height, width), dark on light as ink is; the page enlarges it without smoothing."""
    written = BytesIO()
    Image.fromarray(255 - grey).save(written, "png", optimize=True)
    return f"data:image/png;base64,{b64encode(written.getvalue()).decode()}"
