"""From rows to the report. Pure, but for what it tells of its progress."""

from collections.abc import Mapping
from datetime import datetime

from trending_cli.quality.judging import judge
from trending_cli.quality.material import Material, Tell
from trending_cli.quality.measuring import Detect, measure, measure_drift
from trending_cli.quality.report import DriftMeasure, Reference, Report, Subject
from trending_shared.sources import SourceEntry


def make_report(
    material: Material,
    reference: Material | None,
    *,
    catalogue: Mapping[str, SourceEntry],
    detect: Detect,
    now: datetime,
    code_version: str,
    tell: Tell = lambda text: None,
) -> Report:
    """Measure, compare and judge.

    Args:
        reference: the snapshot that drift is measured against, if there is one.
    """
    sources = {}
    for name in material.sources:
        part = material.only(name)
        tell(f"measuring {name}: {len(part.titles):,} titles, {len(part.reviews):,} reviews")
        promised = catalogue[name].fields if name in catalogue else ()
        sources[name] = measure(part, promised=promised, detect=detect, now=now)
    if len(sources) == 1:  # then it is all there is
        overall = next(iter(sources.values()))
    else:
        tell("measuring all of it")
        overall = measure(material, detect=detect, now=now)
    drift: list[DriftMeasure] = []
    if reference is not None:
        drift += measure_drift(reference, material)
        if len(sources) > 1:
            for name in sources:
                drift += measure_drift(reference.only(name), material.only(name), name)
    return Report(
        made_at=now,
        code_version=code_version,
        subject=Subject(
            dataset_id=material.dataset.dataset_id if material.dataset else None,
            tables=material.versions,
            sources=tuple(sources),
        ),
        reference=_reference(reference),
        checks=judge(overall, sources, drift, catalogue=catalogue, now=now),
        overall=overall,
        sources=sources,
        drift=tuple(drift),
        other_tables=material.other_tables,
    )


def _reference(reference: Material | None) -> Reference | None:
    manifest = reference.dataset if reference else None
    if manifest is None:
        return None
    return Reference(
        dataset_id=manifest.dataset_id, created_at=manifest.created_at, rows=manifest.rows
    )
