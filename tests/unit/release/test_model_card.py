"""The card says what the statements say, and says what was not done."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from ringfence.core.policy import evaluate
from ringfence.privacy.plan import DPPlan
from ringfence.release.card import model_card
from ringfence.release.manifest import BaseRef
from tests.unit.release.release_parts import BASE, POLICY, chain_of

PLAN = DPPlan(
    epsilon=4, delta=1e-5, unit="patient_id", units=20, sampling_rate=0.2, max_batch=20, steps=5, noise_multiplier=1.5, clip_norm=1
)


def card_of(chain, **more) -> str:
    return model_card("model", base=BASE, licence="apache-2.0", chain=chain, verdicts=evaluate(POLICY, chain, moment="release"), **more)


def private_chain(space, **figures):
    """Return a chain whose training tells those figures of its promise."""
    chain = chain_of(space, seed=0)
    told = {"plan": PLAN.model_dump(mode="json"), **figures}
    return [*chain[:-1], chain[-1].model_copy(update={"predicate": chain[-1].predicate.model_copy(update={"figures": told})})]


def test_the_front_matter_is_what_hugging_face_reads(space):
    _, front, _ = card_of(chain_of(space, seed=0)).split("---\n", 2)
    value = yaml.safe_load(front)
    assert (value["base_model"], value["library_name"], value["license"]) == ("smollm2", "peft", "apache-2.0")


def test_it_says_what_was_done_and_what_was_not(space):
    card = card_of(chain_of(space, seed=0))
    for sentence in (
        BASE.digest,
        "rank 2",
        "| rows imported | 300 |",
        "| label of the data | sensitive |",
        "tier T1",
        "for poisoned rows, by `invisible.v1`",
        "profile `medical-zh`; 0 originals survived",
        "memorisation: not audited",
        "ordinary run, no differential privacy guarantee",
        "| deid survivors | pass |",
        "ringfence verify model --keys",
        "model_signing verify key model --signature model/model.sig --public_key release.pem",
        "未经审计",
        "没有差分隐私保证",
    ):
        assert sentence in card


@pytest.mark.parametrize("is_private", [False, True])
def test_a_release_with_a_guard_says_so_and_what_epsilon_does_not_cover(space, is_private):
    chain = private_chain(space) if is_private else chain_of(space, seed=0)
    plain, guarded = card_of(chain), card_of(chain, is_guarded=True)
    assert "replay guard: none is part of this bundle" in plain
    assert "复现防护：本包不含防护" in plain
    assert "stops copies, not paraphrases" in guarded
    assert ("epsilon does not cover that" in guarded) == ("epsilon 不涵盖这一点" in guarded) == is_private


def test_absent_steps_and_figures_are_said_to_be_absent(space):
    chain = chain_of(space, seed=0)
    bare = chain[0].model_copy(update={"predicate": chain[0].predicate.model_copy(update={"figures": {"rows": "many"}})})
    card = card_of([bare, chain[-1]])
    for sentence in ("not recorded", "not scanned", "not de-identified", "未扫描", "未脱敏", "| scan missing | fail |"):
        assert sentence in card
    assert "many" not in card


def test_an_unknown_number_of_survivors_is_not_none(space):
    chain = chain_of(space, seed=0)
    chain[3] = chain[3].model_copy(update={"predicate": chain[3].predicate.model_copy(update={"figures": {}})})
    assert "an unrecorded number of originals survived" in card_of(chain)


TOLD = {"bound": "holds", "ordinary_releases": 0, "private_runs": 3, "epsilon": 5.6789, "delta": 1e-5}


def test_a_private_card_says_what_this_run_and_all_runs_on_these_people_spent(space):
    card = card_of(private_chain(space, granted=4), lifetime=TOLD)
    for sentence in (
        PLAN.statement("en"),
        PLAN.statement("zh"),
        "It covers the weights. Not covered: the numbers of rows and the times in the statements, the verdicts below and the choice to release;",
        "the choice of hyper-parameters, and ordinary runs on the same rows that were made for it and stayed inside;",
        "noise, rate and steps of one may have been chosen after seeing what earlier ones gave: it is proved for those that are fixed beforehand.",
        "保证及于权重；声明中的行数与时间、下列判定与放行的决定，超参数的选择以及为此在同样的行上所做而留在内部的普通运行，均不在保证之内；",
        "多次运行的合计只对事先固定的噪声、抽样率与步数得到证明，不涵盖看过先前结果后的选择。",
        "4 of the plan's 5 steps were spent.",
        "计划的 5 步中已用 4 步。",
        "3 private runs used these people's data so far (tuning runs, failed and resumed ones included); together they spent at most ε = 5.679 at δ = 1e-05.",
        "至今有 3 次隐私运行用过这批人的数据（含调参、失败与续训的运行）；合计至多用去 ε = 5.679（δ = 1e-05）。",
        "The lifetime bound on the people in the data held at the release",
        "终身上限有效",
    ):
        assert sentence in card


def test_a_private_card_says_when_it_was_the_only_run_and_when_all_is_lost(space):
    chain = private_chain(space, granted=5)
    alone = card_of(chain, lifetime=TOLD | {"private_runs": 1})
    assert "1 private run used these people's data so far, this one; it spent at most ε = 5.679 at δ = 1e-05." in alone
    assert "只有本次隐私运行" in alone
    lost = card_of(chain, lifetime=TOLD | {"bound": "void", "epsilon": None})
    for sentence in ("at most ε = over 1000", "至多用去 ε = 超过 1000", "The lifetime bound is void", "终身上限已失效"):
        assert sentence in lost


_LIMIT = {"limit": {"epsilon": 16.000001, "delta": 1e-5}}


@pytest.mark.parametrize(
    ("lifetime", "english", "chinese"),
    [
        (
            {"bound": "holds"} | _LIMIT,
            "The lifetime bound on the people in the data, ε = 16.000001 at δ = 1e-05, held",
            "（ε = 16.000001，δ = 1e-05）有效",
        ),
        ({"bound": "exceeded"}, "The lifetime bound does not hold: more is spent", "终身上限不成立"),
        ({"bound": "none"}, "No lifetime bound is in force: the policy at the release has no budget", "没有生效的终身上限"),
        ({"bound": "unknown"}, "The lifetime bound is not known", "终身上限无从得知"),
        (
            {"bound": "void", "ordinary_releases": 1},
            "is void: an ordinary run on the same people was released\n",
            "同一批人的普通运行已被放行",
        ),
        (
            {"bound": "void", "guarded_releases": 1},
            "is void: a private run on the same people was released with a replay guard",
            "防护会透露谁是成员",
        ),
        (
            {"bound": "void", "ordinary_releases": 1, "guarded_releases": 1},
            "is void: an ordinary run on the same people was released; a private run on the same",
            "普通运行已被放行；同一批人的隐私运行已带复现防护放行",
        ),
        ({"bound": "of a version to come"}, "The lifetime bound is not known", "终身上限无从得知"),
    ],
)
def test_every_word_of_a_lifetime_bound_has_a_sentence(space, lifetime, english, chinese):
    card = card_of(private_chain(space, granted=5), lifetime=TOLD | lifetime)
    assert english in card
    assert chinese in card
    assert ("held at the release" in card) == (lifetime["bound"] == "holds")


@pytest.mark.parametrize("lifetime", [None, {}, {"bound": "holds", "ordinary_releases": 0}])
def test_statements_of_before_still_make_a_card(space, lifetime):
    card = card_of(private_chain(space), lifetime=lifetime)
    assert PLAN.statement("en") in card
    assert "The lifetime bound on the people in the data held at the release" in card
    for untold in ("steps were spent", "private run", "隐私运行用过", "None"):
        assert untold not in card


@pytest.mark.parametrize("name", ["/srv/models/base", "../base", "a/b/c", "a b", "", "a\nb"])
def test_the_base_model_is_named_and_never_a_path(name):
    with pytest.raises(ValidationError):
        BaseRef(name=name, digest=BASE.digest)


@pytest.mark.parametrize(("key", "value"), [("default_system", "Be brief."), ("enable_thinking", False)])
def test_it_says_that_conversations_begin_with_words_of_the_recipe(space, key, value):
    chain = chain_of(space, seed=0)
    assert "| chat template | the base model's own |" in card_of(chain)
    predicate = chain[-1].predicate
    told = predicate.model_copy(update={"settings": {**predicate.settings, key: value}})
    card = card_of([*chain[:-1], chain[-1].model_copy(update={"predicate": told})])
    assert (
        "| chat template | `chat_template.jinja`, or `tokenizer_config.json` where there are several: the base model's own, which begins with the recipe's"
        in card
    )
    assert "- 对话模板：`chat_template.jinja`" in card
    assert "--max-lora-rank 8 --chat-template model/chat_template.jinja`" in card
    assert "need a `vllm serve` of their own." in card
    assert "须各用一个 `vllm serve`" in card
    bare = predicate.model_copy(update={"settings": {**told.settings, "method": "dora.v1"}})
    assert "--chat-template" not in card_of([*chain[:-1], chain[-1].model_copy(update={"predicate": bare})])  # vLLM loads none


def test_it_says_what_ends_an_answer_where_the_bases_files_say_another(space):
    chain = chain_of(space, seed=0)
    told = chain[-1].predicate.model_copy(update={"figures": {**chain[-1].predicate.figures, "closing": 2}})
    card, before = card_of([*chain[:-1], chain[-1].model_copy(update={"predicate": told})]), card_of(chain)
    for sentence in (
        "--max-lora-rank 8 --generation-config model`",
        'GenerationConfig.from_pretrained("model")`, vLLM',
        'from_pretrained("model")`，对 vLLM',
    ):
        assert sentence in card
        assert sentence not in before
    assert "--max-lora-rank 8`" in before
