"""The page of a health report: tables, and the images to look at next with their labels; it loads nothing."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_text
from sam3_agent.labeling.health.examine import ClassHealth, Finding, Health, ToSee
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.summary import images_folder
from sam3_agent.render import Mark, draw_picture, encode_picture
from sam3_agent.workspace.image_loading import read_source

LONGEST = 360
"""Pixels of a picture on the page."""
_BYTES = 60_000
_KINDS = {
    "leak": "Near duplicates in several splits",
    "two_classes": "Two classes on one object",
    "twice": "One object labeled twice",
    "unlike": "Labels that look like another class",
    "tiny": "Objects smaller than a patch of the model",
}
_SHOWN = 40
"""Findings of a kind on the page; the JSON has more."""
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 1200px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 1.2rem 0 .3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .7rem; text-align: right; }
th:first-child, td:first-child, .findings td { text-align: left; } .findings td { overflow-wrap: anywhere; }
.wide { overflow-x: auto; } .note { color: #555; font-size: .85rem; }
.bars { width: 240px; } td.bars { text-align: left; white-space: nowrap; }
.bar { display: inline-block; height: .7rem; background: #4a7fb5; vertical-align: middle; }
.wait { background: #d9a441; }
.advice li { margin: .15rem 0; } .cards { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: 260px; } figure img { width: 100%; height: auto; display: block; background: #eee; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
"""


def write_page(journal: Journal, health: Health, out: Path) -> None:
    """Write the page, whole or not at all; an image that can no longer be read is named without its picture."""
    name = escape(journal.path.parent.name)
    body = [f"<h1>Health of {name}</h1>", _images(health), _advice(health.advice), _classes(health.classes)]
    if health.next:
        cards = "".join(_card(journal, each) for each in health.next)
        note = (
            "Uncertain labels, classes that may have been missed and conflicts; one of each group of near duplicates."
        )
        body.append(f"<h2>Look at these next</h2><p class=note>{note}</p><div class=cards>{cards}</div>")
    for kind, title in _KINDS.items():
        body.append(
            _findings(title, [each for each in health.findings if each.kind == kind], health.counts.get(kind, 0))
        )
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    write_text(out, f"{head}<title>{name}</title><style>{_STYLE}</style><body>{''.join(body)}</body></html>\n")


def _images(health: Health) -> str:
    words = {"done": "labeled", "without_labels": "of them without a label", "pending": "not labeled yet"}
    words |= {"duplicate": "copies of others", "unreadable": "unreadable"}
    told = [f"{health.images[key]} {text}" for key, text in words.items() if health.images[key] or key == "done"]
    return f"<p>Images: {', '.join(told)}.</p>"


def _advice(advice: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in advice)
    return f"<ul class=advice>{items}</ul>" if items else "<p>Nothing about the set as a whole to complain of.</p>"


def _classes(classes: Sequence[ClassHealth]) -> str:
    most = max((each.accepted + each.review for each in classes), default=0) or 1
    heads = "".join(
        f"<th>{each}</th>" for each in ("class", "accepted", "to review", "images", "tiny", "cut", "median")
    )
    rows = "".join(
        f"<tr><td>{escape(each.name)}</td><td>{each.accepted}</td><td>{each.review}</td><td>{each.images}</td>"
        f"<td>{each.tiny}</td><td>{each.cut}</td><td>{100 * each.median_share:.2f} %</td>"
        f"<td class=bars><span class=bar style='width:{220 * each.accepted / most:.0f}px'></span>"
        f"<span class='bar wait' style='width:{220 * each.review / most:.0f}px'></span></td></tr>"
        for each in classes
    )
    note = "Cut: at the border of the image. Median: of the share of the image that an object covers."
    return (
        f"<h2>Classes</h2><div class=wide><table><tr>{heads}<th></th></tr>{rows}</table></div><p class=note>{note}</p>"
    )


def _card(journal: Journal, image: ToSee) -> str:
    labels = [label for label in journal.labels(image.sha) if label.route != "rejected"]
    marks = [Mark(each.class_name, each.rle, each.box, dashed=each.route == "review") for each in labels]
    reasons = escape("; ".join(image.reasons))
    try:
        pixels, _ = read_source(images_folder(journal) / image.image)
        picture = draw_picture(pixels, marks, style="marks" if marks else "plain", longest=LONGEST)
        data, kind = encode_picture(picture, _BYTES)
    except (InputError, OSError):
        shown = ""
    else:
        shown = f"<img alt='' src='data:{kind};base64,{base64.b64encode(data).decode('ascii')}'>"
    return f"<figure>{shown}<figcaption><b>{escape(image.image)}</b><br>{reasons}</figcaption></figure>"


def _findings(title: str, findings: Sequence[Finding], count: int) -> str:
    if not count:
        return ""
    rows = "".join(
        f"<tr><td>{escape(', '.join(each.images))}</td><td>{escape(each.says)}</td></tr>" for each in findings[:_SHOWN]
    )
    more = f"<p class=note>{count - _SHOWN} more; --json lists them.</p>" if count > _SHOWN else ""
    return f"<h2>{escape(title)}: {count}</h2><div class=wide><table class=findings>{rows}</table></div>{more}"
