"""How often a gate errs, and how often it finds what is planted: simulated studies, paired and clustered.

python benchmarks/gate_errors.py [--studies 400] [--only NAME]
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from made_scores import Drawn, Made, at_truth, draw, pairs_of

from segscale.tasks.decisions.answers import answers
from segscale.tasks.decisions.lost import Lost, lost_images
from segscale.tasks.decisions.questions import asked
from segscale.tasks.decisions.verdicts import judged, planned_clusters, verdict_of
from segscale.tasks.metrics.settings import ScoreSettings

MARGIN = 0.02
ASKED = asked({"dice": MARGIN}, {}, [], ["per_sample"])
BY_SITE = ScoreSettings(group_by=("site",), cluster_by="patient_id", bootstrap=0, batch_sizes=())


@dataclass(frozen=True, slots=True)
class Scenario:
    """A study: so many sites and classes, each drawn alike but for one that is not."""

    name: str
    made: Made
    """Of a site and class."""
    sites: int = 1
    classes: int = 1
    odd: Made | None = None
    """Of the first site and the last class."""
    odd_everywhere: bool = False
    """Of the last class at every site."""
    expected: str = ""
    """What must happen in 80 % of the studies at least, or in at most 5 % of them ("never ...")."""


def _sites(scenario: Scenario, generator: np.random.Generator) -> tuple[list[Drawn], np.ndarray]:
    """A draw per class over all sites, and the site of each image. Patients lie at one site each."""
    per_class: list[list[Drawn]] = [[] for _ in range(scenario.classes)]
    sites: list[np.ndarray] = []
    first = 0
    for site in range(scenario.sites):
        seed = int(generator.integers(2**31))
        for place, found in enumerate(per_class):
            is_odd = place == scenario.classes - 1 and (site == 0 or scenario.odd_everywhere)
            made = scenario.odd if scenario.odd and is_odd else scenario.made
            # Classes of one site share their images: the sizes of patients come first out of one seed.
            drawn = draw(made, np.random.default_rng([seed]))
            if place and made == scenario.made:
                drawn = _other_scores(made, drawn, generator)
            found.append(replace(drawn, patient=drawn.patient + first))
        sites.append(np.full(per_class[0][-1].patient.size, f"s{site}", object))
        first += scenario.made.patients
    return [_together(parts) for parts in per_class], np.concatenate(sites)


def _other_scores(made: Made, drawn: Drawn, generator: np.random.Generator) -> Drawn:
    """Other scores of as many images of the same patients, independent of those of the other classes."""
    other = draw(replace(made, patients=10 * made.patients), generator)
    chosen = generator.choice(other.base.size, drawn.base.size)
    return replace(drawn, base=other.base[chosen], new=other.new[chosen], is_missing=other.is_missing[chosen])


def _together(parts: list[Drawn]) -> Drawn:
    columns = {
        name: np.concatenate([getattr(one, name) for one in parts]) for name in ("base", "new", "patient", "is_missing")
    }
    return Drawn(**columns)


def verdicts(scenario: Scenario, studies: int, seed: int = 0) -> Counter[str]:
    """How often the gate says what over so many studies."""
    generator = np.random.default_rng([seed, len(scenario.name)])
    counts: Counter[str] = Counter()
    settings = BY_SITE if scenario.sites > 1 else BY_SITE.changed(group_by=())
    for _ in range(studies):
        drawn, sites = _sites(scenario, generator)
        pairs = pairs_of(drawn, [sites])
        lost = Lost(pairs.unpaired, is_alone=False)
        rows = judged(list(answers(pairs, ASKED, settings, "last", lost)), settings.confidence)
        counts[verdict_of(rows)] += 1
    return counts


def planned(made: Made, n_answers: int) -> Made:
    """The same with as many patients as a gate of so many answers asks for, if the runs are equally good."""
    pilot = pairs_of([draw(replace(made, patients=2000), np.random.default_rng(5))])
    lost = lost_images(pairs := pilot, pairs.panel.images)
    (answer,) = answers(pilot, ASKED, BY_SITE.changed(group_by=()), "last", lost)
    n = planned_clusters(answer.estimate, MARGIN, 0.025, n_answers)
    assert n is not None, "no number of patients would do"
    return replace(made, patients=n)


def scenarios() -> list[Scenario]:
    equal, lossy = Made(60), Made(60, lost=0.02)
    heavy = Made(100, heavy=True, lost=0.02)
    worse = {name: at_truth(one, -MARGIN) for name, one in (("", equal), (" lossy", lossy), (" heavy", heavy))}
    best = at_truth(replace(equal, patients=150), 0.01)
    calm = replace(planned(equal, 9), shift=0.0)
    found = [Scenario(f"at the margin{name}", one, expected="never pass") for name, one in worse.items()]
    found += [
        Scenario(
            "at the margin, one of 8 sites", best, sites=8, odd=replace(worse[""], patients=150), expected="never pass"
        ),
        Scenario("at the margin, all of 8 sites", replace(worse[""], patients=30), sites=8, expected="never fail"),
        Scenario("equal, 8 sites", replace(equal, patients=40), sites=8, expected="never fail"),
        Scenario("equal, at the planned size", planned(equal, 1), expected="pass"),
        Scenario("equal, 8 sites, at the planned size", calm, sites=8, expected="pass"),
        Scenario("one site of 8 worse by 0.06", best, sites=8, odd=at_truth(best, -0.06), expected="fail"),
        Scenario(
            "one class of 5 worse by 0.06",
            best,
            classes=5,
            odd=at_truth(best, -0.06),
            odd_everywhere=True,
            expected="fail",
        ),
        Scenario("15 % of predictions missing", replace(equal, patients=150, missing=0.15), expected="fail"),
    ]
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400, help="studies per scenario")
    parser.add_argument("--only", default="", help="scenarios whose name begins so")
    chosen = parser.parse_args(arguments)
    print(
        f"margin {MARGIN}, {chosen.studies} studies each; patients per site of 1 to 7 images, few of up to 60 (heavy)"
    )
    for scenario in scenarios():
        if scenario.name.startswith(chosen.only):
            counts = verdicts(scenario, chosen.studies)
            shares = "  ".join(
                f"{name} {counts[name] / chosen.studies:6.1%}" for name in ("pass", "fail", "cannot tell")
            )
            print(
                f"{scenario.name:40} {scenario.made.patients:5} patients  {shares}  ({scenario.expected})", flush=True
            )


if __name__ == "__main__":
    main()
