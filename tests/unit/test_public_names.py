"""The library's public names: each from one place, and importing a package loads nothing heavy."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from challenge_bundle.dicom.reading import DicomHeader, DicomImage
from challenge_bundle.store.images import ImageStore
from challenge_bundle.store.stored_image import StoredImage

PACKAGES = ("challenge_bundle.dicom", "challenge_bundle.store")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_there(name: str) -> None:
    package = importlib.import_module(name)
    for public in package.__all__:
        assert getattr(package, public).__name__ == public
        assert getattr(package, public).__doc__
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_a_package_loads_a_name_when_it_is_asked_for() -> None:
    code = f"import sys, {', '.join(PACKAGES)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "sqlalchemy", "torch", "PIL", "pydicom", "h5py"} & set(loaded.stdout.split())


def test_records_and_images_have_a_short_repr() -> None:
    image = StoredImage("ab" * 32, 64, 48, "L", "PNG", "CXR", "a/1.png", "2026", data=b"x" * 10_000)
    assert (
        repr(image) == "StoredImage('CXR', 64x48 L PNG, origin='a/1.png', sha256=abababab..., 10,000 bytes)"
    )
    header = DicomHeader("p", "1.2.3", 7, (4, 5), (1.5, 1.5), False, None, False)
    decoded = DicomImage(header, np.zeros((4, 5), np.float32), np.zeros((4, 5), np.bool_))
    assert (
        repr(decoded) == "DicomImage('p', pixels=(4, 5) float32, padding=(4, 5) bool, spacing_mm=(1.5, 1.5))"
    )


def test_a_stores_repr_has_no_password(tmp_path: object) -> None:
    with ImageStore(f"sqlite:///{tmp_path}/x.sqlite", create=True) as store:
        assert repr(store) == f"ImageStore('sqlite:///{tmp_path}/x.sqlite')"
        assert (len(store), list(store), bool(store), store.labels()) == (0, [], True, {})
        store.add([StoredImage("ab" * 32, 8, 8, "L", "PNG", "b", "1.png", "2026", data=b"x")])
        store.add([StoredImage("cd" * 32, 8, 8, "L", "PNG", "a", "2.png", "2026", data=b"y")])
        assert (len(store), len(list(store)), store.labels()) == (2, 2, {"a": 1, "b": 1})
        stream = store.images("label == 'a'", as_="record", seed=3)
        assert (len(stream), [image.label for image in stream]) == (1, ["a"])
        assert repr(stream) == "ImageStream(where=\"label == 'a'\", seed=3, as_='record')"
        assert [len(store.images(sample=size)) for size in (1, 2, 9)] == [1, 2, 2]


def test_a_store_is_opened_from_a_folder(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUNDLE_STORE", "POSTGRES_HOST"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".bundle").mkdir()
    with ImageStore.from_env(tmp_path, create=True) as store:
        assert store.url == f"sqlite:///{tmp_path}/.bundle/store.sqlite"
    (tmp_path / ".env").write_text(f"BUNDLE_STORE=sqlite:///{tmp_path}/other.sqlite\n")
    with ImageStore.from_env(tmp_path, create=True) as store:
        assert (tmp_path / "other.sqlite").exists()
    with ImageStore(tmp_path / "third.sqlite", create=True):
        assert (tmp_path / "third.sqlite").exists()
