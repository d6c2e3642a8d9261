"""Run by path under the Python of vLLM's environment, without a sandbox: what its engine answers, and what it was told, as JSON.

Asked on the standard input: {"model", "bundles", "memory", "chunk", "asks", "plugin"}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

programs: list[str] = []
sys.addaudithook(lambda event, told: programs.append(str(told[0])) if event == "subprocess.Popen" else None)


def main() -> None:
    """Print the answers by conversation, how often a choice was thrown away or a conversation put off, and what vLLM was told."""
    asked = json.loads(sys.stdin.read())
    sys.path.append(asked["plugin"])

    from ringfence.core.environment import silence_libraries

    silence_libraries()
    from ringfence.serve import vllm
    from ringfence.train.device import Placement

    vllm._CHUNK = asked["chunk"]
    bundles = [Path(one) for one in asked["bundles"]]
    served = vllm.opened(Path(asked["model"]), bundles, Placement("cpu", "float32"), [None] * len(bundles), memory=asked["memory"])
    counted = _counted(served)
    answers = _answers(served, asked["asks"])
    thrown = counted["chosen"] - counted["taken"]
    print("\n" + json.dumps({"answers": answers, "thrown": thrown, "put_off": counted["put_off"], "told": _told(served)}))


def _counted(served) -> dict[str, int]:
    from vllm.v1.core.sched.scheduler import Scheduler

    found = {"chosen": 0, "taken": 0, "put_off": 0}
    leave, taken, put_off = served._chooser.leave_one, served._chooser.taken, Scheduler._preempt_request

    def count(name, call, by=lambda *_: 1):
        def counting(*given, **named):
            found[name] += by(*given)
            return call(*given, **named)

        return counting

    served._chooser.leave_one = count("chosen", leave, len)
    served._chooser.taken = count("taken", taken)
    Scheduler._preempt_request = count("put_off", put_off)
    return found


def _answers(served, asks) -> dict[str, list]:
    from ringfence.serve.wire import Ask, Orders

    waiting = [Ask.model_validate(one) for one in asks]
    texts, found = {one.id: "" for one in waiting}, {}
    while len(found) < len(texts):
        for said in served.turn(Orders(ask=waiting.pop(0) if waiting else None)):
            texts[said.id] += said.text
            if said.finish:
                found[said.id] = [texts[said.id], said.finish, said.tokens]
    return found


def _told(served) -> dict[str, object]:
    import huggingface_hub
    from vllm import envs
    from vllm.usage import usage_lib

    config = served._engine.vllm_config
    return {
        "window": config.model_config.max_model_len,
        "prefixes": config.cache_config.enable_prefix_caching,
        "usage": usage_lib.is_usage_stats_enabled(),
        "offline": huggingface_hub.constants.HF_HUB_OFFLINE,
        "processes": envs.VLLM_ENABLE_V1_MULTIPROCESSING,
        "second_runner": envs.VLLM_USE_V2_MODEL_RUNNER,
        "planted": "planted" in sys.modules,
        "programs": programs,
    }


main()
