"""Label Studio's ML backend, called as Label Studio calls it."""

import base64
import socket
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.label_studio import brush_rle
from sam3_agent.labeling.label_studio.backend import MOST_OPEN, Answering, Backend
from sam3_agent.labeling.label_studio.labeling_config import read_labeling_config
from sam3_agent.labeling.label_studio.server import build_app
from sam3_agent.labeling.label_studio.task_images import TaskImages
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import BLUE_CIRCLE, GREEN_SQUARE, HEIGHT, RED_CIRCLES, WIDTH, fake_segmenter, picture

CLICKS = """
<View>
  <Image name="image" value="$image"/>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Ball"/><Label value="Tile"/></KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true"><Label value="Ball"/><Label value="Tile"/></RectangleLabels>
  <BrushLabels name="brush" toName="image">
    <Label value="Ball" model_phrase="red circle"/><Label value="Tile" model_phrase="square"/>
    <Label value="Other" model_phrase=""/>
  </BrushLabels>
</View>
"""
BOXES = """
<View><Image name="img" value="$photo"/>
<RectangleLabels name="label" toName="img"><Label value="square"/></RectangleLabels></View>
"""
POLYGONS = BOXES.replace("RectangleLabels", "PolygonLabels")
EXEMPLARS = """
<View><Image name="image" value="$image"/>
<RectangleLabels name="like" toName="image" smart="true" model_exemplars="true"><Label value="thing"/></RectangleLabels>
<BrushLabels name="brush" toName="image"><Label value="thing" model_phrase=""/></BrushLabels></View>
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(picture()).save(tmp_path / "scene.png")
    return tmp_path


@pytest.fixture
def workspace() -> Workspace:
    return Workspace(fake_segmenter())


@pytest.fixture
def client(folder: Path, workspace: Workspace) -> Generator[TestClient]:
    with TestClient(build_app(Backend(workspace, TaskImages(folder), Answering(tolerance=0)))) as client:
        yield client


def ask(client: TestClient, config: str, *tasks: dict[str, Any], context: list[Any] | None = None) -> list[Any]:
    params = {"context": {"result": context}} if context else {}
    body = {"tasks": tasks, "project": "1.1690", "label_config": config, "params": params}
    reply = client.post("/predict", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()["results"]


def scene(key: str = "image", source: str = "/data/local-files/?d=scene.png", **more: Any) -> dict[str, Any]:
    return {"id": 7, "data": {key: source}, **more}


def drawn(kind: str, name: str, label: str, **value: Any) -> dict[str, Any]:
    positive = value.pop("is_positive", True)
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    return (
        {"type": kind, "from_name": name, "to_name": "image", "value": {**value, kind: [label]}}
        | size
        | {"is_positive": positive}
    )


def percent(x: float, y: float) -> dict[str, float]:
    return {"x": x / WIDTH * 100, "y": y / HEIGHT * 100}


def box_of(x0: float, y0: float, x1: float, y1: float) -> dict[str, float]:
    return {**percent(x0, y0), "width": (x1 - x0) / WIDTH * 100, "height": (y1 - y0) / HEIGHT * 100}


def test_it_says_that_it_is_up_and_sets_a_project_up(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == "UP"
    assert client.get("/").json()["model_version"] == "sam3-agent fake"
    given = {"project": "1.1690", "schema": CLICKS, "hostname": "http://evil", "access_token": "t"}
    assert client.post("/setup", json=given).json() == {"model_version": "sam3-agent fake"}
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 201
    assert client.get("/versions").json() == client.post("/versions").json() == {"versions": ["sam3-agent fake"]}


def test_labels_are_asked_by_their_phrase_and_drawn_with_the_brush(client: TestClient) -> None:
    (prediction,) = ask(client, CLICKS, scene())
    found = [(r["value"]["brushlabels"], r["value"]["rle"]) for r in prediction["result"]]
    assert found == [
        (["Ball"], brush_rle(RED_CIRCLES[0])),
        (["Ball"], brush_rle(RED_CIRCLES[1])),
        (["Tile"], brush_rle(GREEN_SQUARE)),
    ]
    first = prediction["result"][0]
    assert (first["from_name"], first["to_name"], first["type"]) == ("brush", "image", "brushlabels")
    assert (first["original_width"], first["original_height"]) == (WIDTH, HEIGHT)
    assert len({r["id"] for r in prediction["result"]}) == 3
    assert prediction["score"] == min(r["score"] for r in prediction["result"])


def test_labels_that_differ_only_in_case_share_an_answer(client: TestClient) -> None:
    config = BOXES.replace('<Label value="square"/>', '<Label value="square"/><Label value="Square"/>')
    (prediction,) = ask(client, config, scene("photo"))
    assert [region["value"]["rectanglelabels"] for region in prediction["result"]] == [["square"], ["Square"]]


def test_boxes_are_percent_of_the_image(client: TestClient) -> None:
    (prediction,) = ask(client, BOXES, scene("photo"))
    (region,) = prediction["result"]
    assert region["value"].pop("rectanglelabels") == ["square"]
    assert region["value"] == pytest.approx({**box_of(230, 120, 290, 180), "rotation": 0})


def test_polygons_fill_the_mask_again(client: TestClient) -> None:
    (prediction,) = ask(client, POLYGONS, scene("photo"))
    (region,) = prediction["result"]
    flat = [v for x, y in region["value"]["points"] for v in (x / 100 * WIDTH, y / 100 * HEIGHT)]
    filled = masks.from_polygons([flat], (HEIGHT, WIDTH))
    assert masks.iou([filled], [masks.encode(GREEN_SQUARE)])[0, 0] > 0.95
    assert region["value"]["polygonlabels"] == ["square"]


def test_a_click_gives_the_object_under_it_with_its_label(client: TestClient) -> None:
    click = drawn("keypointlabels", "point", "Tile", **percent(260, 150))
    (prediction,) = ask(client, CLICKS, scene(), context=[click])
    (region,) = prediction["result"]
    assert (region["from_name"], region["value"]["brushlabels"]) == ("brush", ["Tile"])
    assert region["value"]["rle"] == brush_rle(GREEN_SQUARE)


def test_a_box_gives_the_object_in_it(client: TestClient) -> None:
    box = drawn("rectanglelabels", "box", "Ball", **box_of(112, 102, 188, 178))
    (prediction,) = ask(client, CLICKS, scene(), context=[box])
    (region,) = prediction["result"]
    assert region["value"]["rle"] == brush_rle(BLUE_CIRCLE)


def test_a_box_of_a_control_for_examples_finds_all_that_is_like_it(client: TestClient) -> None:
    box = drawn("rectanglelabels", "like", "thing", **box_of(20, 20, 81, 81))
    (smart,) = ask(client, EXEMPLARS, scene(), context=[box])
    (later,) = ask(client, EXEMPLARS, scene(annotations=[{"result": [box]}]))
    for prediction in (smart, later):
        found = [r["value"]["rle"] for r in prediction["result"]]
        assert found == [brush_rle(mask) for mask in RED_CIRCLES]


def test_one_task_that_cannot_be_read_does_not_take_the_others_along(client: TestClient) -> None:
    broken, whole = ask(client, CLICKS, scene(source="gone.png"), scene())
    assert broken == {"model_version": "sam3-agent fake", "score": 0.0, "result": []}
    assert len(whole["result"]) == 3


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "no labeling configuration"),
        ({"label_config": "<View/>", "tasks": []}, "has no BrushLabels"),
        ({"label_config": "<View", "tasks": []}, "is no XML"),
        ({"label_config": '<!DOCTYPE a [<!ENTITY b "c">]><View/>', "tasks": []}, "document type"),
        ({"label_config": CLICKS, "tasks": "all"}, "'tasks' must be a list"),
        ({"label_config": CLICKS, "tasks": [{"id": 1}]}, "no address of an image"),
        ({"label_config": CLICKS, "tasks": [scene(source="/data/local-files/?d=../x.png")]}, "outside of the allowed"),
        ({"label_config": CLICKS, "tasks": [scene(source="/data/upload/1/x.png")]}, "--label-studio URL"),
        ({"label_config": CLICKS, "tasks": [scene(source="http://elsewhere/x.png")]}, "not allowed"),
        ({"label_config": CLICKS, "tasks": [scene(source="file:///etc/passwd")]}, "cannot read"),
        ({"label_config": CLICKS, "tasks": [scene(source="http://[x/y")]}, "not a usable address"),
    ],
)
def test_a_call_that_cannot_be_answered_says_why(client: TestClient, body: dict[str, Any], complaint: str) -> None:
    reply = client.post("/predict", json=body)
    assert reply.status_code == 400
    assert complaint in reply.json()["error"]


@pytest.mark.parametrize("params", ["x", {"context": "y"}, {"context": {"result": [{"value": 3}]}}, {"context": [1]}])
def test_unusable_params_are_no_error_of_the_server(client: TestClient, params: object) -> None:
    body = {"label_config": CLICKS, "tasks": [scene()], "params": params}
    assert client.post("/predict", json=body).status_code in (200, 400)


def test_only_those_who_know_the_password_are_answered(folder: Path, workspace: Workspace) -> None:
    with TestClient(build_app(Backend(workspace, TaskImages(folder)), login="me:secret")) as client:
        assert client.get("/health").status_code == 200
        assert client.post("/setup", json={"schema": CLICKS}).status_code == 401
        assert client.post("/setup", json={"schema": CLICKS}, auth=("me", "wrong")).status_code == 401
        assert client.post("/setup", json={"schema": CLICKS}, auth=("me", "secret")).status_code == 200


def test_a_call_of_another_type_is_refused_as_pages_of_other_sites_send_them(client: TestClient) -> None:
    assert client.post("/predict", content="{}", headers={"content-type": "text/plain"}).status_code == 415


def test_images_are_encoded_once_and_no_more_than_a_few_stay_open(
    client: TestClient, folder: Path, workspace: Workspace
) -> None:
    for _ in range(3):
        ask(client, CLICKS, scene())
    assert workspace.encodes == 1
    for number in range(MOST_OPEN + 3):
        Image.fromarray(picture()).save(folder / f"{number}.png")
        ask(client, CLICKS, scene(source=f"{number}.png"))
    assert len(workspace.images()) == MOST_OPEN


class Host(BaseHTTPRequestHandler):
    """Stands for Label Studio: images for those with the token, and addresses of a cloud storage."""

    data = b""
    asked: list[tuple[str, str | None]] = []  # noqa: RUF012  (reset by the fixture)

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        if self.path.startswith(("/tasks/7/presign/", "/away")):
            self.send_response(302)
            target = "http://elsewhere.invalid/x" if self.path == "/away" else "/data/upload/1/scene.png"
            self.send_header("Location", target)
            self.end_headers()
            return
        allowed = self.headers.get("Authorization") in ("Token secret", "Bearer short")
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(self.data if allowed else b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"access": "short"}')

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def host(folder: Path) -> Generator[str]:
    Host.data, Host.asked = (folder / "scene.png").read_bytes(), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("token", "sent"), [("secret", "Token secret"), ("head.body.sign", "Bearer short")], ids=["legacy", "personal"]
)
@pytest.mark.parametrize("source", ["/data/upload/1/scene.png", "s3://bucket/scene.png"])
def test_images_of_label_studio_are_fetched_with_its_token(host: str, token: str, sent: str, source: str) -> None:
    images = TaskImages(host=host, token=token)
    assert images.read(source, 7) == Host.data
    assert Host.asked[-1] == ("/data/upload/1/scene.png", sent)
    if source.startswith("s3"):
        coded = Host.asked[0][0].partition("fileuri=")[2]
        assert base64.urlsafe_b64decode(coded).decode() == source


def test_a_redirect_leads_to_no_host_that_is_not_allowed(host: str) -> None:
    with pytest.raises(InputError, match="not allowed"):
        TaskImages(host=host, token="secret").read(f"{host}/away")


def test_the_token_goes_to_label_studio_alone(host: str) -> None:
    port = host.rpartition(":")[2]
    images = TaskImages(host="http://label-studio.invalid", token="secret", allowed=("127.0.0.1",))
    with pytest.raises(InputError, match="answers 401: give a token"):
        images.read(f"http://127.0.0.1:{port}/x.png")
    assert Host.asked == [("/x.png", None)]


def test_a_host_that_does_not_answer_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nothing answers there
        with pytest.raises(InputError, match="cannot fetch"):
            TaskImages(host=f"http://127.0.0.1:{taken.getsockname()[1]}").read("/data/upload/1/x.png")


def test_an_alias_names_the_label_in_results() -> None:
    config = read_labeling_config(BOXES.replace('value="square"/>', 'value="square" alias="sq"/>'))
    assert [(label.value, label.phrase) for _, label in config.asked()] == [("sq", "square")]


def test_a_turned_box_is_taken_upright(client: TestClient) -> None:
    # turned by 90 degrees about its upper left corner, it covers the blue circle
    value = {**percent(188, 102), "width": 76 / WIDTH * 100, "height": 76 / HEIGHT * 100, "rotation": 90}
    (prediction,) = ask(client, CLICKS, scene(), context=[drawn("rectanglelabels", "box", "Ball", **value)])
    assert prediction["result"][0]["value"]["rle"] == brush_rle(BLUE_CIRCLE)


@pytest.mark.parametrize(("config", "key"), [(CLICKS, "image"), (BOXES, "photo"), (POLYGONS, "photo")])
def test_label_studios_own_sdk_takes_the_predictions(client: TestClient, config: str, key: str) -> None:
    interface: Any = pytest.importorskip(
        "label_studio_sdk.label_interface", reason="label-studio-sdk is not installed: pip install label-studio-sdk"
    )
    (prediction,) = ask(client, config, scene(key))
    assert prediction["result"]
    errors = interface.LabelInterface(config).validate_prediction(prediction, return_errors=True)
    assert errors == []


def test_label_studios_own_converter_reads_equal_masks(client: TestClient) -> None:
    brush: Any = pytest.importorskip(
        "label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed: pip install label-studio-sdk"
    )
    (prediction,) = ask(client, CLICKS, scene())
    for region, mask in zip(prediction["result"], (*RED_CIRCLES, GREEN_SQUARE), strict=True):
        read = np.reshape(brush.decode_rle(region["value"]["rle"]), (HEIGHT, WIDTH, 4))[:, :, 3]
        assert np.array_equal(read > 0, mask)


def test_every_call_of_the_sdks_own_server_is_answered(client: TestClient) -> None:
    missing = "label-studio-ml is not installed: pip install label-studio-ml rq"
    api: Any = pytest.importorskip("label_studio_ml.api", reason=missing)
    rules = [rule for rule in api._server.url_map.iter_rules() if not rule.rule.startswith("/static")]
    assert len(rules) >= 8
    for rule in rules:
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert client.request(method, rule.rule, json={}).status_code not in (404, 405), (method, rule.rule)
