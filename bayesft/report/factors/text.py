"""What a factor study supports, in sentences, a table and rows for a spreadsheet."""

from rich.table import Table

from bayesft.report.estimate import Estimate
from bayesft.report.factors.study import BASELINE, Setting, Study, level_name, name_of
from bayesft.report.sheet import Sheet

NOTE = (
    "Over seeds, each level paired with the baseline's runs of the same seeds. The intervals are "
    "Student's of 95 %, for all levels of a factor together (Bonferroni), and not for all factors: "
    "of studies of four that do nothing, up to 19 % say something of one."
)


def factor_sentence(study: Study, factor: str) -> str:
    """Return which levels of `factor` raise or lower the score, as far as the data shows.

    A level is said to differ where the interval of its paired difference from the
    baseline leaves 0 out; the intervals of a factor's levels hold together.
    """
    settings = study.settings_of(factor)
    raised, lowered, open_, single = [], [], [], []
    for setting in settings:
        level, gain = level_name(setting[0][1]), study.difference(setting)
        if gain is None or gain.seeds < 2:
            single.append(level)
            continue
        low, high = gain.interval(len(settings))
        if low > 0:
            raised.append(f"{level} by {gain.value:.3f} ({low:.3f} to {high:.3f})")
        elif high < 0:
            lowered.append(f"{level} by {-gain.value:.3f} ({-high:.3f} to {-low:.3f})")
        else:
            open_.append(f"{level} ({low:+.3f} to {high:+.3f})")
    parts = []
    if raised:
        parts.append(f"{_listed(raised)} {_verb(raised, 'raises', 'raise')} the score")
    if lowered:
        parts.append(f"{_listed(lowered)} {_verb(lowered, 'lowers', 'lower')} it")
        if not raised:
            parts[-1] = parts[-1].replace(" it", " the score")
    if open_:
        parts.append(f"for {_listed(open_)} the data does not show a difference")
    if single:
        parts.append(f"for {_listed(single)} one seed shows nothing: it takes two or more")
    return f"{factor}, against {level_name(study.baseline[factor])}: {'; '.join(parts)}."


def leader_sentence(study: Study) -> str:
    """Return which factor's best level gains most, and whether that is beyond doubt.

    It is where the leader is above the baseline, and above each level of the other
    factors, with all these intervals holding together. The leader was chosen for its
    score: that a wrong factor is called the best takes a level that is significantly
    above the best factor's best one, and there are no more of these comparisons than
    there are levels besides that one, so the same correction is enough.
    """
    gains = {s: gain for s in study.single if (gain := study.difference(s)) is not None}
    if not gains:
        return "No level shares a seed with the baseline, so nothing can be compared."
    best = max(gains, key=lambda setting: gains[setting].value)
    gain, count = gains[best], len(study.single)
    if gain.value <= 0:
        return "No level of any factor scores above the baseline."
    said = f"{name_of(best)} gains most, {gain.value:.3f}"
    if gain.seeds < 2:
        return f"{said}; one seed does not show whether by chance."
    low, high = gain.interval(count)
    said += f" ({low:+.3f} to {high:+.3f}, for all {count} levels together)"
    if low <= 0:
        return f"{said}: not shown to be more than chance."
    others = [setting for setting in gains if setting[0][0] != best[0][0]]
    if not others:
        return f"{said}; no other factor was varied."
    leads = {other: study.difference(best, other) for other in others}
    rival = max(others, key=lambda other: gains[other].value)
    doubtful = [
        other
        for other, lead in leads.items()
        if lead is None or not lead.interval(max(1, count - 1))[0] > 0
    ]
    lead = leads[rival]
    ahead = "" if lead is None else f" {lead.value:.3f} ahead of {name_of(rival)}"
    if not doubtful:
        return f"{said}: beyond doubt more than any other factor,{ahead}."
    return (
        f"{said}; whether more than {_listed([name_of(other) for other in doubtful])} is not "
        f"settled by these seeds ({ahead.strip()})."
    )


def factor_table(study: Study) -> Table:
    """Return a table with a row per level, the baseline first, in sections by factor."""
    title = f"Test {study.title}, its mean over {_span(study)}, ± standard error over n seeds"
    table = Table(title=title, title_justify="left")
    for name in ("level", "n", "no drift", "mean", "− baseline"):
        table.add_column(name, justify="left" if name == "level" else "right")
    rows: list[list[Setting]] = [[BASELINE], *(study.settings_of(f) for f in study.factors)]
    for section in [*rows, study.combined]:
        for setting in section:
            table.add_row(*_cells(study, setting))
        table.add_section()
    return table


def settings_sheet(study: Study) -> Sheet:
    """Return one row per setting: its score, its difference from the baseline, and each sigma.

    The interval is that of the sentences; combined settings have one of their own. What
    one seed cannot give is not known.
    """
    sigmas = study.measured_sigmas()
    head = ["setting", "factor", "level", "seeds", "mean", "mean_stderr"]
    head += ["difference", "difference_stderr", "low", "high"]
    for sigma in sigmas:
        score = f"{study.title}_{sigma:g}"
        head += [score, f"{score}_stderr"]
    rows = []
    for setting in [BASELINE, *study.single, *study.combined]:
        [factor, level] = setting[0] if len(setting) == 1 else ("", "")
        mean, gain = study.mean(setting), _gain(study, setting)
        row = [name_of(setting), factor, level_name(level)]
        row += [" ".join(map(str, sorted(study.curves[setting])))]
        row += [mean.value, mean.stderr]
        if gain is None:
            row += [None] * 4
        else:
            row += [gain.value, gain.stderr, *gain.interval(_comparisons(study, setting))]
        for sigma in sigmas:
            at = study.at(setting, sigma)
            row += [at.value, at.stderr]
        rows.append(row)
    return Sheet(head, rows)


def _cells(study: Study, setting: Setting) -> list[str]:
    gain = _gain(study, setting)
    clean = "" if 0.0 not in study.measured_sigmas() else study.at(setting, 0.0).text()
    cells = [name_of(setting), str(len(study.curves[setting])), clean, study.mean(setting).text()]
    return [*cells, "" if gain is None else gain.text("+")]


def _gain(study: Study, setting: Setting) -> Estimate | None:
    return None if setting == BASELINE else study.difference(setting)


def _comparisons(study: Study, setting: Setting) -> int:
    return len(study.settings_of(setting[0][0])) if len(setting) == 1 else 1


def _span(study: Study) -> str:
    first, last = study.sigmas[0], study.sigmas[-1]
    return f"σ {first:g}" if first == last else f"σ {first:g} … {last:g}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _verb(words: list[str], one: str, several: str) -> str:
    return one if len(words) == 1 else several
