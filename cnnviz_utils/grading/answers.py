"""Open answers as a person reads them: the text beside the picture that it is about."""

from markupsafe import Markup

from cnnviz_utils.course.markdown import markdown
from cnnviz_utils.course.outputs import PICTURES, output_html
from cnnviz_utils.course.repair import Notebook, repaired
from cnnviz_utils.grading.marks import open_answer
from cnnviz_utils.grading.tasks import Task

LARGEST = 3_000_000  # characters of a picture on the page
DRAWN = {*PICTURES, "image/svg+xml"}


def shown_answer(executed, handed_in: Notebook, task: Task) -> dict[str, Markup]:
    """{"text", "picture"}: safe HTML. The picture is the last one above the question's
    answer in the run notebook (as nbformat has it), "" if there is none."""
    text = open_answer(handed_in, task)
    attached = {}
    picture = Markup("")
    for before, after in zip(handed_in.cells, repaired(executed).cells, strict=True):
        if before.kind == "markdown" and before.source and before.source in text:
            attached |= before.attachments
            if f"**{task.key}**" not in before.source:
                break
        for output in after.outputs:
            if DRAWN & set(output.data):
                picture = output_html(output)
    if len(picture) > LARGEST:
        picture = Markup("<p>The picture is too large for this page.</p>")
    return {"text": markdown(text, attached), "picture": picture}
