"""How the keys of an Axolotl config are treated whose value is carried over, or matters to nothing but whether it asks for something.

Source of the list and of Axolotl's defaults: Axolotl 0.18.0, `src/axolotl/utils/schemas/*.py` (AxolotlInputConfig with its aliases, and the blocks
of its datasets), and the arguments that `src/axolotl/integrations/*/args.py` add.
"""

from __future__ import annotations

from collections.abc import Mapping

from ringfence.core.text import Text
from ringfence.recipe.keys import KEYS, KeyRule

_SAME = Text("", "")
_MODEL = Text(
    "nothing is fetched: ringfence model import FOLDER --name NAME --alias with this name, once",
    "不会获取任何模型：请以 ringfence model import FOLDER --name NAME --alias 用此名导入一次",
)
_BATCH = Text(
    "a step reads micro_batch_size × gradient_accumulation_steps rows, however many GPUs share it; Axolotl reads as many for each GPU",
    "一步读取 micro_batch_size × gradient_accumulation_steps 行，与 GPU 数量无关；Axolotl 则是每个 GPU 各读这么多",
)
_CUT = Text(
    "longer rows are cut; Axolotl leaves them out unless excess_length_strategy is truncate",
    "更长的行会被截断；除非 excess_length_strategy 为 truncate，否则 Axolotl 会丢弃它们",
)
RENAMED: Mapping[str, tuple[str, Text]] = {  # Axolotl's key: the recipe's, and what is to be said
    **{
        key: (key, _SAME)
        for key in (
            "lora_alpha lora_dropout loraplus_lr_ratio learning_rate weight_decay max_grad_norm adam_beta1 adam_beta2 adam_epsilon "
            "warmup_steps warmup_ratio lr_scheduler_kwargs seed neftune_noise_alpha simpo_gamma dpo_label_smoothing logging_steps "
            "load_best_model_at_end metric_for_best_model greater_is_better"
        ).split()
    },
    "base_model": ("model_name_or_path", _MODEL),
    "default_system_message": ("default_system", _SAME),
    "lora_r": ("lora_rank", _SAME),
    "peft_use_dora": ("use_dora", _SAME),
    "peft_use_rslora": ("use_rslora", _SAME),
    "peft_layers_to_transform": ("layers_to_transform", _SAME),
    "sequence_len": ("cutoff_len", _CUT),
    "micro_batch_size": ("per_device_train_batch_size", _BATCH),
    "gradient_accumulation_steps": ("gradient_accumulation_steps", _BATCH),
    "num_epochs": ("num_train_epochs", _SAME),
    "noisy_embedding_alpha": ("neftune_noise_alpha", _SAME),
    "val_set_size": ("val_size", _SAME),
    "train_on_inputs": ("train_on_prompt", _SAME),
    **dict.fromkeys(("rl_beta", "dpo_beta", "orpo_alpha"), ("pref_beta", _SAME)),
    "cpo_alpha": ("pref_ftx", _SAME),
    "kto_desirable_weight": ("kto_chosen_weight", _SAME),
    "kto_undesirable_weight": ("kto_rejected_weight", _SAME),
}
_LIKE: Mapping[str, str] = {  # a key of LLaMA-Factory whose treatment and reason hold: Axolotl's keys
    "trust_remote_code": "trust_remote_code",
    "output_dir": "output_dir",
    "overwrite_cache": "dataset_prepared_path num_dataset_shards_to_save dataset_keep_in_memory skip_prepare_dataset preprocess_iterable",
    "preprocessing_num_workers": (
        "dataset_processes dataset_num_proc streaming streaming_multipack_buffer_size pretrain_multipack_buffer_size tokenizer_use_fast"
    ),
    "dataloader_num_workers": (
        "dataloader_num_workers dataloader_pin_memory dataloader_prefetch_factor remove_unused_columns accelerator_config"
    ),
    "per_device_eval_batch_size": "eval_batch_size",
    "batch_eval_metrics": (
        "eval_sample_packing eval_sequence_len do_causal_lm_eval eval_causal_lm_metrics do_bench_eval bench_dataset bench_split eval_table_size"
    ),
    "fsdp": "deepspeed fsdp fsdp_config fsdp_version dp_shard_size",
    "ddp_timeout": (
        "deepcompile fsdp_final_state_dict_type ddp ddp_timeout ddp_bucket_cap_mb ddp_broadcast_buffers "
        "ddp_find_unused_parameters local_rank world_size device device_map max_memory gpu_memory_limit low_cpu_mem_usage "
        "dp_replicate_size sequence_parallel_degree context_parallel_size heads_k_stride ring_attn_func tensor_parallel_size use_ray ray_run_name "
        "ray_num_workers resources_per_worker lora_on_cpu experimental_skip_move_to_device"
    ),
    "flash_attn": (
        "attn_implementation flash_attention xformers_attention sdp_attention flex_attention flex_attn_compile_kwargs sage_attention eager_attention "
        "flash_optimum flash_attn_fuse_mlp flash_attn_rms_norm flash_attn_d512 gemma4_hybrid_attn_impl large_head_attention sdpa_varlen "
        "fused_attn_kernel"
    ),
    "use_unsloth": (
        "gradient_checkpointing_kwargs selective_checkpointing activation_offloading layer_offloading gc_steps gc_collect_steps "
        "torch_empty_cache_steps auto_find_batch_size torch_compile torch_compile_backend torch_compile_mode torch_compile_options use_kernels "
        "lora_mlp_kernel lora_qkv_kernel lora_o_kernel lora_embedding_kernel tiled_mlp tiled_mlp_num_shards tiled_mlp_use_original_mlp "
        "experts_implementation llama4_linearized_experts precompute_ref_log_probs dynamic_checkpoint"
    ),
    "enable_liger_kernel": (
        "flash_attn_cross_entropy chunked_cross_entropy chunked_cross_entropy_num_chunks dpo_use_liger_kernel dpo_use_logits_to_keep "
        "cut_cross_entropy liger_rope liger_rms_norm liger_rms_norm_gated liger_layer_norm liger_swiglu liger_glu_activation liger_cross_entropy "
        "liger_fused_linear_cross_entropy liger_use_token_scaling"
    ),
    "group_by_length": "group_by_length",
    "save_total_limit": "save_total_limit save_first_step",
    "save_only_model": "save_only_model",
    "logging_dir": "use_tensorboard",
    "include_num_input_tokens_seen": "include_tokens_per_second include_tkps",
    "enable_torch_profiler": "profiler_steps profiler_steps_start",
    "tf32": "tf32 embeddings_skip_upcast fp32_norms fp32_norm_classes peft_autocast_adapter_dtype",
    "ignore_pad_token_for_loss": "pad_to_sequence_len pad_to_multiple_of",
    "media_dir": "image_size image_resize_algorithm role_boundaries freeze_mm_modules processor_type processor_kwargs",
    "do_sample": (
        "gradio_title gradio_server_name gradio_server_port gradio_max_new_tokens gradio_temperature generate_samples num_generation_samples "
        "generation_max_new_tokens generation_temperature generation_top_p generation_top_k generation_prompt_ratio generation_do_sample "
        "eval_max_new_tokens dpo_generate_during_eval"
    ),
    "log_level": "debug",
    "push_to_hub": (
        "hub_model_id hub_strategy hub_revision push_dataset_to_hub use_wandb wandb_name wandb_run_id wandb_mode wandb_project wandb_entity wandb_watch "
        "wandb_log_model use_mlflow mlflow_tracking_uri mlflow_experiment_name mlflow_run_name hf_mlflow_log_artifacts use_comet comet_api_key "
        "comet_workspace comet_project_name comet_experiment_key comet_mode comet_online comet_experiment_config use_trackio trackio_project_name "
        "trackio_run_name trackio_space_id use_otel_metrics otel_metrics_host otel_metrics_port gradio_share use_swanlab swanlab_project "
        "swanlab_experiment_name swanlab_description swanlab_mode swanlab_workspace swanlab_api_key swanlab_log_model swanlab_web_host "
        "swanlab_api_host swanlab_lark_webhook_url swanlab_lark_secret swanlab_log_completions swanlab_completion_log_interval "
        "swanlab_completion_max_buffer"
    ),
    "init_lora_weights": "peft_init_lora_weights peft",
    "resume_from_checkpoint": "resume_from_checkpoint auto_resume_from_checkpoints",
    "model_revision": "revision_of_model model_revision",
    "export_legacy_format": "save_safetensors",
    "dataloader_drop_last": "dataloader_drop_last",
    "disable_shuffling": "shuffle_merged_datasets curriculum_sampling",
    "resize_vocab": "tokens added_tokens_overrides resize_token_embeddings_to_32x shrink_embeddings fix_untrained_tokens",
    "adapter_name_or_path": "lora_model_dir",
    "additional_target": "lora_modules_to_save peft_ensure_weight_tying",
    "mixture_of_depths": "peft_layer_replication scaling_softmax reinit_weights",
    "rope_scaling": "rope_scaling overrides_of_model_config model_config",
    "use_eaft_loss": "dpo_use_weighting dpo_loss_weights dpo_norm_loss rpo_alpha use_eaft",
    "optim_args": "optim_args optim_target_modules",
    "fp8": "fp8",
}
_OWNED: Mapping[str, str] = {  # keys that mean something beside another one alone
    "load_in_4bit": "qlora_sharded_model_loading model_quantization_config_kwargs",
    "sample_packing": (
        "sample_packing_group_size sample_packing_bin_size sample_packing_sequentially sample_packing_mp_start_method sample_packing_eff_est "
        "pretrain_multipack_attn"
    ),
    "relora": "relora_prune_ratio relora_prune_method relora_cpu_offload",
    "jagged_restart_steps": "jagged_restart_warmup_steps jagged_restart_anneal_steps",
    "lisa_n_layers": "lisa_step_interval lisa_layers_attribute",
    "loraplus_lr_ratio": "loraplus_lr_embedding",
    "tokens": "mean_resizing_embeddings",
    "optimizer: came_pytorch": "adam_epsilon2 adam_beta3",
    "optimizer: adamw_anyprecision": "torchdistx_path",
    "optimizer: dion": "dion_lr dion_momentum dion_rank_fraction dion_rank_multiple_of",
    "optimizer: q_galore_adamw8bit": (
        "qgalore_rank qgalore_update_proj_gap qgalore_scale qgalore_proj_type qgalore_proj_quant qgalore_proj_bits qgalore_proj_group_size "
        "qgalore_cos_threshold qgalore_gamma_proj qgalore_queue_size"
    ),
    "use_eaft": "eaft_alpha eaft_k",
    "use_pose": "pose_split_on_token_ids pose_max_context_len pose_num_chunks",
    "scaling_softmax": "scaling_softmax_factor scaling_softmax_bias",
    "fp8": "fp8_enable_fsdp_float8_all_gather",
    "rl: grpo": "vllm",
    "plugins": (
        "dense_mixer diffusion expert_parallel_size expert_parallel_backend expert_parallel_num_nvl_bytes expert_parallel_num_rdma_bytes "
        "expert_parallel_token_capacity expert_parallel_fallback_on_unsupported grokfast_alpha grokfast_lamb hatchery kd_trainer kd_ce_alpha kd_alpha "
        "kd_temperature kd_beta kd_normalize_topk kd_online_server_base_url kd_online_topk kd_online_server kd_online_timeout kd_temperature_min "
        "expert_backend nonexpert_quantization moe_grouped_backend moe_dequant_chunk_size moe_bnb_fast use_scattermoe use_sonicmoe use_dsv4_kernels "
        "use_glm_dsa_kernels dsv4_fp8_nonexpert_mode dsv4_fp8_lora_kernel dsv4_shared_mlp_lora_kernel dsv4_bf16_all dsv4_fp4_grouped_mode "
        "gemma4_fp8_nonexpert gemma4_nf4_nonexpert nvfp4_merge_aware nvfp4_merge_aware_start_step llmcompressor lm_eval_tasks lm_eval_batch_size "
        "lm_eval_post_train lm_eval_model mora nemo_gym_enabled nemo_gym_dir nemo_gym_auto_clone nemo_gym_config_paths nemo_gym_head_port "
        "nemo_gym_server_timeout nemo_gym_verify_timeout nemo_gym_run_timeout nemo_gym_datasets nemo_gym_auto_start nemo_gym_model_name "
        "nemo_gym_multi_turn nemo_gym_max_turns spectrum_top_fraction spectrum_model_name"
    ),
}
_OWN_TOKENISER = Text("the model's own tokeniser and configuration are used", "使用模型自己的分词器与配置")
_OWN_TEMPLATE = Text(
    "rows are written by the model's own chat template; another one goes into the model's folder as chat_template.jinja, before it is imported",
    "数据行按模型自己的对话模板书写；若要换用，请在导入模型前以 chat_template.jinja 放入其文件夹",
)
_AT_IMPORT = Text(
    "which rows and columns are read is said when the set is imported: ringfence import FILE --layout --map --rows",
    "读取哪些行与列在导入时说明：ringfence import FILE --layout --map --rows",
)
_NOTED: Mapping[Text, str] = {  # why: keys
    _OWN_TEMPLATE: "chat_template chat_template_jinja eot_tokens",
    _OWN_TOKENISER: (
        "special_tokens tokenizer_config tokenizer_type tokenizer_legacy tokenizer_use_mistral_common tokenizer_save_jinja_files base_model_config "
        "cls_model_config type_of_model model_type is_falcon_derived_model is_llama_derived_model is_mistral_derived_model is_qwen_derived_model"
    ),
    _CUT: "excess_length_strategy",
    Text("nothing is fetched from a hub", "不从任何仓库获取"): "hf_use_auth_token",
    Text("the seed decides the order of all rows", "所有行的顺序由种子决定"): "shuffle_before_merging_datasets",
    Text("it is told by the layer itself", "由层本身决定"): "lora_fan_in_fan_out",
    Text(
        "training writes an adapter; ringfence release RUN --format merged exports the whole model",
        "训练产出适配器；用 ringfence release RUN --format merged 导出完整模型",
    ): "merge_lora merge_method",
    Text("no run is ended by its loss; ringfence run show prints it", "不会因损失而终止运行；ringfence run show 会显示损失"): (
        "loss_watchdog_threshold loss_watchdog_patience"
    ),
    Text("Axolotl sets it by itself", "由 Axolotl 自行设定"): (
        "strict is_preprocess total_num_tokens total_supervised_tokens axolotl_config_path capabilities env_capabilities"
    ),
}
_TRAINER = Text("it belongs to a trainer that ringfence does not have", "它属于 ringfence 没有的训练器")
_AS_THEY_STAND = Text(
    "rows are learned as they stand in the set: change the file, then ringfence import FILE",
    "数据行按其在数据集中的原样学习：请修改文件，然后 ringfence import FILE",
)
_ALL_ANSWERS = Text(
    "every answer of a conversation is learned, or with mask_history: true in the recipe the last one; no row says otherwise of itself",
    "学习对话中的每个回答，或在配方中写 mask_history: true 只学最后一个；不由各行自行指定",
)
_REFUSED: Mapping[Text, str] = {  # why: keys, but where they ask for nothing
    Text(
        "a base is quantised by bitsandbytes alone; write adapter: qlora and load_in_4bit: true",
        "基础模型只由 bitsandbytes 量化；请写 adapter: qlora 与 load_in_4bit: true",
    ): "gptq quantize_moe_experts model_quantization_config use_onebitllms quantization",
    Text(
        "write quantization_type and double_quantization into the recipe",
        "请在配方中写 quantization_type 与 double_quantization",
    ): "bnb_config_kwargs",
    Text("it would run code of its own", "它会运行自带的代码"): "trainer_cls",
    Text(
        "its steps count packed rows; here a step has the rows that micro_batch_size says, packed or not: write false, as many rows as its steps held, "
        "and packing: true in the recipe",
        "其一步按打包后的行计数；此处无论是否打包，一步的行数都由 micro_batch_size 决定：请写 false，把行数写成其一步所含的行数，并在配方中写 packing: true",
    ): "sample_packing batch_flattening dpo_padding_free max_packed_sequence_len pretraining_sample_concatenation multipack_real_batches",
    Text("write bf16: true; float16 is not offered", "请写 bf16: true；不提供 float16"): "fp16 float16",
    Text(
        "every adapted layer has one rank and one scale, by which the host knows the shapes of what comes back: write lora_r and lora_alpha",
        "各适配层的秩与缩放一致，主机据此得知产出的形状：请写 lora_r 与 lora_alpha",
    ): "lora_rank_pattern lora_alpha_pattern",
    Text(
        "an adapter belongs to linear layers, which lora_target_modules and peft_layers_to_transform name",
        "适配器属于线性层，由 lora_target_modules 与 peft_layers_to_transform 指定",
    ): "lora_target_parameters peft_layers_pattern",
    Text(
        "it would change in the middle of a run which weights are learned, or those below an adapter: what is learned is one thing from the first step to the last",
        "它会在运行途中改变所学的权重，或适配器之下的权重：从第一步到最后一步，所学的始终是同一部分",
    ): "relora lisa_n_layers",
    Text(
        "write finetuning_type: freeze into the recipe, with freeze_trainable_layers, freeze_trainable_modules and freeze_extra_modules",
        "请在配方中写 finetuning_type: freeze，并写 freeze_trainable_layers、freeze_trainable_modules 与 freeze_extra_modules",
    ): "unfrozen_parameters",
    Text(
        "all weights learn at one rate, but for loraplus_lr_ratio",
        "除 loraplus_lr_ratio 外，所有权重以同一学习率学习",
    ): "embedding_lr embedding_lr_scale lr_groups",
    Text(
        "the schedules are those of transformers: choose lr_scheduler, and its shape by lr_scheduler_kwargs",
        "调度器均为 transformers 所有：请选择 lr_scheduler，并以 lr_scheduler_kwargs 定其形状",
    ): "jagged_restart_steps lr_quadratic_warmup cosine_constant_lr_ratio lr_div_factor",
    Text(
        "a reward model scores a whole answer, not its steps: write reward_model: true",
        "奖励模型为整个回答打分，而非其各步骤：请写 reward_model: true",
    ): "process_reward_model",
    Text(
        "weights are rounded after training: ringfence release RUN --format gguf-q8_0, compared with what was trained",
        "权重在训练之后才取整：ringfence release RUN --format gguf-q8_0，并与训练所得比对",
    ): "qat",
    Text(
        "of what a template may be told, enable_thinking alone is known: write it into the recipe",
        "模板的参数中只识别 enable_thinking：请写入配方",
    ): "chat_template_kwargs",
    Text(
        "rows are cut at sequence_len, and left out only where that leaves nothing of an answer: import those that are wanted",
        "数据行在 sequence_len 处截断，只有截断后不剩回答时才舍弃：请导入所需的行",
    ): "min_sample_len max_prompt_len",
    Text(
        "a set is what was imported, copies included: take them out of the file, then ringfence import FILE",
        "数据集即导入的内容，包括重复行：请先从文件中去除，然后 ringfence import FILE",
    ): "dataset_exact_deduplication",
    Text(
        "rows are read in the positions and with the attention by which the model answers: cut long ones by sequence_len",
        "数据行按模型回答时所用的位置与注意力读取：过长的行请以 sequence_len 截断",
    ): "use_pose s2_attention",
    Text(
        "the host loads a model in one way, whoever trained it: precision, device and attention are chosen by bf16 and the machine",
        "主机以同一种方式加载模型：精度、设备与注意力由 bf16 与机器决定",
    ): "model_kwargs overrides_of_model_kwargs",
    Text(
        "rows of the embedding are no part of an adapter here: write finetuning_type: freeze and freeze_extra_modules: embed_tokens into the recipe, which trains all of them",
        "此处词嵌入的行不属于适配器：请在配方中写 finetuning_type: freeze 与 freeze_extra_modules: embed_tokens，训练其全部",
    ): "peft_trainable_token_indices",
    _TRAINER: "ebft",
    Text("write gradient_accumulation_steps", "请写 gradient_accumulation_steps"): "batch_size",
    Text(
        "write rl_beta; its other keys belong to grpo, whose recipe is written by hand (docs/objectives.md)",
        "请写 rl_beta；其余键属于 grpo，其配方须手写（docs/objectives.md）",
    ): "trl",
    Text("import the rows that are wanted: ringfence import FILE --rows 1:N", "请只导入所需的行：ringfence import FILE --rows 1:N"): (
        "dataset_shard_num dataset_shard_idx"
    ),
}
EMPTY: tuple[object, ...] = (None, False, 0, "", [], {})  # values of refused keys that ask for nothing
NEUTRAL: Mapping[str, tuple[object, ...]] = {  # and those of keys that have others
    "wandb_mode": (None, "", "disabled"),
    "comet_mode": (None, "", "disabled"),
    "swanlab_mode": (None, "", "disabled"),
    "peft_init_lora_weights": (None, "", True),  # False draws both factors, so that an adapter would not begin as nothing
    "save_safetensors": (None, True),
    "shuffle_merged_datasets": (None, True),
    "roles_to_train": (None, [], ["assistant"], ["gpt"], ["assistant", "gpt"], ["gpt", "assistant"]),
    "train_on_eos": (None, "", "turn"),
    "train_on_eot": (None, "", "turn"),
}

_TURNS = Text("the answers of the assistant are learned, each to its end", "学习助手的各个回答，直至结尾")

FIXED: Mapping[str, KeyRule] = {
    **{key: KEYS[like] for like, keys in _LIKE.items() for key in keys.split()},
    **{
        key: KeyRule("noted", Text(f"it means something beside {owner} alone", f"它只与 {owner} 一起才有意义"))
        for owner, keys in _OWNED.items()
        for key in keys.split()
    },
    **{key: KeyRule("noted", why) for why, keys in _NOTED.items() for key in keys.split()},
    **{key: KeyRule("refused", why) for why, keys in _REFUSED.items() for key in keys.split()},
}
OF_SETS: Mapping[str, KeyRule] = {  # keys of an entry of `datasets`, but path and data_files
    **{
        key: KeyRule("noted", _AT_IMPORT)
        for key in (
            "type split name ds_type field field_human field_model field_messages field_tools field_thinking field_chosen field_rejected "
            "template_thinking_key message_field_role message_field_content message_property_mappings conversation input_format roles text_column "
            "revision skip shards shards_idx preprocess_shards"
        ).split()
    },
    **{
        key: KeyRule("noted", _TRAINER)
        for key in (
            "logprobs_field temperature step_separator max_completion_length train_on_last_step_only length sequence_length min_input_id "
            "max_input_id seed"
        ).split()
    },
    "trust_remote_code": KEYS["trust_remote_code"],
    **{key: KeyRule("noted", _OWN_TEMPLATE) for key in ("chat_template", "chat_template_jinja")},
    **{key: KeyRule("refused", _TURNS) for key in ("roles_to_train", "train_on_eos", "train_on_eot")},
    **{key: KeyRule("refused", _ALL_ANSWERS) for key in ("message_field_training", "message_field_training_detail")},
    **{key: KeyRule("refused", _AS_THEY_STAND) for key in ("input_transform", "drop_system_message", "split_thinking")},
}
