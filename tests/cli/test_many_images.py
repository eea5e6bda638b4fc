"""Many images in one call: what is taken for an image, lines of JSON, pictures in a folder, broken ones among them."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from sam3_agent.cli.batch import Shown, check_out, report_all
from sam3_agent.cli.commands import segment as room
from sam3_agent.cli.images import Images, find_images, tell_apart
from sam3_agent.errors import InputError
from sam3_agent.scenes import Scene
from sam3_agent.workspace import Workspace
from tests.cli.conftest import Run
from tests.loop.fixtures_segmenter import perfect_segmenter


@pytest.fixture
def folder(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: photos/1.png, 2.png and 10.png, and a text."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in ("1.png", "2.png", "10.png"):
        Image.fromarray(scene.image).save(Path("photos", name))
    Path("photos", "notes.txt").write_text("no image")
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("given", ["photos", "photos/", "photos/*.png", "**/*.png"])
def test_folders_and_globs_are_their_images_in_natural_order(given: str) -> None:
    assert find_images([given]) == Images(("photos/1.png", "photos/2.png", "photos/10.png"), many=True)


@pytest.mark.usefixtures("folder")
def test_one_file_is_one_image_and_a_glob_of_one_is_many() -> None:
    assert find_images(["photos/1.png"]) == Images(("photos/1.png",), many=False)
    assert find_images(["photos/1.*"]) == Images(("photos/1.png",), many=True)
    assert find_images(["photos/1.png", "photos"]).sources == ("photos/1.png", "photos/2.png", "photos/10.png")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("given", "words"), [("empty", "holds no image"), ("photos/*.tif", "no image matches")])
def test_an_empty_folder_or_glob_is_named(given: str, words: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError, match=words):
        find_images([given])


@pytest.mark.usefixtures("folder")
def test_concepts_begin_where_images_end() -> None:
    understood = tell_apart(["photos/1.png", "photos/2.png", "house", "red star"], None)
    assert understood.images.sources == ("photos/1.png", "photos/2.png")
    assert understood.texts == ("house", "red star")
    assert "understood: 2 images" in understood.note


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("concept", ["house", "cup/mug", "what?", "x" * 500, "data", "a\0b"])
def test_one_image_and_its_concepts_need_no_note(concept: str) -> None:
    understood = tell_apart(["photos/1.png", concept], None)
    assert (understood.texts, understood.note) == ((concept,), "")


@pytest.mark.usefixtures("folder")
def test_a_concept_called_like_a_folder_stays_a_concept_and_is_told() -> None:
    understood = tell_apart(["photos/1.png", "photos"], None)
    assert understood.texts == ("photos",)
    assert "'photos' is taken for a concept" in understood.note
    assert tell_apart(["photos/1.png"], ["photos"]).note == ""


@pytest.mark.usefixtures("folder")
def test_an_image_after_a_concept_is_an_error_and_not_a_concept() -> None:
    with pytest.raises(InputError, match="comes after the concept 'house'"):
        tell_apart(["photos/1.png", "house", "photos/2.png"], None)


@pytest.mark.usefixtures("folder")
def test_a_missing_image_among_many_is_an_image() -> None:
    understood = tell_apart(["photos/1.png", "nowhere.png", "house"], None)
    assert understood.images.sources == ("photos/1.png", "nowhere.png")


@pytest.mark.usefixtures("folder")
def test_each_of_many_images_is_one_line_of_json_with_the_document_of_one(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("photos", "3.png").write_text("broken")
    workspace, images = Workspace(perfect_segmenter(scene)), find_images(["photos"])
    prompts = room.prompts_of(["house"], (), ())
    with pytest.raises(Exception, match="1 of 4 images failed"):
        report_all(
            images,
            lambda source: room.segment(workspace, source, prompts, room.How(), began=0.0),
            Shown(as_json=True),
            {},
        )
    out, err = capsys.readouterr()
    documents = [json.loads(line) for line in out.splitlines()]
    assert [document["image"]["source"] for document in documents] == list(images.sources)
    whole = [document for document in documents if "error" not in document]
    assert {tuple(document) for document in whole} == {("image", "model", "results", "seconds")}
    assert list(documents[2]) == ["image", "error"]
    assert "photos/3.png" in err


@pytest.mark.usefixtures("folder")
def test_pictures_of_many_images_go_into_a_folder_under_names_of_their_own(scene: Scene) -> None:
    Path("other").mkdir()
    Image.fromarray(scene.image).save(Path("other", "1.png"))
    paths = check_out(find_images(["photos", "other"]), Path("marked"))
    assert len(set(paths.values())) == 4
    assert paths["photos/10.png"] == Path("marked", "10.png")


@pytest.mark.usefixtures("tiny", "folder")
def test_the_embedded_model_is_loaded_once_for_all_of_them(run: Run) -> None:
    ran = run("segment", "photos", "--out", "marked", "--json", "--", "house", "star")
    assert ran.status == 0, ran.err
    assert [[r["concept"] for r in json.loads(line)["results"]] for line in ran.out.splitlines()] == [
        ["house", "star"]
    ] * 3
    assert sorted(path.name for path in Path("marked").iterdir()) == ["1.png", "10.png", "2.png"]


@pytest.mark.usefixtures("tiny", "folder")
def test_clicks_and_queries_take_many_images_too(run: Run) -> None:
    clicked = run("segment-at", "photos/1.png", "photos/2.png", "--on", "50,50", "--json")
    assert [json.loads(line)["results"][0]["concept"] for line in clicked.out.splitlines()] == ["click", "click"]
    asked = run("ask", "photos", "--json", "--", "the largest house")
    assert [json.loads(line)["image"]["source"] for line in asked.out.splitlines()] == [
        "photos/1.png",
        "photos/2.png",
        "photos/10.png",
    ]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("segment", "photos", "house", "--out", "photos"), "is an input"),
        (("segment", "photos/1.png", "house", "--out", "photos/1.png"), "is an input"),
        (("segment", "photos/1.png", "house", "--out", "link.png"), "is an input"),
        (("segment", "photos/1.png", "house", "--out", "hard.png"), "is an input"),
        (("segment", "file://HERE/photos/1.png", "house", "--out", "photos/1.png"), "is an input"),
        (("segment-at", "photos/1.png", "--on", "3,3", "--out", "photos/1.png"), "is an input"),
        (("ask", "photos/1.png", "a house", "--trace", "photos/1.png"), "is an input"),
        (("ask", "photos/1.png", "a house", "--page", "photos/1.png"), "is an input"),
        (("ask", "photos/1.png", "a house", "--record", "photos/1.png"), "is an input"),
        (("ask", "photos/1.png", "a house", "--llm", "replay:photos/notes.txt", "--record", "photos/notes.txt"), "is"),
        (("learn", "logo", "--like", "photos/1.png:1,1,9,9", "--out", "photos/1.png"), "is an input"),
        (("ask", "photos/1.png", "a house", "--trace", "t.jsonl", "--page", "t.jsonl"), "--trace goes"),
        (("segment", "photos", "house", "--out", "nowhere/marked"), "no folder 'nowhere'"),
        (("segment", "photos/1.png", "house", "--out", "nowhere/marked.png"), "no folder 'nowhere'"),
        (("demo", "--out", "nowhere/demo"), "no folder 'nowhere'"),
        (("segment", "photos", "house", "--out", "marked.png"), "name a folder"),
        (("segment", "photos/1.png", "house", "--out", "marked"), "no file that ends in"),
        (("segment", "photos", "--like", "1,1,9,9"), "sam3-agent learn"),
        (("segment", "photos/1.png", "--", "house", "--json"), "--json stands after"),
        (("segment", "--", "house"), "at least one image"),
        (("ask", "photos/1.png", "the", "red", "house"), "in quotes: 'the red house'"),
        (("ask", "photos/1.png", "a house", "--judge", "strict"), "needs an LLM that sees pictures"),
    ],
)
def test_a_call_that_would_do_harm_or_means_nothing_is_refused_before_any_work(
    run: Run, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    Path("link.png").symlink_to("photos/1.png")
    os.link("photos/1.png", "hard.png")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    ran = run(*(argument.replace("HERE", str(folder)) for argument in arguments))
    assert ran.status == 2
    assert words in ran.error()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("folder")
def test_only_unreadable_images_are_an_error_before_a_model_is_loaded(run: Run) -> None:
    Path("broken").mkdir()
    for name in ("a.png", "b.jpg"):
        Path("broken", name).write_text("no image")
    ran = run("segment", "broken", "house", "--model", "no such model")
    assert ran.status == 1
    assert "none of the 2 images can be read" in ran.error()
