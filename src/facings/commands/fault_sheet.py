"""The pictures of a dataset's worst faults on one sheet."""

import base64
import io

from PIL import Image

from facings.analysis.contact_sheet import Plate, lay_out
from facings.commands.data_pictures import worst_pictures
from facings.data.doctor.faults import KINDS, Findings


def draw_faults_of_data(findings: Findings, *, most: int = 9) -> Image.Image:
    """The first few of each kind that has a picture, errors before warnings, `most` in all."""
    plates = []
    for picture in worst_pictures(findings)[:most]:
        about = KINDS[picture.kind]
        content = base64.b64decode(picture.uri.partition(",")[2])
        shown = Image.open(io.BytesIO(content)).convert("RGB")
        plates.append(Plate(shown, (f"{about.severity}: {about.title}", picture.caption)))
    return lay_out(plates, "Faults" if plates else "No fault has a picture to show", {})
