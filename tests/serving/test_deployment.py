"""Options of a served model as Ray Serve gets them; nothing is started."""

from pathlib import Path

import pytest

from sam3_agent.errors import InputError

pytest.importorskip("ray.serve", reason="Ray Serve is not installed: pip install 'sam3-agent[ray]'")

from sam3_agent.serving.deployment import Deployment, ModelLoader, configured


def test_a_fixed_number_of_replicas_is_one() -> None:
    made = configured(Deployment(ModelLoader("tiny"), replicas=3), 3, on_gpu=False)
    assert (made.num_replicas, made.max_ongoing_requests, made.max_queued_requests) == (3, 16, 256)
    assert made.ray_actor_options["num_cpus"] == 1
    assert not made.ray_actor_options["num_gpus"]


def test_between_two_numbers_serve_scales_by_itself() -> None:
    made = configured(
        Deployment(ModelLoader("tiny"), replicas=2, max_replicas=8, max_ongoing=20), 2, on_gpu=True, roomy=True
    )
    scaling = made._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 8, 10)
    assert made.ray_actor_options["num_gpus"] == 1
    assert made._deployment_config.max_surge_percent == 20


def test_images_are_routed_by_a_consistent_hash_with_as_many_fallbacks_as_asked_for() -> None:
    router = configured(Deployment(ModelLoader("tiny"), spread=3), 1, on_gpu=False)
    router = router._deployment_config.request_router_config
    assert router.get_request_router_class().__name__ == "ConsistentHashRouter"
    assert router.request_router_kwargs == {"num_fallback_replicas": 3}


def test_numbers_that_do_not_fit_and_names_that_are_none_are_told() -> None:
    with pytest.raises(InputError, match="--max-replicas 1 is less than --replicas 2"):
        Deployment(ModelLoader("tiny"), replicas=2, max_replicas=1)
    with pytest.raises(InputError, match="is no name of a served model"):
        Deployment(ModelLoader("tiny"), app="a/b")


def test_the_path_of_a_model_is_absolute_and_its_name_stays_as_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert (ModelLoader("mine").model, ModelLoader("mine").place) == ("mine", str(tmp_path / "mine"))
    assert ModelLoader("tiny").place == "tiny"
