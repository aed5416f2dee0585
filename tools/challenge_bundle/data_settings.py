"""Settings of an import: [data] of bundle.toml, the options of `data import`, and an import's request."""

from collections.abc import Sequence
from dataclasses import dataclass

from challenge_bundle.formats.setting import Shares, Size, Texts, setting
from challenge_bundle.formats.tasks import CLASSIFICATION


def _is_whole(shares: Sequence[float]) -> bool:
    return all(share > 0 for share in shares) and abs(sum(shares) - 1) <= 1e-6


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """Settings that [data] of bundle.toml, options of `data import` and the request of an import share."""

    sample_size: int = setting(
        "Images to take of each class (label set, or tenth of the values) in each split; 0 takes all.",
        0,
        low=0,
        high=10**9,
        example=100,
        default_words="0: all (of synthetic: 100)",
    )
    seed: int = setting(
        "Seed of sampling, of splitting and of synthetic images.", 0, low=0, high=2**32 - 1, example=7
    )
    image_size: Size | None = setting(
        "Width and height in pixels that every image must have.",
        None,
        low=1,
        high=2**31 - 1,
        example=[64, 64],
        expected="[width, height] in pixels",
        default_words="the most frequent size",
    )
    any_size: bool = setting("Take images of different sizes; image_size is ignored.", False, example=True)
    split: Shares = setting(
        "Shares of training, validation and testing, where the source has no splits.",
        (0.6, 0.2, 0.2),
        check=_is_whole,
        expected="three positive shares with sum 1",
        example=[0.7, 0.1, 0.2],
    )
    allow_leaks: bool = setting(
        "Take testing images that are also in training, and testing patients that are also in training.",
        False,
        example=True,
    )
    group: str = setting(
        "What stays in one split, such as a patient's images: a regular expression whose group is captured"
        " from file names, or csv:FILE[?file=COLUMN&group=COLUMN].",
        "",
        example="patient([0-9]+)_",
        default_words="none, or the source's own",
        metavar="RULE",
    )
    group_duplicates: bool = setting(
        "Keep near-duplicate images in one split, as if they were of one patient.", False, example=True
    )
    subgroups: Texts = setting(
        "Attributes of the testing images to compare scores by, as the source names them, such as columns of"
        " its csv; the option may be repeated.",
        (),
        check=lambda name: name.isprintable() and name == name.strip(),
        expected="names of attributes",
        default_words="none",
        example=["sex", "site"],
    )
    strip_metadata: bool = setting(
        "Remove EXIF data, comments and other texts from images; their pixels stay the same.",
        False,
        example=True,
    )


@dataclass(frozen=True, slots=True)
class DataSettings(ImportSettings):
    """How `run-all` and `data import` fill input_data/."""

    source: str = setting(
        "Where images come from, as SOURCE of `data import`; a relative path starts at bundle.toml.",
        "synthetic",
        example="folder:images",
    )
    anonymous: bool = setting(
        "Ask a server without credentials, as for a public bucket.",
        False,
        env="BUNDLE_ANONYMOUS",
        example=True,
    )


@dataclass(frozen=True, slots=True)
class ImportRequest(ImportSettings):
    """What is asked of an import: the settings, and what only an option of `data import` can ask for."""

    keep_names: bool = setting(
        "Keep file names where they would be replaced by numbers.", False, example=True
    )
    new_names: bool = setting("Number the images of a folder in the bundle layout too.", False, example=True)
    drop_copies: bool = setting("Keep one of several images with the same pixels.", False, example=True)
    keep_splits: bool = setting(
        "Images of the last import keep their split; only new ones are assigned.", False, example=True
    )
    replace: bool = setting(
        "Replace images that no import put there; move an evaluation of other images out of the way.",
        False,
        example=True,
    )
    task: str = CLASSIFICATION
    class_names: tuple[str, ...] = ()
    metric: str = ""
    metric_options: tuple[str, ...] = ()
