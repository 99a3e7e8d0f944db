"""Archives: what leads outside is refused, and damage is never taken for the end."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from penjing_datasets.archives import collection_files
from penjing_datasets.clips import read_clips
from penjing_datasets.errors import DatasetError

MODES = [("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz"), ("tar.bz2", "w:bz2")]


def read(path: Path) -> list[str]:
    return read_clips(path, sample_rate=16_000, length=4_000).ids


def noise(seed: int) -> bytes:
    buffer = io.BytesIO()
    samples = np.random.default_rng(seed).normal(0, 0.1, 4_000)
    soundfile.write(buffer, samples, 16_000, format="WAV")
    return buffer.getvalue()


def archive_of_clips(path: Path, mode: str, count: int = 30) -> Path:
    with tarfile.open(path, mode) as archive:
        for number in range(count):
            member = tarfile.TarInfo(f"{('yes', 'no')[number % 2]}/s{number // 2:02d}_nohash_0.wav")
            content = noise(number)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def archive_with(path: Path, member: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.addfile(member)
    return path


@pytest.mark.parametrize("name", ["../evil.wav", "/etc/evil.wav", "yes/../../evil.wav"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="leads outside"):
        read(archive_with(tmp_path / "evil.tar", tarfile.TarInfo(name)))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_not_followed(tmp_path: Path, kind: bytes) -> None:
    link = tarfile.TarInfo("yes/ann_1.wav")
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(DatasetError, match="there are no clips"):
        read(archive_with(tmp_path / "links.tar", link))


def test_a_link_out_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(noise(0))
    (tmp_path / "clips/yes").mkdir(parents=True)
    (tmp_path / "clips/yes/ann_1.wav").symlink_to(tmp_path / "secret.wav")
    with pytest.raises(DatasetError, match="a link leads out"):
        read(tmp_path / "clips")


def test_a_member_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("yes/ann_1.wav")
    member.size = 1 << 40
    (tmp_path / "huge.tar").write_bytes(member.tobuf() + bytes(1024))
    with pytest.raises(DatasetError, match="too large to read safely"):
        read(tmp_path / "huge.tar")


@pytest.mark.parametrize(("suffix", "mode"), MODES)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_an_archive_that_is_cut_short_is_refused(tmp_path: Path, suffix: str, mode: str, share: float) -> None:
    archive = archive_of_clips(tmp_path / f"clips.{suffix}", mode)
    assert len(read(archive)) == 30
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match="the archive cannot be read"):
        read(archive)


def test_a_tar_that_ends_between_two_files_is_refused(tmp_path: Path) -> None:
    archive = archive_of_clips(tmp_path / "clips.tar", "w")
    one = 512 + -(-len(noise(0)) // 512) * 512
    archive.write_bytes(archive.read_bytes()[: 10 * one])
    with pytest.raises(DatasetError, match="the archive cannot be read"):
        read(archive)


@pytest.mark.parametrize(("suffix", "mode"), MODES[1:])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_byte_in_a_compressed_archive_never_goes_unnoticed(
    tmp_path: Path, suffix: str, mode: str, share: float
) -> None:
    archive = archive_of_clips(tmp_path / f"clips.{suffix}", mode)
    content = bytearray(archive.read_bytes())
    content[int(share * len(content))] ^= 0x5A
    archive.write_bytes(content)
    with pytest.raises(DatasetError):
        read(archive)


def test_a_damaged_header_in_a_plain_tar_is_not_taken_for_its_end(tmp_path: Path) -> None:
    archive = archive_of_clips(tmp_path / "clips.tar", "w")
    one = 512 + -(-len(noise(0)) // 512) * 512
    content = bytearray(archive.read_bytes())
    content[10 * one + 5] ^= 0x5A
    archive.write_bytes(content)
    with pytest.raises(DatasetError, match=f"damaged or cut short at byte {10 * one:,}"):
        read(archive)


def test_what_is_no_archive_is_told_what_would_be_one(tmp_path: Path) -> None:
    (tmp_path / "clips.zip").write_bytes(b"PK\3\4" + bytes(2000))
    with pytest.raises(DatasetError) as caught:
        read(tmp_path / "clips.zip")
    assert ".tar.gz" in (caught.value.hint or "")


def test_content_is_read_only_where_it_is_wanted(tmp_path: Path) -> None:
    archive = archive_of_clips(tmp_path / "clips.tar.gz", "w:gz", count=4)
    contents = dict(collection_files(archive, lambda name: name.startswith("yes/")))
    assert len(contents) == 4
    assert all(bool(content) == name.startswith("yes/") for name, content in contents.items())
