"""The texts of a participant kit: the rules as a bundle.toml, and a page that describes what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from challenge_bundle.formats.kit_json import Kit
from challenge_bundle.formats.setting import settings_of
from challenge_bundle.formats.toml_table import to_toml
from challenge_bundle.settings import Bundle, EvaluationSettings, Phase

_HEAD = "# The rules of this challenge, as the organiser wrote them.\n\n"

_README = """\
# {title}

Task: {task}. Ranked by {metric}; of each team, the {rules.take} submission counts.

- `input_data/`: images to train on and to choose a model by, with their labels, and the testing images
- `bundle.toml`: the rules, which the tool reads
- `kit.json`: what submissions are built with

## From here to a submission

Install the challenge bundle tool (its README, "Try it"). KIT is this folder; in a checkout of the tool, write
`python tools/bundle.py` in place of `bundle`:

```
bundle --bundle KIT run-all
bundle --bundle KIT zip --team "Your team" --method "Your method"
bundle --bundle KIT check KIT/submission.zip
```

`run-all` trains, and writes predictions for the testing images, whose labels the organiser has.
`check` applies the rules below. Send the zip to the organiser.

## Rules

- a zip of at most {zip.zip_mb} MB, {zip.unpacked_mb} MB unpacked, {zip.files} files; it names your team
- base images: {bases}
- building: at most {rules.build_time_s} s and {rules.build_memory_mb} MB of memory, for an image of at most
  {rules.image_mb} MB
- running: at most {run.time_s} s, {run.memory_mb} MB of memory, {run.cpus:g} processors and {run.pids}
  processes; no network

Phases:

{phases}

## Packages

{packages}
"""

_WITH_NETWORK = "The build has a network."

_WITHOUT_NETWORK = """\
The build has no network. The Dockerfile can install these packages, as that in bundle_inference/ does:

{wheels}
Other packages go into the zip: put their wheels into bundle_inference/wheelhouse/, where the Dockerfile finds
them (for Python {kit.python_version} on Linux, {kit.machine}). On such a machine, in the folder that holds
bundle_inference/:

```
pip download --only-binary :all: --python-version {kit.python_version} -d bundle_inference/wheelhouse \\
    -r bundle_inference/requirements.txt
```"""


def public_manifest(bundle: Bundle, class_names: Sequence[str]) -> str:
    """What participants may know of bundle.toml, as a bundle.toml for their folder."""
    rules = bundle.evaluation
    shown = [name for name, one in settings_of(EvaluationSettings).items() if one.in_kit]
    head = {"name": bundle.name, "title": bundle.title, "task": bundle.task, "class_names": class_names}
    tables: list[tuple[str, Mapping[str, Any]]] = [
        ("[bundle]", head | ({"base_image": bundle.base_image} if bundle.base_image else {})),
        ("[inference]", asdict(bundle.limits["inference"])),
        ("[submission]", asdict(bundle.submission)),
        ("[evaluation]", {name: getattr(rules, name) for name in shown}),
        *(("[[phases]]", asdict(phase)) for phase in rules.phases),
    ]
    return _HEAD + "\n".join(
        f"{name}\n"
        + "".join(f"{key} = {to_toml(value)}\n" for key, value in table.items() if value not in (None, ""))
        for name, table in tables
    )


def readme_text(bundle: Bundle, class_names: Sequence[str], kit: Kit) -> str:
    """The kit's page: what is in it, the rules, and the commands from here to a submission."""
    rules = bundle.evaluation
    packages = _WITH_NETWORK
    if kit.wheels is not None:
        packages = _WITHOUT_NETWORK.format(kit=kit, wheels="".join(f"- {wheel}\n" for wheel in kit.wheels))
    return _README.format(
        title=bundle.title,
        task=f"{bundle.task} ({', '.join(class_names)})" if class_names else bundle.task,
        metric=rules.metric or "the scoring program's own metric",
        rules=rules,
        zip=bundle.submission,
        run=bundle.limits["inference"],
        bases=", ".join(rules.base_images) or kit.base_image or "that of bundle_inference/Dockerfile",
        phases="\n".join(f"- {_phase_text(phase)}" for phase in rules.phases),
        packages=packages,
    )


def _phase_text(phase: Phase) -> str:
    opens = f"from {phase.opens:%Y-%m-%d %H:%M} UTC" if phase.opens else "open already"
    closes = f"until {phase.closes:%Y-%m-%d %H:%M} UTC" if phase.closes else "without an end"
    often = (
        f", {phase.submissions_per_day} submissions of a team per day" if phase.submissions_per_day else ""
    )
    return f"{phase.name}: {opens}, {closes}{often}"
