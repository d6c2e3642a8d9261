"""What becomes of each key of a recipe. Source of the key list: LLaMA-Factory's documented training arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ringfence.core.text import Text

Treatment = Literal["used", "noted", "refused"]


_NOTHING = Text("", "")


@dataclass(frozen=True)
class KeyRule:
    """How one key is treated, and why where it is not simply used."""

    treatment: Treatment
    why: Text = _NOTHING


_USED = (
    "model_name_or_path stage do_train do_eval finetuning_type lora_rank lora_alpha lora_dropout lora_target cutoff_len "
    "train_on_prompt mask_history per_device_train_batch_size gradient_accumulation_steps "
    "num_train_epochs max_steps lr_scheduler_type lr_scheduler_kwargs warmup_ratio warmup_steps adam_beta1 adam_beta2 adam_epsilon max_samples val_size weight_decay max_grad_norm seed save_steps logging_steps bf16 fp16 gradient_checkpointing disable_gradient_checkpointing "
    "layers_to_transform lora_freeze_a use_rslora use_dora loraplus_lr_ratio pref_beta pref_ftx pref_loss dpo_label_smoothing simpo_gamma kto_chosen_weight kto_rejected_weight privacy audit release"
).split()

_NOTED: Mapping[str, Text] = {
    "trust_remote_code": Text("never executed: ringfence loads no code from a model", "从不执行：ringfence 不加载模型中的代码"),
    "output_dir": Text("outputs go into the vault", "产出存入保险库"),
    "overwrite_output_dir": Text("objects in the vault are never overwritten", "保险库中的对象从不被覆盖"),
    "overwrite_cache": Text("there is no cache on disk", "磁盘上没有缓存"),
    "cache_dir": Text("there is no cache on disk", "磁盘上没有缓存"),
    "preprocessing_num_workers": Text("rows are tokenised in the sandbox", "在沙箱中分词"),
    "dataloader_num_workers": Text("rows are read in the sandbox by one process", "在沙箱中由单个进程读取"),
    "per_device_eval_batch_size": Text("evaluation uses the training batch", "评估使用训练的批大小"),
    "plot_loss": Text("ringfence run show prints the losses", "ringfence run show 会显示损失"),
    "ddp_timeout": Text("ringfence watches the processes of a run itself", "ringfence 自行监视运行的各个进程"),
    "flash_attn": Text("the attention kernel is chosen by length and device", "注意力内核按长度与设备选择"),
    "use_unsloth": Text("ringfence has its own loop", "ringfence 使用自己的训练循环"),
    "enable_liger_kernel": Text("the head is chunked already", "输出层已分块计算"),
    "use_kt": Text("ringfence has its own loop", "ringfence 使用自己的训练循环"),
    "save_total_limit": Text("the last checkpoint is kept while a run is open", "运行期间保留最后一个检查点"),
    "save_only_model": Text("checkpoints always hold all that a resume needs", "检查点总是包含续训所需的一切"),
    "logging_dir": Text("figures stay in the vault", "数据留在保险库中"),
    "include_num_input_tokens_seen": Text("tokens are always counted", "总是统计词元数"),
    "print_param_status": Text("ringfence run show prints the parameters", "ringfence run show 会显示参数"),
    "report_to": Text("figures stay in the vault", "数据留在保险库中"),
    "run_name": Text("runs are named by their id", "运行以编号命名"),
}

_EGRESS = Text("it would send data out of the boundary", "它会把数据送出边界")
_PACKING = Text(
    "a row would hold several records: they would read each other, and what one of them adds to a step could not be bounded",
    "一行会含有多条记录：它们会互相读取，且无法界定其中一条对一步的贡献",
)
_DRAWN = Text(
    "the adapter could begin with what private rows say, before any noise; its factors are always drawn from the seed",
    "适配器的初值可能取自隐私行，且未加任何噪声；其因子一律由种子抽取",
)
_LATER = Text("not built yet; it is refused rather than ignored", "尚未实现；宁可拒绝也不忽略")
_CHOICE = Text(
    "a choice by private rows that no promise covers; train each value as a run of its own, which is charged",
    "依据隐私行作出的选择，没有承诺涵盖；请把每个取值作为单独的运行训练，并计费",
)
_REFERENCE = Text(
    "the reference is the model as it was before training, which needs no copy of its own",
    "参照即训练前的模型本身，无需另外的副本",
)
_CHOICE_KEYS = "load_best_model_at_end metric_for_best_model greater_is_better early_stopping_steps early_stopping_patience".split()
_EGRESS_KEYS = (
    "push_to_hub export_hub_model_id hf_hub_token ms_hub_token om_hub_token hub_model_id hub_token hub_strategy use_swanlab swanlab_project "
    "swanlab_mode swanlab_api_key swanlab_workspace swanlab_run_name"
).split()
_LATER_KEYS = (
    "adapter_name_or_path model_revision resize_vocab rope_scaling quantization_bit quantization_method quantization_type "
    "double_quantization do_predict additional_target create_new_adapter pissa_init pissa_iter pissa_convert "
    "oft_rank oft_block_size oft_target module_dropout freeze_trainable_layers freeze_trainable_modules freeze_extra_modules "
    "use_galore galore_rank galore_target galore_update_interval galore_scale pure_bf16 "
    "reward_model reward_model_type mix_strategy "
    "interleave_probs tokenized_path streaming enable_thinking default_system tool_format eval_strategy eval_steps save_strategy "
    "resume_from_checkpoint neftune_noise_alpha deepspeed fsdp do_sample temperature top_p top_k max_new_tokens repetition_penalty "
    "predict_with_generate ray_num_workers ray_init_kwargs use_apollo use_badam use_llama_pro freeze_vision_tower "
    "freeze_multi_modal_projector image_max_pixels video_max_pixels compute_accuracy mask_history_loss"
).split()

_FOUND = Text(
    "a private run that names neither learns by sgd; sgd without a rate takes one that its noise bears",
    "两者都未写的隐私运行以 sgd 学习；未写学习率的 sgd 取其噪声所能承受者",
)
_TEMPLATE = Text(
    "rows are written by the model's own chat template, and it must be of this family",
    "数据行按模型自己的对话模板书写，且该模板须属于此族",
)
_FOLDER = Text(
    "names that the workspace does not know are looked up in its dataset_info.json, and their files are imported",
    "工作区中没有的名称会在其 dataset_info.json 中查找，并导入相应文件",
)
_SETS = Text("one set, or several with commas between them", "一个数据集，或以逗号分隔的多个")

KEYS: Mapping[str, KeyRule] = {
    **{key: KeyRule("used") for key in _USED},
    **{key: KeyRule("used", _SETS) for key in ("dataset", "eval_dataset")},
    "dataset_dir": KeyRule("used", _FOLDER),
    "template": KeyRule("used", _TEMPLATE),
    **{key: KeyRule("used", _FOUND) for key in ("optim", "learning_rate")},
    **{key: KeyRule("noted", why) for key, why in _NOTED.items()},
    **{key: KeyRule("refused", _EGRESS) for key in _EGRESS_KEYS},
    **{key: KeyRule("refused", _CHOICE) for key in _CHOICE_KEYS},
    **{key: KeyRule("refused", _LATER) for key in _LATER_KEYS},
    **{key: KeyRule("refused", _REFERENCE) for key in ("ref_model", "ref_model_adapters", "ref_model_quantization_bit")},
    **{key: KeyRule("refused", _PACKING) for key in ("packing", "neat_packing", "padding_free")},
    **{key: KeyRule("refused", _DRAWN) for key in ("init_lora_weights", "eva_config", "lora_ga_config", "corda_config")},
}
