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


def without(owner: str) -> KeyRule:
    """Return how a key is treated that means something beside another one alone, where that is not there."""
    return KeyRule("noted", Text(f"it means something beside {owner} alone", f"它只与 {owner} 一起才有意义"))


_USED = (
    "model_name_or_path stage do_train do_eval finetuning_type lora_rank lora_alpha lora_dropout lora_target cutoff_len "
    "train_on_prompt default_system max_samples val_size "
    "num_train_epochs max_steps lr_scheduler_type lr_scheduler_kwargs warmup_ratio warmup_steps adam_beta1 adam_beta2 adam_epsilon "
    "eval_strategy eval_delay load_best_model_at_end early_stopping_steps metric_for_best_model greater_is_better save_strategy "
    "weight_decay max_grad_norm seed save_steps logging_steps bf16 fp16 use_cpu gradient_checkpointing activation_checkpointing disable_gradient_checkpointing "
    "oft_rank oft_block_size oft_target module_dropout freeze_trainable_layers freeze_trainable_modules freeze_extra_modules layers_to_transform lora_freeze_a use_rslora use_dora pissa_init pissa_iter quantization_bit quantization_method quantization_type double_quantization use_galore galore_rank galore_target galore_update_interval galore_scale galore_proj_type neftune_noise_alpha loraplus_lr_ratio pref_beta pref_ftx pref_loss dpo_label_smoothing simpo_gamma kto_chosen_weight kto_rejected_weight reward reward_weights num_generations max_completion_length beta num_iterations epsilon loss_type privacy audit release"
).split()

_VAULT = Text("figures stay in the vault", "数据留在保险库中")
_CACHE = Text("there is no cache on disk", "磁盘上没有缓存")
_SANDBOX = Text("rows are read in the sandbox by one process", "在沙箱中由单个进程读取")
_LOOP = Text("ringfence has its own loop", "ringfence 使用自己的训练循环")
_SHARED = Text(
    "ringfence starts and watches the processes of a run itself: train --processes",
    "ringfence 自行启动并监视运行的各个进程：train --processes",
)
_SHARED_OUT = Text(
    "of train --processes N each holds the frozen base whole; with --shard (not with full or freeze, grpo or rloo) each holds a part of it, as with "
    "full_shard or ZeRO-3",
    "train --processes N 的每个进程都持有完整的冻结基础模型；加上 --shard（不用于 full 或 freeze、grpo 或 rloo）则各持一部分，如同 full_shard 或 ZeRO-3",
)
_TEXT_ONLY = Text("only text is learned", "只学习文本")
_ANSWERING = Text(
    "it is about answers, not about training: ringfence eval, serve and chat", "它关乎回答而非训练：ringfence eval、serve 与 chat"
)
_EVALUATING = Text("held-out rows are read in one way, and their loss is one figure", "留出行只以一种方式读取，其损失是一个数")
_SPOKEN = Text("ringfence --quiet and --json decide what is printed", "打印内容由 ringfence --quiet 与 --json 决定")
_PRECISION = Text("the precision is that of bf16, and of the device", "精度由 bf16 与设备决定")
_MEASURED = Text("time and memory are always measured", "总是测量时间与内存")

_NOTED: Mapping[Text, str] = {  # why: keys
    Text("never executed: ringfence loads no code from a model", "从不执行：ringfence 不加载模型中的代码"): "trust_remote_code",
    Text("outputs go into the vault", "产出存入保险库"): "output_dir",
    Text("objects in the vault are never overwritten", "保险库中的对象从不被覆盖"): "overwrite_output_dir",
    _CACHE: "overwrite_cache cache_dir",
    Text("rows are tokenised in the sandbox", "在沙箱中分词"): (
        "preprocessing_num_workers preprocessing_batch_size streaming buffer_size use_fast_tokenizer data_shared_file_system"
    ),
    _SANDBOX: (
        "dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor dataloader_multiprocessing_context "
        "dataloader_in_order remove_unused_columns label_names accelerator_config"
    ),
    Text("evaluation uses the training batch", "评估使用训练的批大小"): "per_device_eval_batch_size",
    Text("held-out rows are always evaluated before the first step, too", "留出行总是在第一步之前也评估一次"): "eval_on_start",
    _EVALUATING: (
        "eval_on_each_dataset prediction_loss_only eval_do_concat_batches eval_use_gather_object eval_accumulation_steps include_for_metrics "
        "batch_eval_metrics bf16_full_eval fp16_full_eval sortish_sampler compute_accuracy"
    ),
    Text("an arrow of its own, after training: ringfence eval RUN --data SET", "训练之后的单独步骤：ringfence eval RUN --data SET"): (
        "do_predict predict_with_generate"
    ),
    Text("ringfence run export draws them", "由 ringfence run export 绘制"): "plot_loss",
    _SHARED: (
        "ddp_timeout ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend "
        "parallelism_config local_rank master_addr master_port ray_num_workers ray_init_kwargs log_on_each_node save_on_each_node "
        "average_tokens_across_devices low_cpu_mem_usage device_map offload_folder quantization_device_map"
    ),
    _SHARED_OUT: "deepspeed fsdp fsdp_config fsdp_transformer_layer_cls_to_wrap",
    Text("the attention kernel is chosen by length and device", "注意力内核按长度与设备选择"): "flash_attn",
    _LOOP: (
        "use_unsloth use_unsloth_gc use_kt kt_cpu_activation kt_config kt_weight_path kt_non_expert_weight_path kt_expert_checkpoint_path "
        "kt_use_lora_experts kt_lora_expert_num kt_lora_expert_intermediate_size use_v1_kernels use_reentrant_gc gradient_checkpointing_kwargs "
        "activation_checkpointing_kwargs torch_compile torch_compile_backend torch_compile_mode torch_empty_cache_steps use_cache use_kv_cache "
        "full_determinism auto_find_batch_size enable_jit_checkpoint restore_callback_states_from_checkpoint"
    ),
    Text("the head is chunked already", "输出层已分块计算"): "enable_liger_kernel use_liger_kernel liger_kernel_config",
    Text("micro batches are of like length already", "微批中各行长度已相近"): "length_column_name",
    Text("the last checkpoint is kept while a run is open", "运行期间保留最后一个检查点"): "save_total_limit",
    Text("checkpoints always hold all that a resume needs", "检查点总是包含续训所需的一切"): "save_only_model ignore_data_skip",
    _VAULT: "logging_dir report_to",
    Text("runs are named by their id", "运行以编号命名"): "run_name",
    Text(
        "tokens are always counted", "总是统计词元数"
    ): "include_num_input_tokens_seen include_tokens_per_second include_effective_tokens_per_second",
    Text("ringfence run show prints the parameters", "ringfence run show 会显示参数"): "print_param_status",
    _SPOKEN: "logging_strategy logging_first_step logging_nan_inf_filter log_level log_level_replica disable_tqdm debug",
    _MEASURED: (
        "skip_memory_metrics enable_torch_profiler profiler_output_dir profiler_wait_steps profiler_warmup_steps profiler_active_steps profiler_repeat "
        "profiler_record_shapes profiler_profile_memory profiler_with_stack profile_modules"
    ),
    Text("a PiSSA adapter always leaves as plain LoRA", "PiSSA 适配器总是以普通 LoRA 的形式交付"): "pissa_convert",
    _PRECISION: "tf32 mixed_precision upcast_layernorm upcast_lmhead_output compute_dtype infer_dtype pure_bf16",
    Text("padding is never learned", "从不学习填充"): "ignore_pad_token_for_loss",
    Text("what the model's template keeps of earlier thoughts is kept", "保留模型模板所保留的先前思考"): "preserve_thinking",
    Text("calls of tools are written by the model's own template", "工具调用按模型自己的模板书写"): "tool_format",
    _TEXT_ONLY: (
        "media_dir image_max_pixels image_min_pixels image_do_pan_and_scan crop_to_patches video_max_pixels video_min_pixels video_fps video_maxlen "
        "use_audio_in_video audio_sampling_rate freeze_vision_tower freeze_multi_modal_projector freeze_language_model"
    ),
    _ANSWERING: (
        "do_sample temperature top_p top_k num_beams max_length max_new_tokens repetition_penalty length_penalty skip_special_tokens eval_num_beams "
        "generation_max_length generation_num_beams generation_config infer_backend vllm_maxlen vllm_gpu_util vllm_enforce_eager vllm_max_lora_rank "
        "vllm_config sglang_maxlen sglang_mem_fraction sglang_tp_size sglang_config sglang_lora_backend"
    ),
}

_OWNED: Mapping[str, str] = {  # keys that mean something beside another one alone
    "use_apollo": (
        "apollo_rank apollo_target apollo_update_interval apollo_scale apollo_proj apollo_proj_type apollo_scale_type apollo_layerwise "
        "apollo_scale_front"
    ),
    "use_badam": "badam_mode badam_start_block badam_switch_mode badam_switch_interval badam_update_ratio badam_mask_mode badam_verbose",
    "use_asft_loss": "asft_alpha",
    "use_eaft_loss": "eaft_alpha",
    "loraplus_lr_ratio": "loraplus_lr_embedding",
    "stage: ppo": (
        "ppo_buffer_size ppo_epochs ppo_score_norm ppo_target ppo_whiten_rewards reward_model reward_model_adapters "
        "reward_model_quantization_bit reward_model_type"
    ),
    "ref_model": "ref_model_adapters ref_model_quantization_bit",
    "use_swanlab": (
        "swanlab_project swanlab_mode swanlab_workspace swanlab_run_name swanlab_logdir swanlab_lark_webhook_url swanlab_lark_secret swanlab_api_key"
    ),
    "push_to_hub": "hub_strategy hub_private_repo hub_always_push hub_revision",
    "fp8": "fp8_backend fp8_enable_fsdp_float8_all_gather",
    "adapter_name_or_path": "adapter_folder create_new_adapter",
    "use_megatron_bridge": "megatron_bridge_args",
    "use_hyper_parallel": "hyper_parallel_args hyper_parallel_cp_size",
    "report_to: trackio": "project trackio_space_id trackio_bucket_id trackio_static_space_id",
    "add_special_tokens": "new_special_tokens_config init_special_tokens",
    "export_dir": "export_size export_device export_quantization_bit export_quantization_dataset export_quantization_nsamples export_quantization_maxlen",
}

BESIDE: Mapping[str, tuple[str, ...]] = {  # the same of keys that are used
    "quantization_bit": ("quantization_method", "quantization_type", "double_quantization"),
    "use_galore": ("galore_rank", "galore_target", "galore_update_interval", "galore_scale", "galore_proj_type", "galore_layerwise"),
}

NOTHING_ASKED = Text("it asks for nothing", "未要求任何内容")
_EGRESS = Text("it would send data out of the boundary", "它会把数据送出边界")
_DRAWN = Text(
    "the adapter could begin with what private rows say, before any noise; its factors are always drawn from the seed",
    "适配器的初值可能取自隐私行，且未加任何噪声；其因子一律由种子抽取",
)
_REFERENCE = Text(
    "the reference is the model as it was before training, which needs no copy of its own",
    "参照即训练前的模型本身，无需另外的副本",
)
_V1: Mapping[Text, str] = {  # what to write instead: keys of LLaMA-Factory's `v1/config`
    Text("write model_name_or_path", "请写 model_name_or_path"): "model",
    Text(
        "write dataset, the name of a set that ringfence import made, and stage: sft or dpo",
        "请写 dataset（ringfence import 所导入的数据集名称）与 stage: sft 或 dpo",
    ): "train_dataset",
    Text(
        "write per_device_train_batch_size and gradient_accumulation_steps",
        "请写 per_device_train_batch_size 与 gradient_accumulation_steps",
    ): ("micro_batch_size global_batch_size"),
    Text(
        "write finetuning_type, and what stands in it as keys of their own, such as lora_rank, lora_alpha and freeze_trainable_layers",
        "请写 finetuning_type，并把其中的内容写为单独的键，如 lora_rank、lora_alpha、freeze_trainable_layers",
    ): "peft_config",
    Text("write quantization_bit", "请写 quantization_bit"): "quant_config",
    Text("write optim, or use_galore: true", "请写 optim，或 use_galore: true"): "optim_config",
    Text("write lr_scheduler_type and lr_scheduler_kwargs", "请写 lr_scheduler_type 与 lr_scheduler_kwargs"): "lr_scheduler_config",
    Text("write gradient_checkpointing: true", "请写 gradient_checkpointing: true"): "enable_activation_checkpointing",
    Text("write packing: true", "请写 packing: true"): "batching_strategy",
    Text("write save_steps", "请写 save_steps"): "save_epochs",
    Text(
        "leave it out", "请不写"
    ): "model_class init_config kernel_config dist_config cp_size cp_mode sample_backend batching_workers save_ckpt_as_hf",
}
_REFUSED: Mapping[Text, str] = {  # why: keys, but where they ask for nothing
    _EGRESS: "push_to_hub export_hub_model_id hf_hub_token ms_hub_token om_hub_token hub_model_id hub_token use_swanlab",
    _REFERENCE: "ref_model",
    _DRAWN: "init_lora_weights eva_config lora_ga_config corda_config",
    Text("rows would lie on the disk, tokenised, outside the vault", "数据行会以分词后的形式存放在保险库之外的磁盘上"): "tokenized_path",
    Text(
        "pickled weights can run code; releases hold safetensors alone", "pickle 权重可以执行代码；发布包只含 safetensors"
    ): "export_legacy_format",
    Text(
        "a layer would be stepped before the gradients of the others are there: they could neither be accumulated, nor clipped together, nor noised",
        "某一层会在其他层的梯度算出之前就更新：梯度既无法累积，也无法一并裁剪或加噪",
    ): "galore_layerwise",
    Text(
        "its only kept implementation, apollo-torch, is licensed CC BY-NC, not for commercial use; write use_galore: true",
        "其唯一仍在维护的实现 apollo-torch 以 CC BY-NC 授权，不得用于商业；请写 use_galore: true",
    ): "use_apollo",
    Text("a run goes on by its id: ringfence run resume RUN", "按编号续训：ringfence run resume RUN"): "resume_from_checkpoint",
    Text("a model is what its digest says; import the revision that is wanted", "模型由其摘要确定；请导入所需的版本"): "model_revision",
    Text(
        "training writes an adapter; ringfence release RUN exports it, --format merged or gguf-q8_0 with the whole model",
        "训练产出适配器；用 ringfence release RUN 导出，加 --format merged 或 gguf-q8_0 则含完整模型",
    ): "export_dir",
    Text(
        "every row of an epoch is read once; what is left over is a smaller batch", "每轮每行读取一次；余下的组成较小的批"
    ): "dataloader_drop_last",
    Text(
        "rows are drawn by the seed alone; write seed", "行的抽取只由 seed 决定；请写 seed"
    ): "data_seed disable_shuffling group_by_length train_sampling_strategy",
    Text(
        "a trainer of its own, which ringfence does not start", "它是另一个训练器，ringfence 不会启动"
    ): "use_mca use_megatron_bridge use_hyper_parallel",
    Text(
        "it belongs to Megatron (USE_MCA, use_megatron_bridge), a trainer of its own, which ringfence does not start",
        "它属于 Megatron（USE_MCA、use_megatron_bridge），是另一个训练器，ringfence 不会启动",
    ): (
        "tensor_model_parallel_size pipeline_model_parallel_size expert_model_parallel_size context_parallel_size sequence_parallel bias_activation_fusion "
        "apply_rope_fusion use_distributed_optimizer overlap_param_gather overlap_grad_reduce moe_grouped_gemm moe_token_dispatcher_type "
        "recompute_granularity use_packed_sequences export_hf_on_finish"
    ),
    **{
        Text(
            f"it belongs to LLaMA-Factory's v1 dialect (USE_V1), which is not read; {told.en}",
            f"它属于 LLaMA-Factory 的 v1 写法（USE_V1），不予读取；{told.zh}",
        ): keys
        for told, keys in _V1.items()
    },
    Text("it would change the vocabulary of the model, which an adapter cannot carry", "它会改变模型的词表，而适配器无法携带"): (
        "resize_vocab add_tokens add_special_tokens split_special_tokens"
    ),
    Text(
        "a released adapter belongs to its base as that is, and does not carry another configuration: change config.json in a copy of the model's folder, "
        "ringfence model import the copy, and name it",
        "放行的适配器属于原样的基础模型，不携带另外的配置：请在模型文件夹的副本中修改 config.json，用 ringfence model import 导入副本并以其名称使用",
    ): "rope_scaling model_max_length",
    Text(
        "it changes what a model computes, or its weights before training: an adapter would belong to a model that nobody else can load",
        "它改变模型的计算方式，或训练之前的权重：适配器将属于别人无法加载的模型",
    ): "mixture_of_depths shift_attn use_llama_pro train_from_scratch",
    Text(
        "the new adapter would know the rows of the earlier run, too, of which its evidence, audit and budget would say nothing: release that run with "
        "--format merged, ringfence model import its merged folder, and name it",
        "新适配器也会知道先前运行的数据行，而其证据、审计与预算对此只字不提：请以 --format merged 放行该运行，用 ringfence model import 导入其 merged 文件夹并以其名称使用",
    ): "adapter_name_or_path",
    Text(
        "they would be trained whole, beside the factors that the host expects of an adapter: write finetuning_type: freeze and freeze_extra_modules",
        "它们会整体参与训练，而主机只接受适配器应有的因子：请写 finetuning_type: freeze 与 freeze_extra_modules",
    ): "additional_target",
    Text(
        "it changes the loss; those that are offered equal TRL's and bound what one row adds: choose stage and pref_loss",
        "它会改变损失；所提供的各损失与 TRL 相等，且单行的贡献有界：请选择 stage 与 pref_loss",
    ): "use_dft_loss use_asft_loss use_eaft_loss label_smoothing_factor ld_alpha pref_bco_weight mask_history_loss",
    Text("no model with several experts is supported", "不支持含多个专家的模型"): "moe_aux_loss_coef",
    Text("write neat_packing: true", "请写 neat_packing: true"): "block_diag_attn",
    Text("write early_stopping_steps", "请写 early_stopping_steps"): "early_stopping_patience",
    Text("float8 is not offered; use bf16", "不提供 float8；请用 bf16"): "fp8",
    Text(
        "write adamw_torch, sgd or use_galore: a resumed run keeps the state of these alone",
        "请写 adamw_torch、sgd 或 use_galore：续训的运行只保留这些优化器的状态",
    ): ("use_badam use_adam_mini use_muon optim_args optim_target_modules"),
    Text(
        "it belongs to a benchmark of fixed tasks; ringfence eval RUN --data SET evaluates a run on rows of your own",
        "它属于固定任务的基准测试；请用 ringfence eval RUN --data SET 以自己的数据行评估运行",
    ): "task task_dir batch_size lang n_shot save_dir download_mode",
}
_EMPTY = (None, False, 0, "")  # values of refused keys that ask for nothing
_NEUTRAL: Mapping[str, tuple[object, ...]] = {  # and those of keys that have others
    "model_revision": (None, "main"),
    "data_seed": (None,),
    "train_sampling_strategy": (None, "random"),
    "init_lora_weights": (None, True),
    **dict.fromkeys(
        ("tensor_model_parallel_size", "pipeline_model_parallel_size", "expert_model_parallel_size", "context_parallel_size", "cp_size"),
        (None, 1),
    ),
    "batching_strategy": (None, "normal"),
}
_IDLE: Mapping[str, tuple[int, ...]] = {"max_steps": (-1, 0), "neftune_noise_alpha": (0,)}  # the same of keys that are used

_FOUND = Text(
    "a private run that names neither learns by sgd; sgd without a rate takes one that its noise bears",
    "两者都未写的隐私运行以 sgd 学习；未写学习率的 sgd 取其噪声所能承受者",
)
_TEMPLATE = Text(
    "rows are written by the model's own chat template, and it must be of this family",
    "数据行按模型自己的对话模板书写，且该模板须属于此族",
)
_BATCH = Text(
    "a step reads per_device_train_batch_size × gradient_accumulation_steps rows, however many GPUs share it; LLaMA-Factory starts a process for each GPU, which reads "
    "as many: multiply one of the two by the number of GPUs to keep batch and number of steps",
    "一步读取 per_device_train_batch_size × gradient_accumulation_steps 行，与 GPU 数量无关；LLaMA-Factory 为每个 GPU 启动一个进程，各读这么多：要保持批大小与步数，请把二者之一乘以 GPU 数量",
)
_LAST = Text(
    "of a row longer than cutoff_len the end is cut; where no token of the last answer is left, the row is left out and counted; LLaMA-Factory keeps the last turns",
    "超过 cutoff_len 的行会截去末尾；最后的回答一个词元也不剩时，该行不使用并计数；LLaMA-Factory 则保留最后几轮",
)
_LOOK = Text(
    "without it logging_steps decides, or 500 where that is not written either, as in transformers",
    "未写时由 logging_steps 决定，两者都未写时为 500，与 transformers 一致",
)
TEXTS = Text(
    "stage: pt reads a text as it stands, and a conversation as the model's own template writes it",
    "stage: pt 按原样读取文本，对话则按模型自己的模板书写",
)
_FOLDER = Text(
    "names that the workspace does not know are looked up in its dataset_info.json, and their files are imported",
    "工作区中没有的名称会在其 dataset_info.json 中查找，并导入相应文件",
)
_THOUGHTS = Text(
    "for a template that knows enable_thinking, as Qwen3's; another one has no thoughts to leave out; no value means true",
    "用于识别 enable_thinking 的模板，如 Qwen3；其他模板没有可省略的思考；未写值即为 true",
)
_MIXED = Text(
    "concat and interleave_once take every row once, which the seed shuffles anyway; interleave_under takes the first rows of each set until one has ended",
    "concat 与 interleave_once 每行取一次，反正由种子打乱；interleave_under 取各数据集的前若干行，直至其中一个取完",
)
_ONCE = Text(
    "interleave_once takes every row once, whatever the shares: they would decide an order, which the seed shuffles",
    "无论比例如何，interleave_once 每行都取一次：比例只决定顺序，而顺序由种子打乱",
)
_PACKED = Text(
    "short rows share a sequence and never read each other; a step has the rows that it has without, so that only its time differs",
    "短行共用一个序列，彼此互不可读；一步所含的行与不打包时相同，差别只在用时",
)
_FIRST_TOKENS = Text(
    "a text is learned up to cutoff_len and its rest is not: split longer ones before the import; train --dry-run counts what is cut",
    "文本只学到 cutoff_len 为止，其余不学：较长的请在导入前拆开；train --dry-run 会统计截去的部分",
)
_SETS = Text("one set, or several with commas between them", "一个数据集，或以逗号分隔的多个")

KEYS: Mapping[str, KeyRule] = {
    **{key: KeyRule("used") for key in _USED},
    **{key: KeyRule("used", _SETS) for key in ("dataset", "eval_dataset")},
    **{key: KeyRule("used", _BATCH) for key in ("per_device_train_batch_size", "gradient_accumulation_steps")},
    "mask_history": KeyRule("used", _LAST),
    "eval_steps": KeyRule("used", _LOOK),
    "dataset_dir": KeyRule("used", _FOLDER),
    "template": KeyRule("used", _TEMPLATE),
    "enable_thinking": KeyRule("used", _THOUGHTS),
    **{key: KeyRule("used", _MIXED) for key in ("mix_strategy", "interleave_probs")},
    **{key: KeyRule("used", _PACKED) for key in ("packing", "neat_packing", "padding_free")},
    **{key: KeyRule("used", _FOUND) for key in ("optim", "learning_rate")},
    **{key: KeyRule("noted", why) for why, keys in _NOTED.items() for key in keys.split()},
    **{key: without(owner) for owner, keys in _OWNED.items() for key in keys.split()},
    **{key: KeyRule("refused", why) for why, keys in _REFUSED.items() for key in keys.split()},
}


def idle(key: str, value: object) -> bool:
    """Return whether a key that is used asks for nothing with this value, as in transformers."""
    return not isinstance(value, bool) and value in _IDLE.get(key, ())


def shares_of(strategy: object) -> KeyRule:
    """Return how the shares of sets are treated beside a way to mix them."""
    return KeyRule("noted", _ONCE) if strategy == "interleave_once" else KEYS["interleave_probs"]


def judged(key: str, value: object) -> KeyRule:
    """Return how a key is treated with this value: a refused one that asks for nothing is only noted, and `stage: pt` says what it leaves out. A key of KEYS."""
    if key == "stage" and value == "pt":
        return KeyRule("used", _FIRST_TOKENS)
    rule = KEYS[key]
    if rule.treatment == "refused" and value in _NEUTRAL.get(key, _EMPTY):
        return KeyRule("noted", NOTHING_ASKED)
    return rule
