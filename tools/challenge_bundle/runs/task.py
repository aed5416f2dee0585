"""task.json follows bundle.toml: the metric that ranks, and its options, may change after an import."""

from dataclasses import replace

from challenge_bundle.files import write_text
from challenge_bundle.formats.task_json import read_task, task_text
from challenge_bundle.formats.tasks import parse_metric_options
from challenge_bundle.layout import Layout
from challenge_bundle.settings import Bundle


def update_task(bundle: Bundle, layout: Layout) -> None:
    """Write the metric of bundle.toml into each task.json that an import wrote.

    Raises:
        DataError: A task.json is at fault.
    """
    options = parse_metric_options(bundle.evaluation.metric_options)
    for path in (layout.task_json, layout.reference_task_json):
        if path.is_file():
            task = read_task(path.parent)
            wanted = replace(task, metric=bundle.evaluation.metric, options=options)
            if wanted != task:
                write_text(path, task_text(wanted))
