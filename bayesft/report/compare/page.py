"""A comparison as one page that needs nothing but itself."""

import html
import string
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from bayesft.report.compare.comparison import Comparison
from bayesft.report.compare.fair import kept_weights
from bayesft.report.compare.figure import COLOURS, curves_svg, differences_svg, look
from bayesft.report.compare.own_chip import has_own_chips, own_chip, own_chip_note
from bayesft.report.compare.runs import Found, Run
from bayesft.report.compare.text import begun, caption, duration, leader_sentence, mean_cost
from bayesft.report.estimate import Estimate

Element = str
"""Markup, in which all that came from elsewhere is escaped."""


def write_page(found: Found, path: Path) -> None:
    """Write the comparison as one HTML file: figures inside, no other file, no script.

    It is for phones, wide screens, dark ones and paper.

    Args:
        found: what the folder holds.
        path: of the page.
    """
    comparison = found.comparison
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    page = string.Template(template).substitute(
        title=_text(title_of(found)),
        subtitle=_text(_subtitle(found)),
        lead=_text(leader_sentence(comparison)),
        warnings=_warnings(found),
        figures=_figures(comparison),
        legend="".join(f"<li>{_named(comparison, name)}</li>" for name in comparison.contenders),
        results=_results(found),
        by_sigma=_by_sigma(comparison),
        caption=_text(caption(comparison)),
        score=_text(begun(comparison.title)),
        own_chip=_paragraph(own_chip_note(found.runs)),
        rules="\n".join(f"<li>{_text(rule)}</li>" for rule in _rules(found)),
        configs="\n".join(_config(found, name) for name in comparison.contenders),
        footer=_text(f"The runs are in {path.parent.resolve()}."),
        light=_colours(0),
        dark=_colours(1),
    )
    path.write_text(page, encoding="utf-8")


def title_of(found: Found) -> str:
    """Return what was trained on what: `LeNet5 on MNIST, ways to train`."""
    config = _any_run(found).config
    network = str(config["model"].get("name") or _class(config["model"]))
    data = _class(config["data"]).removesuffix("DataModule")
    return f"{network} on {data}: {len(found.comparison.contenders)} ways to train"


def _subtitle(found: Found) -> str:
    comparison = found.comparison
    seeds = sorted({seed for name in comparison.contenders for seed in comparison.seeds(name)})
    epochs = _any_run(found).config["trainer"].get("max_epochs")
    several = f"seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    drift = _class(_any_run(found).config["drift"])
    return f"{epochs} epochs, {several}; tested under {drift}"


def _warnings(found: Found) -> Element:
    lines = [("Missing", line) for line in found.missing]
    lines += [("Left out", line) for line in found.left_out]
    lines += [("Note", line) for line in found.notes]
    if not lines:
        return ""
    items = "".join(f"<li><b>{kind}:</b> {_text(line)}</li>" for kind, line in lines)
    return f'<div class="warn"><b>Read with care</b><ul>{items}</ul></div>'


def _figures(comparison: Comparison) -> Element:
    title = begun(comparison.title)
    shown = [(curves_svg, f"{title} against the strength of the drift, ± one standard error.")]
    if comparison.rivals:
        text = f"Difference from {comparison.baseline} in pairs, ± one standard error."
        shown.append((differences_svg, text))
    return "\n".join(
        f'<figure role="img" aria-label="{_text(text)}">{draw(comparison)}'
        f"<figcaption>{_text(text)}</figcaption></figure>"
        for draw, text in shown
    )


def _results(found: Found) -> Element:
    comparison = found.comparison
    heads = ["contender", "n", "mean", f"− {comparison.baseline}", "no drift", "5 % quantile"]
    heads += ["epochs", "passes per step", "time"]
    own_chips = has_own_chips(found.runs)
    if own_chips:
        heads.append("own chip")
    rows = {}
    for name in comparison.contenders:
        cost, seconds = mean_cost(found.runs[name])
        clean = 0.0 in comparison.measured_sigmas
        rows[name] = [
            str(len(comparison.seeds(name))),
            _number(comparison.mean(name)),
            _number(comparison.difference(name), "+"),
            _number(comparison.at(name, 0.0)) if clean else "",
            _number(comparison.quantile05(name)),
            *(["", ""] if cost is None else [str(cost.epochs), str(cost.passes)]),
            duration(seconds),
            *([_number(own_chip(found.runs[name]))] if own_chips else []),
        ]
    return _table(comparison, heads, rows)


def _by_sigma(comparison: Comparison) -> Element:
    sigmas = comparison.measured_sigmas
    rows = {
        name: [_number(comparison.at(name, sigma)) for sigma in sigmas]
        for name in comparison.contenders
    }
    return _table(comparison, ["contender", *(f"σ {sigma:g}" for sigma in sigmas)], rows)


def _table(comparison: Comparison, heads: list[str], rows: dict[str, list[Element]]) -> Element:
    head = "".join(f'<th scope="col">{_text(each)}</th>' for each in heads)
    body = "\n".join(
        f'<tr class="{"best" if name == comparison.best else ""}">'
        f'<th scope="row">{_named(comparison, name)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for name, cells in rows.items()
    )
    return f'<table class="results"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'


def _rules(found: Found) -> list[str]:
    config = _any_run(found).config
    evaluation, data = config["evaluation"], config["data"]
    number = data.get("split_seed")
    split = "the same split" if number is None else f"the split of data.split_seed={number}"
    rules = [
        f"Data: {split}, and batches and augmentation follow seed, epoch and image alone.",
        "Initial weights: each contender's are those of its seed. What a method adds to the "
        "network (ftna: more outputs) has its own.",
        f"Test chips: those of seed {evaluation['test'].get('seed')}, the same for all. What a "
        f"contender tunes on is validation images on other chips (seeds "
        f"{evaluation['validation'].get('seed')} and {evaluation['objective'].get('seed')}).",
    ]
    kept: dict[str, list[str]] = {}
    for name, runs in found.runs.items():
        kept.setdefault(kept_weights(runs[0].config), []).append(name)
    told = "; ".join(f"{rule}, for {', '.join(names)}" for rule, names in kept.items())
    return [*rules, f"Tested weights: {told}. Validation images alone decide."]


def _config(found: Found, name: str) -> Element:
    run = found.runs[name][0]
    base = found.runs.get(found.comparison.baseline)
    target = _text(_class(run.config["method"]))
    parts = [f"<summary>{_named(found.comparison, name)} <span>{target}</span></summary>"]
    if source := run.config.get("found"):
        told = f"Trial {source.get('trial')} of the search in {source.get('folder')}."
        parts.append(f"<p>{_text(told)}</p>")
    if base and name != found.comparison.baseline:
        parts.append(_changes(run, base[0], found.comparison.baseline))
    parts += [
        '<details class="whole">',
        f"<summary>The whole config <span>of {_text(str(run.folder))}</span></summary>",
        f"<pre>{_text(yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True))}</pre>",
        "</details>",
    ]
    return f"<details>{''.join(parts)}</details>"


def _changes(run: Run, base: Run, baseline: str) -> Element:
    ours, theirs = run.recipe, base.recipe
    keys = [k for k in dict.fromkeys([*ours, *theirs]) if ours.get(k) != theirs.get(k)]
    if not keys:
        return f"<p>The same settings as {_text(baseline)}.</p>"
    rows = "".join(
        f"<tr><td><code>{_breakable(key)}</code></td><td>{_value(ours, key)}</td>"
        f"<td>{_value(theirs, key)}</td></tr>"
        for key in keys
    )
    head = f"<tr><th>setting</th><th>here</th><th>{_text(baseline)}</th></tr>"
    return (
        f'<div class="scroll"><table class="changes"><thead>{head}</thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _breakable(path: str) -> Element:
    # Behind a dot, on a phone.
    return _text(path).replace(".", ".<wbr>")


def _value(recipe: dict[str, Any], key: str) -> Element:
    if key not in recipe:
        return "<small>not set</small>"
    value = recipe[key]
    return f"<code>{_breakable(value) if isinstance(value, str) else _text(str(value))}</code>"


def _named(comparison: Comparison, name: str) -> Element:
    colour, _, sign = look(comparison.contenders.index(name))
    return f'<span style="color:var(--c{colour})" aria-hidden="true">{sign}</span> {_text(name)}'


def _number(estimate: Estimate | None, sign: str = "") -> Element:
    if estimate is None:
        return ""
    value, _, error = estimate.text(sign).partition(" ")
    value = _text(value.replace("-", "−"))
    return f"{value} <small>{_text(error)}</small>" if error else value


def _any_run(found: Found) -> Run:
    return next(iter(found.runs.values()))[0]


def _class(config: dict[str, Any]) -> str:
    return str(config.get("_target_", "?")).rpartition(".")[2]


def _colours(which: int) -> str:
    return " ".join(f"--c{number}: {pair[which]};" for number, pair in enumerate(COLOURS))


def _paragraph(text: str) -> Element:
    return f'<p class="caption">{_text(text)}</p>' if text else ""


def _text(text: str) -> Element:
    return html.escape(text)
