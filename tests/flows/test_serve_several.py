"""Several bundles on one base model, by the command: a process of its own, a real sandbox, real HTTP, two adapters that learned different sets."""

from __future__ import annotations

import json
import shutil
import signal
import threading

import openai
import pytest
import yaml

from ringfence.core.errors import BadArgument, BundleBroken, NotTogether
from ringfence.flows import serve as flow
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.train import train
from ringfence.models.settings import Quantisation
from ringfence.recipe.read import read
from ringfence.release.manifest import CONFIG
from tests.flows.conftest import RECIPE, anything_goes, import_notes, reopen
from tests.flows.test_serve import TOKEN, Server, text_of

ANSWER = "Every evening the old heron waits beside the narrow bridge until the last boat is home."


@pytest.fixture(scope="module")
def both(finished, tmp_path_factory):
    """The finished workspace with a second bundle, of another shape, that says a row of another set by heart: (folder, its run). Copy before changing."""
    folder = tmp_path_factory.mktemp("both")
    shutil.copytree(finished[0], folder / "ws")
    space = reopen(folder / "ws")
    set_policy(space, anything_goes())
    import_notes(space, folder, [{"prompt": "who?", "completion": ANSWER, "patient_id": "P1"}] * 8, name="ward")
    path = folder / "recipe.yaml"
    changes = {"dataset": "ward", "lora_rank": 8, "use_rslora": True, "learning_rate": 1e-2, "max_steps": 60}
    path.write_text(yaml.safe_dump({**RECIPE, **changes}), encoding="utf-8")
    run = train(space, read(path)).committed.run
    release(space, run, name="ward")
    return folder / "ws", run


def say(client, model, text="who?", **more):
    settings = {"temperature": 0, "max_tokens": 100} | more
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **settings)


def content(made):
    return made.choices[0].message.content


def entries(folder):
    ledger = reopen(folder).ledger
    return [json.loads(ledger.raw(number)) for number in range(ledger.size)]


def test_each_bundle_answers_as_it_does_alone_and_its_guard_and_its_record_are_its_own(both, cli, tmp_path):
    folder, run = both
    alone = cli("chat", "lora", "--ask", "who?", "--guard", "off", "--max-new-tokens", 100, workspace=folder)[1]["answers"][0]
    (tmp_path / "own").write_text(TOKEN)
    server = Server(tmp_path, "-w", folder, "lora", "ward", "--token-file", f"ward={tmp_path / 'own'}")
    try:
        assert server.ready["models"] == [{"name": name, "alarm": False, "guard": True} for name in ("lora", "ward")]
        clients = {"lora": server.client(), "ward": server.client(TOKEN)}
        assert {name: [one.id for one in client.models.list()] for name, client in clients.items()} == {"lora": ["lora"], "ward": ["ward"]}
        said = {}

        def one(name, number):
            said[name, number] = text_of(say(clients[name], name, stream=True))

        threads = [threading.Thread(target=one, args=(name, number)) for number in range(2) for name in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert said["lora", 0] == said["lora", 1] == alone  # the other's guard refuses nothing here
        assert said["ward", 0] == said["ward", 1] != ANSWER
        assert said["ward", 0].split()[:9] == ANSWER.split()[:9]
        with pytest.raises(openai.NotFoundError) as caught:
            say(clients["lora"], "ward")
        assert caught.value.code == "RF-SERVE-003"
        assert server.end(signal.SIGTERM) == 0
    finally:
        server.process.kill()
        server.process.wait()
    assert server.err.count("replay guard: on") == 2
    opened, guarded = entries(folder)[-3:-1], entries(folder)[-1]
    assert [one["purpose"] for one in opened] == ["serve", "serve"]
    assert opened[0]["object"] != opened[1]["object"]
    assert (guarded["type"], guarded["run"], guarded["name"], guarded["answers"]) == ("guard", run, "ward", 2)
    lines = [json.loads(line) for line in server.err.splitlines() if line.startswith("{")]
    assert {line["model"] for line in lines if "blocked" in line} == {"ward"}


def test_a_bundle_named_twice_is_refused_before_anything_is_opened(both, cli):
    folder, _ = both
    before = reopen(folder).ledger.size
    code, answer = cli("serve", "lora", "ward", "lora", "--port", "0", workspace=folder)
    assert (code, answer["error"]["code"]) == (2, "RF-SERVE-012")
    assert reopen(folder).ledger.size == before


def test_a_token_of_a_bundle_that_is_not_served_is_refused_before_any_is_verified_or_put_on_record(finished, cli, tmp_path):
    folder = tmp_path / "ws"
    shutil.copytree(finished[0], folder)
    (tmp_path / "own").write_text(TOKEN)
    before = reopen(folder).ledger.size
    shutil.copytree(folder / "releases" / "lora", tmp_path / "altered")
    (tmp_path / "altered" / "README.md").write_text("altered")
    for bundle in ("lora", tmp_path / "altered"):  # verification would refuse the second
        code, answer = cli("serve", bundle, "--port", "0", "--token-file", f"ward={tmp_path / 'own'}", workspace=folder)
        assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
        assert "ward" in answer["error"]["message"]
    assert reopen(folder).ledger.size == before
    (tmp_path / "altered" / "manifest.json").write_text("{}")
    assert cli("serve", tmp_path / "altered", "--port", "0", "--token-file", f"ward={tmp_path / 'own'}", workspace=folder)[0] == 12


@pytest.fixture
def bundles(both):
    folder, _ = both
    return flow.from_elsewhere([folder / "releases" / name for name in ("lora", "ward")], reopen(folder).public)


def test_another_base_and_a_whole_model_are_refused_with_the_reason(bundles):
    lora, ward = (one.manifest for one in bundles)
    plain = [None, None]
    flow._refuse_strangers([lora, ward], plain)
    base = ward.base.model_copy(update={"digest": "0" * 64, "name": "other-base"})
    with pytest.raises(NotTogether, match="its base model is other-base, and that of lora is tiny"):
        flow._refuse_strangers([lora, ward.model_copy(update={"base": base})], plain)
    with pytest.raises(NotTogether, match="its base is held in other bits than that of lora"):
        flow._refuse_strangers([lora, ward], [None, Quantisation(bits=4)])
    whole = lora.model_copy(update={"files": tuple(one for one in lora.files if one.path != CONFIG)})
    for pair in ([whole, ward], [ward, whole]):
        with pytest.raises(NotTogether, match="lora cannot be served beside the others: it holds the weights of a whole model"):
            flow._refuse_strangers(pair, plain)
    flow._refuse_strangers([whole], [None])


@pytest.mark.full
def test_bundles_of_one_name_are_told_apart_by_their_runs_in_any_order(bundles):
    lora, ward = (one.manifest for one in bundles)
    same = ward.model_copy(update={"name": "lora"})
    assert flow._names([lora, ward]) == ["lora", "ward"]
    assert flow._names([lora, same]) == [f"lora@{lora.run}", f"lora@{ward.run}"] == flow._names([same, lora])[::-1]


def test_another_bundle_in_the_folder_of_a_served_one_is_not_opened(both, tmp_path):
    """It is signed by the same owner; the guard and the alarm are those of the first."""
    folder, _ = both
    shutil.copytree(folder / "releases" / "lora", tmp_path / "bundle")
    (served,) = flow.from_elsewhere([tmp_path / "bundle"], reopen(folder).public)
    assert served.speaker(None).bundle == tmp_path / "bundle"
    shutil.rmtree(tmp_path / "bundle")
    shutil.copytree(folder / "releases" / "ward", tmp_path / "bundle")
    with pytest.raises(BundleBroken):
        served.speaker(None)


def test_a_token_is_that_of_the_bundle_whose_name_stands_before_it(bundles, tmp_path):
    for name in ("shared=1", "own"):
        (tmp_path / name).write_text(f"{name}-0123456789abcdef")
    files = [f"ward={tmp_path / 'own'}", str(tmp_path / "shared=1")]
    for given in (files, files[::-1]):
        opened, shared = flow.with_tokens(bundles, flow.read_tokens(given))
        assert ([one.token for one in opened], shared) == ([None, "own-0123456789abcdef"], "shared=1-0123456789abcdef")
    assert flow.with_tokens(bundles, [])[1] is None
    with pytest.raises(BadArgument):
        flow.with_tokens(bundles, flow.read_tokens([f"strange={tmp_path / 'own'}"]))
