"""The operations that the gateway dies in: each is prepared while nobody shoots, then acted under fire.

The local backend keeps a blob of up to ``LARGEST`` bytes as a row of its database, a larger one as a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway_local.rowfile import LARGEST

from tests.campaign.actor import Actor, Upload

BUCKET = "campaign"
MULTI_CHUNK = 3 * 1024 * 1024
TWO_BLOBS = 8 * 1024 * 1024 + 1000  # a file and a row
ROW, FILE = 2000, LARGEST + 1


@dataclass(slots=True)
class Scene:
    """An actor, a name that no other scene has, and what the preparation leaves for the act."""

    actor: Actor
    name: str
    uploads: list[Upload] = field(default_factory=list)

    @property
    def where(self) -> str:
        return f"{BUCKET}/{self.name}"

    def opened(self) -> Upload | None:
        upload = self.actor.create_upload(self.where)
        if upload is not None:
            self.uploads.append(upload)
        return upload

    def with_parts(self) -> None:
        upload = self.opened()
        if upload is not None:
            self.actor.part(upload, 1, 5 * 1024 * 1024)
            self.actor.part(upload, 2, 1000)


Act = Callable[[Scene], Any]


@dataclass(frozen=True, slots=True)
class Story:
    act: Act
    prepare: Act = lambda scene: None


def _swapped(scene: Scene) -> None:
    value = scene.actor.get(scene.where)
    if value is not None:
        scene.actor.swap(scene.where, value)


def _each_upload(act: Callable[[Actor, Upload], Any]) -> Act:
    def run(scene: Scene) -> None:
        for upload in scene.uploads:
            act(scene.actor, upload)

    return run


def _many(scene: Scene) -> None:
    scene.actor.delete_many(BUCKET, [f"{scene.name}/{number}" for number in range(5)])


def _put_many(scene: Scene) -> None:
    for number in range(5):
        scene.actor.put(f"{scene.where}/{number}", FILE if number % 2 else 100)


def _over(old: int, new: int) -> Story:
    return Story(lambda s: s.actor.put(s.where, new), lambda s: s.actor.put(s.where, old))


def _part(size: int) -> Act:
    return _each_upload(lambda actor, upload: actor.part(upload, 1, size))


def _with_one_part(size: int) -> Act:
    def run(scene: Scene) -> None:
        upload = scene.opened()
        if upload is not None:
            scene.actor.part(upload, 1, size)

    return run


def _in_chunks(scene: Scene) -> None:
    """Its body's length is known only at its end: it becomes two blobs."""
    scene.actor.put(scene.where, TWO_BLOBS, sized=False)


STORIES: dict[str, Story] = {
    "put": Story(lambda s: s.actor.put(s.where)),
    "put of 0 bytes": Story(lambda s: s.actor.put(s.where, 0)),
    "put of 3 MiB": Story(lambda s: s.actor.put(s.where, MULTI_CHUNK)),
    "put of the largest row": Story(lambda s: s.actor.put(s.where, LARGEST)),
    "put of the smallest file": Story(lambda s: s.actor.put(s.where, FILE)),
    "put of two blobs": Story(_in_chunks),
    "put if absent": Story(lambda s: s.actor.put(s.where, absent=True)),
    "put of a file if absent": Story(lambda s: s.actor.put(s.where, FILE, absent=True)),
    "overwrite": _over(1000, ROW),
    "overwrite of a row by a file": _over(ROW, FILE),
    "overwrite of a file by a row": _over(FILE, ROW),
    "overwrite of a file by a file": _over(FILE, FILE),
    "overwrite of what was seen": Story(_swapped, lambda s: s.actor.put(s.where)),
    "overwrite of two blobs": Story(lambda s: s.actor.put(s.where, 2000), _in_chunks),
    "copy of two blobs": Story(lambda s: s.actor.copy(s.where, f"{s.where}.copy"), _in_chunks),
    "copy of a file over a row": Story(
        lambda s: s.actor.copy(s.where, f"{s.where}.copy"),
        lambda s: (s.actor.put(s.where, FILE), s.actor.put(f"{s.where}.copy", ROW)),
    ),
    "copy": Story(lambda s: s.actor.copy(s.where, f"{s.where}.copy"), lambda s: s.actor.put(s.where)),
    "delete": Story(lambda s: s.actor.delete(s.where), lambda s: s.actor.put(s.where)),
    "delete of a file": Story(lambda s: s.actor.delete(s.where), lambda s: s.actor.put(s.where, FILE)),
    "delete of many": Story(_many, _put_many),
    "create upload": Story(lambda s: s.opened()),
    "upload part": Story(_part(MULTI_CHUNK), Scene.opened),
    "upload part that is a row": Story(_part(ROW), Scene.opened),
    "upload part over a row": Story(_part(FILE), _with_one_part(ROW)),
    "upload part over a file": Story(_part(ROW), _with_one_part(FILE)),
    "complete of a row": Story(_each_upload(Actor.complete), _with_one_part(ROW)),
    "complete": Story(_each_upload(Actor.complete), Scene.with_parts),
    "abort": Story(_each_upload(Actor.abort), Scene.with_parts),
    "create bucket": Story(lambda s: s.actor.create_bucket(s.name)),
    "delete bucket": Story(lambda s: s.actor.delete_bucket(s.name), lambda s: s.actor.create_bucket(s.name)),
}
