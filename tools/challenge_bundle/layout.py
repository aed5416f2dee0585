"""Every path inside a bundle, in one place."""

from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.installation import programs_root

SPLITS = ("training", "validation", "testing")
"""The three splits of the data, in the order of their use."""

STATE_NAME = ".bundle"
SUBMISSION_DIR_NAME = "submission_directory"
RESULTS_NAME = "classification_results.csv"
TASK_NAME = "task.json"
SCORE_NAMES = ("scores.txt", "scores.json", "detailed_results.html")


def split_dir_name(split: str) -> str:
    """Name of the folder with a split's images, such as `training-data`."""
    return f"{split}-data"


def solution_name(split: str) -> str:
    """Name of the csv with a split's labels, such as `training_solution.csv`."""
    return f"{split}_solution.csv"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one bundle.

    Args:
        root: The folder that holds bundle.toml.
    """

    root: Path

    @property
    def manifest(self) -> Path:
        """The manifest, bundle.toml."""
        return self.root / "bundle.toml"

    @property
    def input_data(self) -> Path:
        """Images of all splits; labels of training and validation."""
        return self.root / "input_data"

    @property
    def testing_data(self) -> Path:
        """The unlabelled images that inference reads."""
        return self.split_dir("testing")

    @property
    def model_output(self) -> Path:
        """What training wrote, and inference loads."""
        return self.root / "model_output"

    @property
    def curves(self) -> Path:
        """TensorBoard's events of the last trainings, a folder for each; written while one runs."""
        return self.model_output / "tensorboard"

    @property
    def scoring_input(self) -> Path:
        """The scoring program's input, `ref/` and `res/`."""
        return self.root / SUBMISSION_DIR_NAME / "input"

    @property
    def results_dir(self) -> Path:
        """Where inference writes its csv."""
        return self.scoring_input / "res"

    @property
    def results_csv(self) -> Path:
        """The predictions of the bundle's own model."""
        return self.results_dir / RESULTS_NAME

    @property
    def submitted_csv(self) -> Path:
        """The csv that is scored: the one that lies there, whatever its name."""
        return next(iter(sorted(self.results_dir.glob("*.csv"))), self.results_csv)

    @property
    def scoring_output(self) -> Path:
        """Where scoring and the report write."""
        return self.root / SUBMISSION_DIR_NAME / "output"

    @property
    def score_files(self) -> list[Path]:
        """What scoring writes."""
        return [self.scoring_output / name for name in SCORE_NAMES]

    @property
    def report_html(self) -> Path:
        """The page made by `report`."""
        return self.scoring_output / "report.html"

    @property
    def state(self) -> Path:
        """The tool's own records: imports, stages, work folders."""
        return self.root / STATE_NAME

    @property
    def origins_csv(self) -> Path:
        """Where each image of input_data/ came from; holds the testing labels, so it is never mounted."""
        return self.state / "origins.csv"

    @property
    def import_json(self) -> Path:
        """What the last import was; the sign that it is complete."""
        return self.state / "import.json"

    @property
    def downloads(self) -> Path:
        """What an import from a URL has fetched, until it is complete."""
        return self.state / "downloads"

    @property
    def evaluation(self) -> Path:
        """Participants' submissions, their results, and the records."""
        return self.state / "evaluation"

    @property
    def wheelhouse(self) -> Path:
        """Wheels from which images are built without a network, a folder for each program."""
        return self.state / "wheelhouse"

    @property
    def kept_zips(self) -> Path:
        """The zips that were admitted to evaluation."""
        return self.evaluation / "zips"

    @property
    def tested_on(self) -> Path:
        """The digest of the testing images that an evaluation is of."""
        return self.evaluation / "testing-images"

    @property
    def archive(self) -> Path:
        """Evaluations of former testing images, each in a folder with a number."""
        return self.state / "archive"

    @property
    def relabels(self) -> Path:
        """What `data relabel` replaced, each time in a folder with a number."""
        return self.state / "relabels"

    @property
    def audit(self) -> Path:
        """What `data audit` found; names testing images, so it is never mounted."""
        return self.state / "audit"

    @property
    def contact_sheet(self) -> Path:
        """Patients' images with their contours: not where it could come into a repository."""
        return self.state / "contact-sheet.png"

    @property
    def leaderboards(self) -> Path:
        """All boards. Not hidden: somebody publishes them by hand."""
        return self.root / "leaderboard"

    @property
    def former_leaderboards(self) -> tuple[Path, Path]:
        """Where version 0.1 wrote its boards, and the organiser's pages on them."""
        return self.state / "leaderboards", self.state / "organiser"

    def leaderboard(self, phase: str, part: str) -> Path:
        """The folder of a board to publish: one of hidden cases never takes the place of a public one."""
        return self.leaderboards / f"{phase.replace(' ', '-')}-{part}" / "publish"

    def findings_page(self, phase: str, part: str) -> Path:
        """The organiser's page on a board: in another folder, for the board's is published."""
        return self.leaderboards / f"{phase.replace(' ', '-')}-{part}" / "organiser" / "organiser.html"

    @property
    def store_file(self) -> Path:
        """The image database, where no other is named."""
        return self.state / "store.sqlite"

    @property
    def env_file(self) -> Path:
        """Settings of the image database that are not for everybody's eyes."""
        return self.root / ".env"

    @property
    def submission_zip(self) -> Path:
        """Where `zip` puts the submission by default."""
        return self.root / "submission.zip"

    def split_dir(self, split: str) -> Path:
        """Folder with the images of a split."""
        return self.input_data / split_dir_name(split)

    def solution_csv(self, split: str) -> Path:
        """Csv with the labels of a split.

        The testing split's is the reference: it lies where only the scoring program reads, never in
        input_data/, which the training container gets whole.
        """
        if split == "testing":
            return self.scoring_input / "ref" / solution_name(split)
        return self.input_data / solution_name(split)

    @property
    def task_json(self) -> Path:
        """What the challenge asks for, for training; an import before there were tasks wrote none."""
        return self.input_data / TASK_NAME

    @property
    def reference_task_json(self) -> Path:
        """The same file beside the reference, for the scoring program."""
        return self.solution_csv("testing").with_name(TASK_NAME)

    def work_dir(self, program_name: str) -> Path:
        """Where a program writes until it has ended well."""
        return self.state / "work" / program_name

    def log(self, program_name: str) -> Path:
        """What a program printed in its last run."""
        return self.state / "logs" / f"{program_name}.log"

    def program_dir(self, folder: str) -> Path:
        """A program's folder: the bundle's own if it has one, else that of the checkout or the wheel."""
        own = self.root / folder
        return own if own.is_dir() else programs_root() / folder
