"""The full MedNIST set: 58,954 images in six classes, downloaded once into the user's cache."""

import hashlib
import shutil
import tarfile
from pathlib import Path

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import Listing
from challenge_bundle.sources.folder import FolderSource

URL = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/MedNIST.tar.gz"
MD5 = "0bc7306e7427e00ad1c5526a6677552d"

_CHUNK_BYTES = 1 << 18
_TIMEOUT_S = 30
_ATTEMPTS = 4


class MedNISTSource:
    """The archive of MONAI's tutorials, CC BY-SA 4.0, Dr. Bradley J. Erickson (Mayo Clinic).

    Args:
        url: Where the archive is.
        md5: Of the archive, in hexadecimal.
        cache: Folder that keeps it; the user's cache by default.
    """

    description = "mednist"
    names_are_public = False

    def __init__(self, url: str = URL, md5: str = MD5, cache: Path | None = None) -> None:
        import platformdirs

        self.url, self.md5 = url, md5
        self.cache = cache or Path(platformdirs.user_cache_dir("challenge-bundle")) / "mednist"

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """Download and unpack the archive if that was not done before; then list its class folders.

        Raises:
            UnavailableError: It cannot be downloaded from here.
            DataError: What was downloaded is not the archive.
        """
        import filelock

        unpacked, archive = self.cache / "MedNIST", self.cache / "MedNIST.tar.gz"
        self.cache.mkdir(parents=True, exist_ok=True)
        # The cache is the user's, not the bundle's: two bundles may want to fill it at the same time.
        with filelock.FileLock(self.cache / "lock"):
            if not unpacked.is_dir():
                if not archive.is_file():
                    download(self.url, archive, self.md5, progress)
                check_md5(archive, self.md5)
                _unpack(archive, unpacked)
        return FolderSource(unpacked, self.description).list_images(request, progress)


def download(url: str, path: Path, md5: str, progress: Progress) -> None:
    """Download a file; what an earlier, broken download left is continued.

    Args:
        url: What to fetch.
        path: Where it is put once it is complete and its MD5 is right.
        md5: Expected, in hexadecimal.
        progress: Called with bytes done and in all.

    Raises:
        UnavailableError: The server cannot be reached or does not answer with the file.
        DataError: The MD5 is another; the download is removed.
    """
    import requests
    import tenacity

    part = path.with_name(path.name + ".part")
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        retry=tenacity.retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        retrying(_fetch_rest, url, part, progress)
    except requests.RequestException as fault:
        raise UnavailableError(
            f"cannot download {url} ({fault})",
            code="download-failed",
            hint=f"run the same command again to continue, or put the file at {path} by hand",
        ) from None
    check_md5(part, md5)
    part.replace(path)


def check_md5(path: Path, expected: str) -> None:
    """Refuse and remove a file that is not the one expected.

    Raises:
        DataError: It has another MD5.
    """
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, "md5").hexdigest()
    if found != expected:
        path.unlink()
        raise DataError(
            f"expected MD5 {expected}, but got {found}; it was removed",
            path,
            code="download-damaged",
            hint="run the same command again",
        )


def _may_pass(fault: BaseException) -> bool:
    import requests

    # What a server answers, it answers again.
    return isinstance(fault, requests.RequestException) and not isinstance(fault, requests.HTTPError)


def _fetch_rest(url: str, part: Path, progress: Progress) -> None:
    import requests

    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            # The part is complete, or of another file: its MD5 shows it.
            return
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        have = have if resumed else 0
        total = have + int(response.headers.get("Content-Length", 0))
        with part.open("ab" if resumed else "wb") as out:
            for chunk in response.iter_content(_CHUNK_BYTES):
                out.write(chunk)
                have += len(chunk)
                progress("downloading (bytes)", have, total)
        if have < total:
            raise requests.ConnectionError(f"broke off after {have:,} of {total:,} bytes")


def _unpack(archive: Path, unpacked: Path) -> None:
    temporary = unpacked.with_name(".unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        # extractall(filter="data") would do, but Python 3.11.2, Debian 12's own, has no filter yet.
        with tarfile.open(archive) as opened:
            for member in opened:
                target = (temporary / member.name).resolve()
                if not target.is_relative_to(temporary.resolve()):
                    raise tarfile.TarError(f"it would write {member.name}, outside of its folder")
                if member.isfile():
                    opened.extract(member, temporary, set_attrs=False)
        (temporary / unpacked.name).replace(unpacked)
    except (tarfile.TarError, OSError) as fault:
        raise DataError(
            f"cannot be unpacked ({fault})",
            archive,
            code="archive-unreadable",
            hint="remove it and run the same command again",
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
