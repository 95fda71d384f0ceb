"""A run over one data set: what its stages share, from the listing to the report."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.flows.checks.model import ModelFile, find_model
from segscale.flows.cluster.needs import needs_of
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import (
    catalog_name,
    counting,
    is_scored,
    list_dataset,
    preparation,
    require_catalog,
)
from segscale.flows.layouts.listed import DatasetListing
from segscale.flows.observer import UNOBSERVED, Observer
from segscale.flows.survey import Looked, last_look, look
from segscale.flows.workers import Workers, is_small
from segscale.storage.catalog import catalog_sha256
from segscale.storage.objects import ObjectStore
from segscale.tasks.engine_plan import EnginePlan
from segscale.tasks.prediction_file import Counting
from segscale.tasks.shard_plan import Preparation
from segscale.tasks.survey import Reading

logger = logging.getLogger("segscale")


@dataclass(frozen=True, slots=True)
class Counted:
    """What a report is made of: the committed counts of a stage."""

    stage: str
    """The one that counted: predict or score."""
    keys: tuple[str, ...]
    """Of its shards, in the order of the plan or of the catalog."""
    model: str = ""
    """Its name; where something else predicted, that of the predictions."""
    plan: EnginePlan | None = None
    """What it predicted with; None where something else did."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Of the network; one without a name of what something else predicted."""
        return self.plan.prediction.heads if self.plan else ("",)


class Run:
    """Opens and reads nothing before it is asked; its workers end with the block that it is used in.

    A store keeps one catalog of a name, and another driver's ingest may write it anew at any time. What a run has made
    and counted is named by its own catalog, so all its stages take that one. It is held here and nowhere else: of a
    million images it is hundreds of megabytes.
    """

    def __init__(
        self,
        config: EvaluationConfig,
        observer: Observer = UNOBSERVED,
        workers: Workers | None = None,
        scored: bool | None = None,
        listed: Run | None = None,
    ) -> None:
        """`listed` is one over the same files, whose listing this one takes over."""
        self.config, self.observer = config, observer
        self.scored = is_scored(config) if scored is None else scored
        """Whether it counts existing predictions and nothing else: its catalog is not that of the same set ingested."""
        self._lent = workers
        self.counted: Counted | None = None
        """By the last stage that counted, for the report."""
        self._listing: DatasetListing | None = None
        self._catalog: pd.DataFrame | None = None
        self._catalog_sha256 = ""
        self._looked: Looked | None = None
        self._alone: bool | None = None
        if listed is not None:
            self._listing, listed._listing, self._alone = listed._listing, None, listed._alone
        self.when_busy: Callable[[], None] | None = None
        """Called once, when the first shard is to be worked on: what the driver can do while workers are busy."""

    @cached_property
    def store(self) -> ObjectStore:
        """The store of the configuration."""
        return self.config.store.open()

    @cached_property
    def model(self) -> ModelFile:
        """Where the network lies, and its hash. Raises ConfigError for one that is not there."""
        return find_model(self.config)

    @cached_property
    def workers(self) -> Workers:
        """Those that were lent, which stay, or its own, which are started or found when the first shard needs one."""
        if self._lent is not None:
            return self._lent
        if self._alone is None:
            self.listing()
        return Workers(self.config.cluster, needs_of(self.config), alone=bool(self._alone))

    def listing(self) -> pd.DataFrame:
        """The listing of the data set, kept until `take_listing`. Raises ConfigError."""
        if self._listing is None:
            self._listing = list_dataset(self.config)
            self.observer.listed(self._listing.roles)
            self._see(self._listing.images)
        return self._listing.images

    def take_listing(self) -> pd.DataFrame:
        """The listing, which is not kept any longer: beside the catalog it would be memory for nothing.

        What was left out of it is said now, once the checks have found nothing.
        """
        images, self._listing = self.told_listing(), None
        return images

    def told_listing(self) -> pd.DataFrame:
        """The listing, which is kept; what was left out of it is said."""
        images = self.listing()
        assert self._listing is not None
        for note in self._listing.notes:
            logger.log(logging.WARNING if note.warns else logging.INFO, "%s", note.text)
        self._listing = replace(self._listing, notes=())
        return images

    def keep_only(self, places: npt.NDArray[np.int64]) -> None:
        """Leave these rows of the listing; how files are read is found out from all of them, as in a run."""
        self.look()
        assert self._listing is not None
        self._listing = replace(self._listing, images=self._listing.images.iloc[places].reset_index(drop=True))

    def look(self) -> Looked:
        """How the files of the listing are read: as found before in this very listing, else as some of them tell now.

        Raises ConfigError where they can be read in more than one way.
        """
        if self._looked is None:
            self._looked = look(self.config, self.store, self.listing(), scored=self.scored)
        return self._looked

    def found(self, turned: str, placed: tuple[str, ...] = ()) -> None:
        """Keep what the files say of how they are turned and where they lie beside what is known of the whole set."""
        self._looked = replace(self.look(), reading=replace(self.look().reading, turned=turned, placed=placed))
        self._looked.keep(self.store)

    def say_what_files_say(self, stage: str) -> None:
        """Tell what was found so."""
        reading = self.look().reading
        if reading.turned:
            logger.warning("%s: %s", stage, reading.turned)
        for sentence in reading.placed:
            logger.info("%s: %s", stage, sentence)

    @property
    def catalog_name(self) -> str:
        """The name under which the store keeps its catalog."""
        return catalog_name(self.config, scored=self.scored)

    @property
    def reading(self) -> Reading:
        """As `look` found, else as the last ingest kept it."""
        if self._looked is None:
            self._looked = last_look(self.config, self.store, scored=self.scored)
        return (self._looked or self.look()).reading

    @property
    def preparation(self) -> Preparation:
        """What is done to every image and reference."""
        return preparation(self.config, self.reading)

    @property
    def counting(self) -> Counting:
        """How existing predictions are counted."""
        return counting(self.config, self.reading)

    @property
    def catalog(self) -> pd.DataFrame:
        """As this run's ingest made it, else the last that was written. Raises ConfigError where there is none."""
        if self._catalog is None:
            self._catalog = require_catalog(self.config, self.store, scored=self.scored)
            self._see(self._catalog)
        return self._catalog

    @property
    def catalog_sha256(self) -> str:
        """The sha256 of the catalog's rows, made once: of a million images it takes seconds."""
        catalog = self.catalog
        if not self._catalog_sha256:
            self._catalog_sha256 = catalog_sha256(catalog)
        return self._catalog_sha256

    def _see(self, images: pd.DataFrame) -> None:
        self._alone = is_small(len(images), predicts=not self.scored)

    def renew_catalog(self, plan: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The catalog that `plan` makes, from now on; the one before ends first."""
        self._catalog, self._catalog_sha256 = None, ""
        self._catalog = plan()
        return self._catalog

    def be_busy(self) -> None:
        """There are shards to be worked on."""
        if self.when_busy is not None:
            self.when_busy()
            self.when_busy = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whoever is interrupted waits for no shard.
        self.close_workers(at_once=kind is not None and not issubclass(kind, Exception))

    def close_workers(self, at_once: bool = False) -> None:
        """End the workers that this run started, and let go of those that it found."""
        if self._lent is None and "workers" in vars(self):
            self.workers.close(at_once)
