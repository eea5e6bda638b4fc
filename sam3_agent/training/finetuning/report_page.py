"""Page of an adapter's report: tables, and the images that it does worst on; it loads nothing."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from sam3_agent import masks
from sam3_agent.render import Mark, draw_picture, encode_picture
from sam3_agent.training.finetuning.figures import Figure, Pair, kept_findings
from sam3_agent.training.finetuning.looks import Look
from sam3_agent.training.finetuning.report import Report, Words
from sam3_agent.training.teaching.views import TeachingImage

LONGEST = 420
"""Pixels of a picture on the page."""
_BYTES = 60_000
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 1000px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 1.2rem 0 .3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .9rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } .note { color: #555; font-size: .85rem; }
.over { color: #a11; font-weight: 600; } .cards { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: 300px; } figure img { width: 100%; height: auto; display: block; background: #eee; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
"""


def page_of(report: Report, images: Sequence[TeachingImage]) -> str:
    """The whole page."""
    manifest, name = report.manifest, escape(report.manifest.name)
    kind = "always on" if manifest.always_on else "on for its own words alone"
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    body = [
        f"<h1>Adapter {name}</h1>",
        f"<p>For <b>{escape(', '.join(manifest.words))}</b> on {escape(manifest.base_name)}; {kind}."
        f" {escape('; '.join(manifest.notes))}. {report.numbers:,} trained numbers.</p>",
        "<h2>Its own phrase</h2>",
        _table(report.own),
        f"<p class=note>On {len(report.looks)} images, each asked of the part of the adapter that was trained without"
        " it; before: the model as it was, asked the phrase. Intervals: 95 %, bootstrap over images."
        " Refusal: of the images without it, those on which nothing was found.</p>",
        _others(report.others, report),
        _worst(report, images),
    ]
    return f"{head}<title>Adapter {name}</title><style>{_STYLE}</style><body>{''.join(body)}</body></html>\n"


def _table(rows: Iterable[tuple[str, Pair]]) -> str:
    lines = "".join(
        f"<tr><td>{escape(name)}</td>{_cells(pair.before)}{_cells(pair.after)}{_cells(pair.lost)}</tr>"
        for name, pair in rows
    )
    heads = "".join(f"<th>{each}</th>" for each in ("", "before", "after", "lost"))
    return f"<div class=wide><table><tr>{heads}</tr>{lines}</table></div>"


def _cells(figure: Figure) -> str:
    return f"<td>{escape(str(figure))}</td>"


def _others(words: Words, report: Report) -> str:
    title = "<h2>All other words</h2>"
    if not words.figures:
        same = "the same, bit for bit" if words.identical else "<span class=over>not all the same</span>"
        return f"{title}<p>The adapter is off for them. {words.asked} words asked of {words.images} images: {same}.</p>"
    over = f"<p class=over>Over the budget of {report.budget:.0%}: {escape('; '.join(report.over))}.</p>"
    names = f" Taken for names of it: {escape(', '.join(words.names))}." if words.names else ""
    return (
        f"{title}{_table(words.figures)}{over if report.over else ''}<p class=note>{words.asked} words. Hijack: share"
        " of the other words that give an object of the class, on images with it. Agreement: F1 with the base's answers"
        f" as the truth, without those on objects of the class. Scenes: procedural, never trained on.{names}</p>"
    )


def _worst(report: Report, images: Sequence[TeachingImage]) -> str:
    rows = report.worst()
    if not rows:
        return "<h2>Worst images</h2><p>Nothing missed and nothing false.</p>"
    cards = "".join(
        _card(images[place], report.looks[place], report, f"{missed} missed, {false} false")
        for place, missed, false in rows
    )
    note = "<p class=note>Marked: what is found. Dashed: what was labeled.</p>"
    return f"<h2>Worst images</h2>{note}<div class=cards>{cards}</div>"


def _card(image: TeachingImage, look: Look, report: Report, says: str) -> str:
    found = [finding.rle for finding in kept_findings(look, report.shift)]
    marks = [Mark("labeled", rle, masks.box(rle), dashed=True) for rle in image.objects]
    marks += [Mark(f"{place + 1}", rle, masks.box(rle)) for place, rle in enumerate(found)]
    picture = draw_picture(image.pixels, marks, style="marks" if marks else "plain", longest=LONGEST)
    data, kind = encode_picture(picture, _BYTES)
    shown = f"<img alt='' src='data:{kind};base64,{base64.b64encode(data).decode('ascii')}'>"
    return f"<figure>{shown}<figcaption><b>{escape(image.name)}</b><br>{escape(says)}</figcaption></figure>"
