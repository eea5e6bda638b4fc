"""`python -m benchmarks.labeling.page --out DIR`: how soon the review page shows much, in a headless Chromium.

Serves a journal of 10,000 images with 5 labels each and 300 on the first, opens the page several times, and prints the
median and worst seconds from opening the page to the queue, from opening it to the picture with all masks, and from a
click in the queue to that. Screenshots go to DIR.
"""

import argparse
import json
import shutil
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import Label
from tests.labeling.fixtures_page import big_journal, chromium, served, three_hundred
from tests.labeling.fixtures_runs import knowing_segmenter

IMAGES = 10_000
EACH = 5
FIRST = "f" * 64
_SHOWN = f"body[data-image='{FIRST}'][data-drawn='300'] .label:nth-child(300)"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--times", type=int, default=7)
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    labels = three_hundred(given.out / "images")
    journal = _journal(given.out, labels)
    from playwright.sync_api import sync_playwright

    with served(journal, knowing_segmenter(0)) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(site.url)
        page.wait_for_selector(_SHOWN, state="attached")  # the browser's own first start is not the page's
        runs = [_once(page, site.url) for _ in range(given.times)]
        page.screenshot(path=str(given.out / "300-masks.png"))
        browser.close()
    journal.close()
    figures = {name: _figure([run[name] for run in runs]) for name in runs[0]}
    print(json.dumps({"images": IMAGES, "labels": IMAGES * EACH + 300, "seconds": figures}, indent=1))


def _journal(out: Path, labels: list[Label]) -> Journal:
    journal = big_journal(out / "run", out / "images", IMAGES, labels)
    rows = journal.images("done")[1:]
    journal.put_labels(
        [
            replace(labels[number], id=f"{row.sha}.{number}", sha=row.sha, quality=0.01)
            for row in rows
            for number in range(1, EACH)
        ]
    )
    return journal


def _once(page: Any, url: str) -> dict[str, float]:
    began = time.perf_counter()
    page.goto(url)
    page.wait_for_selector(f"#count >> text={IMAGES} images")
    queue = time.perf_counter() - began
    page.wait_for_selector(_SHOWN, state="attached")
    opened = time.perf_counter() - began
    page.keyboard.press("j")
    page.wait_for_selector(f"body[data-image]:not([data-image='{FIRST}'])")
    switched = page.evaluate(
        "async () => { const began = performance.now(); document.querySelector('.item').click();"
        f' while (!document.querySelector("{_SHOWN}")) await new Promise(requestAnimationFrame);'
        " await new Promise(requestAnimationFrame); return (performance.now() - began) / 1000 }"
    )
    return {"queue opens": queue, "page opens with 300 masks": opened, "image with 300 masks": float(switched)}


def _figure(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 3), "worst": round(max(seconds), 3)}


if __name__ == "__main__":
    main()
