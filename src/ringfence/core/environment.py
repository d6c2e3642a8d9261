"""The one place that reads or sets environment variables."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ringfence.core.errors import NoModelStore
from ringfence.core.text import Language, t

# Set before transformers, datasets or huggingface_hub can be imported: those libraries read them at import.
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "NLTK_DATA": tempfile.gettempdir(),  # rouge-score imports nltk, which is not imported where it finds no place for downloads; none is ever made
}


def silence_libraries() -> None:
    """Forbid every library that we use to call out, whatever the user's environment says."""
    os.environ.update(_QUIET)


def use_threads(count: int) -> None:
    """Let numeric libraries that are imported later use `count` threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(count)


def use_one_gpu() -> None:
    """Let libraries that are imported later see the first GPU alone: some share a run among all that they see."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"


def keep_caches_in(folder: Path) -> None:
    """Let the libraries of Hugging Face that are imported later write into this folder alone, whatever they keep."""
    os.environ.update({"HF_HOME": str(folder), "HF_DATASETS_CACHE": str(folder / "datasets"), "HF_MODULES_CACHE": str(folder / "modules")})


def use_loopback() -> None:
    """Let the processes of one run talk to each other inside this machine alone: the only interface that a sandbox has."""
    os.environ.update({"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"})


def use_vllm() -> None:
    """Let vLLM, when it is imported later, compute in this process: no worker, no report of its use, no program asked how the machine is built.

    Source: vLLM 0.32, envs.py; config/vllm.py, `use_v2_model_runner`.
    """
    os.environ.update(
        {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_DO_NOT_TRACK": "1",
            "VLLM_CONFIGURE_LOGGING": "0",
            "VLLM_HOST_IP": "127.0.0.1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_PLUGINS": "",  # none, where by default all that are installed run; those of logits are not asked for by this: `serve/vllm.py`
            "VLLM_USE_V2_MODEL_RUNNER": "0",  # that one, which a GPU gets by default, refuses the processor of logits that we bring
            "VLLM_CACHE_ROOT": str(Path(tempfile.gettempdir()) / "vllm"),
        }
    )


def language() -> Language:
    """Return zh when the user's locale is Chinese, else en."""
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "zh" if locale.lower().startswith("zh") else "en"


def model_store() -> Path:
    """Return the per-user folder of base models, as an absolute path: RINGFENCE_MODELS, else below the XDG data directory.

    Raises: NoModelStore.
    """
    if chosen := os.environ.get("RINGFENCE_MODELS"):
        return Path(chosen).absolute()
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # the XDG specification has such a value ignored
        data = _home() / ".local" / "share"
    return data / "ringfence" / "models"


def vllm_python() -> Path | None:
    """Return the interpreter of vLLM's environment: RINGFENCE_VLLM_PYTHON, as an absolute path; None where it is not set."""
    chosen = os.environ.get("RINGFENCE_VLLM_PYTHON")
    return Path(chosen).absolute() if chosen else None


def account_folder() -> Path | None:
    """Return the per-user folder of what the account keeps, as an absolute path: below XDG_DATA_HOME; None where the account has no home."""
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    if data.is_absolute():
        return data / "ringfence"
    try:
        return _home() / ".local" / "share" / "ringfence"
    except NoModelStore:
        return None


def cache_folder() -> Path | None:
    """Return the per-user folder of what can be made again, as an absolute path: below XDG_CACHE_HOME; None where the account has no home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if cache.is_absolute():
        return cache / "ringfence"
    try:
        return _home() / ".cache" / "ringfence"
    except NoModelStore:
        return None


def _home() -> Path:
    try:
        return Path.home().absolute()
    except RuntimeError as cause:  # no HOME, and the user database does not know this account
        raise NoModelStore(problem=t("this account has no home directory", "该账户没有主目录")) from cause


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def search_path() -> list[Path]:
    """Return the folders of PATH, in order."""
    return [Path(part) for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part]
