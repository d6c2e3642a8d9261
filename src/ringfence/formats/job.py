"""`formats.v1`: an adapter and its base become what other tools load, and each is compared with it. The child half; runs in the sandbox."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.core.order import Child, Progress
from ringfence.formats.settings import FormatFigures, FormatSettings
from ringfence.models.prelude import AS_IT_IS
from ringfence.release.formats import MERGED, Format, Parity, beside, gguf_file

if TYPE_CHECKING:
    from torch import Tensor

    from ringfence.models.folder import ModelFolder
    from ringfence.models.load import Loaded


_HEAD = "lm_head.weight"


def run(child: Child[FormatSettings]) -> FormatFigures:
    """Write every format of the settings into `files["target"]`, read it back as whoever gets it would, and return how it compares.

    The adapter is the sealed input "adapter", the base model the folder `files["model"]`.

    Raises: AdapterUnexpected, DeviceMissing, ModelUnsupported, ObjectBroken.
    """
    import torch

    from ringfence.formats.parity import answers, compare
    from ringfence.models.folder import check_folder
    from ringfence.models.load import dequantised, load
    from ringfence.train.adapter import WEIGHTS
    from ringfence.train.device import Capabilities, choose, cpu_flags
    from ringfence.train.restore import with_sealed
    from ringfence.vault.files import read_file

    settings, target = child.order.settings, Path(child.order.files["target"])
    torch.set_num_threads(settings.hints.threads or child.order.limits.threads)
    device = choose(settings.hints, Capabilities(torch.cuda.is_available(), cpu_flags())).device
    steps = 2 + 2 * len(settings.formats)
    done = 0

    def step(phase: Any) -> None:  # noqa: ANN401  one of the phases of a progress
        nonlocal done
        child.channel.progress(Progress(done=done, total=steps, phase=phase))
        done += 1

    step("load")
    model = check_folder(Path(child.order.files["model"]))._replace(prelude=settings.train.prelude, closing=settings.closing)
    slot = child.order.inputs["adapter"]
    # float32 whatever the base is stored in: the sum of a weight and what was learned is rounded once, by the format itself.
    base = load(model.path, dtype=torch.float32, device=device, prelude=model.prelude, quantised=settings.train.quantised)
    if settings.train.quantised:
        base = base._replace(model=dequantised(base.model))  # what was learned belongs to these weights, and they can be added to
    loaded = with_sealed(base, settings.train, read_file(slot, child.keys.data[slot.slot], WEIGHTS))
    step("reference")
    reference = answers(loaded)
    state = {name: tensor.cpu() for name, tensor in loaded.model.merge_and_unload().state_dict().items()}
    del loaded, base
    for format_ in settings.formats:
        step("write")
        _write(format_, model, state, target, name=settings.name)
    del state
    found: list[Parity] = []
    for format_ in settings.formats:
        step("evaluate")
        found.append(compare(format_, _opened(format_, model, target, device=device), reference))
    return FormatFigures(parity=tuple(found))


def _write(format_: Format, model: ModelFolder, state: dict[str, Tensor], target: Path, *, name: str) -> None:
    if format_ == MERGED:
        _write_merged(model, state, target / MERGED)
        return
    from ringfence.formats.gguf_file import padded, write_head

    path = target / gguf_file(format_)
    path.parent.mkdir(exist_ok=True)
    planned = write_head(path, model, format_, name=name)
    with path.open("ab") as stream:
        for one in planned:
            data = one.data(state[one.source].float().numpy())
            stream.write(data + bytes(padded(len(data)) - len(data)))


def _write_merged(model: ModelFolder, state: dict[str, Tensor], folder: Path) -> None:
    """Write the files of the base model with other weights: same names, same tensors in each, same precision."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    folder.mkdir()
    for name in beside(model.names):
        shutil.copyfile(model.path / name, folder / name)
    for name, data in model.written_files().items():
        (folder / name).write_bytes(data)
    for name in (one for one in model.names if one.endswith(".safetensors")):
        with safe_open(model.path / name, framework="pt") as opened:
            base = {each: opened.get_tensor(each) for each in opened.keys()}  # noqa: SIM118  it is no mapping
        # Tables beside the weights stay as they are.
        made = {each: state[each].to(old.dtype).contiguous() if each in model.weights else old for each, old in base.items()}
        if _HEAD in made and model.config.get("tie_word_embeddings"):
            made[_HEAD] = made[_HEAD].clone()  # one tensor under two names, which the file keeps apart
        save_file(made, folder / name, metadata={"format": "pt"})


def _opened(format_: Format, model: ModelFolder, target: Path, *, device: str) -> Loaded:
    """Return a format as transformers opens it, in float32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from ringfence.formats.gguf_file import head_size
    from ringfence.models.load import Loaded, load

    if format_ == MERGED:
        return load(target / MERGED, dtype=torch.float32, device=device, prelude=AS_IT_IS)  # its template has it already
    path = target / gguf_file(format_)
    options: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    config = model.config
    is_usual = config["num_attention_heads"] * head_size(config) == config["hidden_size"]
    # transformers 5.23 reads the size of a head from llama's GGUF files alone; elsewhere it takes the usual one.
    of_base = {} if is_usual else {"config": AutoConfig.from_pretrained(model.path, local_files_only=True, trust_remote_code=False)}
    opened = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **of_base, **options).eval()
    return Loaded(opened.to(device), AutoTokenizer.from_pretrained(path.parent, **options))
