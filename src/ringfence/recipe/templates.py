"""LLaMA-Factory's names of chat templates, and by which words each family is told: rows are written by the model's own template, and it must be that one.

Source: `src/llamafactory/data/template.py` of LLaMA-Factory, the user's turn of each.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from ringfence.core.errors import BadValue
from ringfence.core.text import Text, t

PLAIN = ("default", "empty", "fewshot")  # words of no family, which LLaMA-Factory writes in place of the model's own
OTHER_WORDS = Text(
    "default, empty and fewshot are words of LLaMA-Factory's, in place of the model's own; leave it out: rows are then written by the model's own chat template, "
    "and where it has none as question and answer, each on a line, with the end token",
    "default、empty 与 fewshot 是 LLaMA-Factory 自己的写法，会取代模型自己的模板；请不写该键：数据行将按模型自己的对话模板书写；模型没有模板时，问与答各占一行，并以结束词元收尾",
)

_FAMILIES: Mapping[str, str] = {  # what a template of the family says: its names
    "<|im_start|>": (
        "chatml chatml_de cpm4 dbrx ernie falcon_h1 intern2 intern_vl intern_s1 keye_vl lfm2 lfm2_vl llava_next_qwen llava_next_yi "
        "llava_next_video_yi mimo mimo_v2 mimo_vl minicpm_v minicpm_v_4_6 minicpm_o moss_vl opencoder phi4 qwen qwen3 qwen3_nothink qwen2_audio "
        "qwen2_omni qwen3_omni qwen3_omni_nothink qwen2_vl qwen3_vl qwen3_vl_nothink qwen3_5 qwen3_5_nothink qwen3_6 sailor smollm smollm2 yi"
    ),
    "<|start_header_id|>": "llama3 mllama llava_next_llama3 openchat-3.6",
    "<|header_start|>": "llama4",
    "[INST]": ("llama2 llama2_zh breeze mistral mistral_small ministral ministral3 pixtral llava_next_mistral llava_next_video_mistral"),
    "<｜User｜>": "deepseek3 deepseekr1",
    "<｜hy_User｜>": "hy3 hunyuan_small hy_dense_1_8b",
    "<|extra_0|>": "hunyuan hy_dense_7b",
    "<start_of_turn>": "gemma gemma2 gemma3 gemma3n paligemma_chat",
    "<|turn>": "gemma4 gemma4n",
    "<|user|>": "chatglm3 glm4 glm4_moe glm4v glm4_5v glm_ocr glm4_7 glmz1 dots_ocr granite3_vision olmo phi phi_small phi4_mini starchat zephyr aeva",
    "[|user|]": "exaone",
    "<|start|>": "gpt_oss",
    "<|start_of_role|>": "granite3 granite4",
    "<|START_OF_TURN_TOKEN|>": "cohere",
    "<|im_user|>": "kimi_vl moonlight",
    "<role>": "bailing bailing_v2",
    "### Instruction": "alpaca deepseekcoder",
    "### User": "solar",
    "### Human": "yi_vl",
    "USER:": "vicuna llava llava_next llava_next_video video_llava",
    "Human:": "xuanyuan",
    "User:": "deepseek ernie_nothink ernie_vl falcon",
    "GPT4 Correct User": "openchat",
    "<_user>": "telechat2",
    "<|User|>": "youtu",
    "<|begin_of_text|>user": "youtu_vl",
    "<beginning_of_sentence>": "minimax1",
    "]~b]": "minimax2",
    "<sep>": "yuan",
    "reserved_0": "index",
    "<bos>user": "seed_coder seed_oss",
    "": "paligemma",
}
FAMILIES: Mapping[str, str] = {name: words for words, names in _FAMILIES.items() for name in names.split()}

NAMES = (*PLAIN, *FAMILIES)


def refuse_unknown(name: object) -> None:
    """Return when a name is one of LLaMA-Factory's.

    Raises: BadValue.
    """
    if name in NAMES:
        return
    nearest = difflib.get_close_matches(str(name), NAMES, n=1, cutoff=0.5)
    did_you_mean = t("; did you mean {nearest}?", "；是否指 {nearest}？", nearest=nearest[0]) if nearest else ""
    problem = t(
        "no template is called {name}{more} Leave it out: the model's own is used",
        "没有名为 {name} 的模板{more} 请不写：使用模型自己的模板",
        name=name,
        more=did_you_mean or t(".", "。"),
    )
    raise BadValue(key="template", problem=problem)


def family_of(template: str) -> str:
    """Return LLaMA-Factory's first name for the family of a model's own chat template; "" where it knows none."""
    return next((name for name, words in FAMILIES.items() if words and words in template), "")


def refuse_other(name: str, template: str, *, thinks: bool) -> None:
    """Return when a model's own chat template is of the family that a recipe names.

    thinks: the template is told nothing of thoughts, and writes an empty one before an answer where it knows of them; those of LLaMA-Factory whose names
    end in _nothink write none.

    Raises: BadValue.
    """
    if thinks and name.endswith("_nothink") and "enable_thinking" in template:
        problem = t(
            "{name} learns no thought, but the model's own template would put an empty one before each answer; write enable_thinking: false beside it: the empty thought "
            "then stands in the question and is not learned",
            "{name} 不学习思考，而模型自己的模板会在每个回答之前写一段空思考；请在其旁写 enable_thinking: false：空思考便写在问题中，不被学习",
            name=name,
        )
        raise BadValue(key="template", problem=problem)
    if FAMILIES[name] in template:
        return
    own = family_of(template)
    if not template:
        problem = t(
            "the model has no chat template of its own; put {name}'s into its folder as chat_template.jinja and import the model again, or leave it out: rows are then "
            "question and answer, each on a line, with the end token",
            "模型没有自己的对话模板；请把 {name} 的模板以 chat_template.jinja 放入其文件夹并重新导入模型，或不写该键：问与答各占一行，并以结束词元收尾",
            name=name,
        )
    else:
        problem = t(
            "the model's own template is not {name}'s{more}; leave it out: rows are written as the model's tokeniser writes them",
            "模型自己的模板不是 {name} 的{more}；请不写该键：数据行按模型的分词器书写",
            name=name,
            more=t(" but of the family of {own}", "，而属于 {own} 一族", own=own) if own else "",
        )
    raise BadValue(key="template", problem=problem)
