"""Every module path of Flax that it documents or that other packages import, with its names.

The names are those that Flax 0.12 has there, or that other packages take from there.
"""

DOCUMENTED: dict[str, str] = {
    "flax": (
        "__version__ config core errors ids jax_utils linen serialization struct traceback_util "
        "traverse_util typing"
    ),
    "flax.configurations": (
        "Config FlagHolder TYPE_CHECKING bool_flag config contextmanager "
        "flax_always_shard_variable flax_array_ref flax_filter_frames flax_fix_rng "
        "flax_hijax_variable flax_max_repr_depth flax_preserve_adopted_names flax_profile "
        "flax_pytree_module flax_return_frozendict flax_use_flaxlib flax_use_orbax_checkpointing "
        "int_flag nnx_graph_mode nnx_graph_updates static_bool_env static_int_env"
    ),
    "flax.core": (
        "AxisMetadata DenyList FrozenDict Scope apply axes_scan bind broadcast check_trace_level "
        "copy current_trace custom_vjp freeze frozen_dict init jit jvp lazy_init lift "
        "map_axis_meta meta partial_eval pop pretty_repr remat remat_scan scan scope spmd tracers "
        "unbox unfreeze vjp vmap while_loop"
    ),
    "flax.core.axes_scan": "broadcast scan",
    "flax.core.frozen_dict": (
        "FrozenDict FrozenKeysView FrozenValuesView copy freeze pop pretty_repr serialization "
        "unfreeze"
    ),
    "flax.core.lift": (
        "CountsHolder DenyList In LazyRng Out Scope TransformContext axes_scan checkpoint cond "
        "custom_vjp fold_rngs freeze group_collections id_fn in_filter intersect_filters "
        "is_filter_empty jit jvp map_variables meta pack remat remat_scan scan set_from_dict "
        "subtract_filters swap_collection switch traceback_util traverse_util tree_map_rngs "
        "unfreeze union_filters value_and_grad vjp vmap while_loop"
    ),
    "flax.core.meta": (
        "AxisMetadata PARTITION_NAME Partitioned TAxisMetadata add_axis errors get_global_mesh "
        "get_partition_spec get_sharding global_mesh_defined is_axis_metadata map_axis_meta "
        "remove_axis replace_boxed struct unbox with_partitioning"
    ),
    "flax.core.nn": (
        "Embedding activation attention avg_pool batch_norm conv conv_transpose dense "
        "dense_general dot_product_attention dropout embedding group_norm initializers layer_norm "
        "linear max_pool multi_head_dot_product_attention normalization stochastic"
    ),
    "flax.core.nn.attention": "multi_head_dot_product_attention",
    "flax.core.nn.linear": "Embedding",
    "flax.core.nn.normalization": "batch_norm",
    "flax.core.nn.stochastic": "dropout",
    "flax.core.partial_eval": "errors lazy_init",
    "flax.core.scope": (
        "CollectionFilter DenyList FrozenDict FrozenVariableDict LazyRng PRNGSequenceFilter Scope "
        "Variable _is_valid_rng apply bind child_rng_token config errors filter_to_set freeze "
        "group_collections in_filter init intersect_filters is_filter_empty lazy_init meta "
        "no_flag partial_eval struct subtract_filters traceback_util tracers unfreeze "
        "union_filters uuid"
    ),
    "flax.core.spmd": "get_logical_axis_rules logical_axis_rules meta set_logical_axis_rules",
    "flax.core.tracers": "check_trace_level current_trace",
    "flax.core.variables": "Variable",
    "flax.cursor": (
        "AccessType Cursor CursorFindError FrozenDict Indexable ParentKey TraverseTreeError "
        "cursor is_named_tuple"
    ),
    "flax.errors": (
        "AlreadyExistsError ApplyModuleInvalidMethodError "
        "ApplyScopeInvalidVariablesStructureError ApplyScopeInvalidVariablesTypeError "
        "AssignSubModuleError CallCompactUnboundModuleError CallSetupUnboundModuleError "
        "CallShareScopeOnUnboundModuleError CallUnbindOnUnboundModuleError CursorFindError "
        "DescriptorAttributeError FlaxError ImmutableVariableError IncorrectPostInitOverrideError "
        "InvalidCheckpointError InvalidFilterError InvalidInstanceModuleError InvalidRngError "
        "InvalidScopeError JaxTransformError LazyInitError MPACheckpointingRequiredError "
        "MPARestoreDataCorruptedError MPARestoreTargetRequiredError ModifyScopeVariableError "
        "MultipleMethodsCompactError NameInUseError PartitioningUnspecifiedError "
        "ReservedModuleAttributeError ScopeCollectionNotFound ScopeParamNotFoundError "
        "ScopeParamShapeError ScopeVariableNotFoundError SetAttributeFrozenModuleError "
        "SetAttributeInModuleSetupError TraceContextError TransformTargetError "
        "TransformedMethodReturnValueError TraverseTreeError"
    ),
    "flax.ids": "FlaxId UUIDManager uuid",
    "flax.io": (
        "BackendMode Enum GFile NotFoundError copy errors exists getsize glob io_mode isdir "
        "listdir makedirs override_mode remove rename rmtree set_mode"
    ),
    "flax.jax_utils": (
        "pad_shard_unpad partial_eval_by_shape pmean prefetch_to_device replicate scan_in_dim "
        "unreplicate"
    ),
    "flax.linen": (
        "BatchApply BatchNorm Bidirectional Conv ConvLSTMCell ConvLocal ConvTranspose Dense "
        "DenseGeneral DenyList Dropout Einsum Embed Fp8DirectDotGeneralOp Fp8DotGeneral "
        "Fp8DotGeneralOp Fp8Einsum FrozenDict GRUCell GroupNorm InstanceNorm LSTMCell LayerNorm "
        "LogicallyPartitioned MGUCell Module MultiHeadAttention MultiHeadDotProductAttention "
        "NANOOFp8DotGeneralOp OptimizedLSTMCell PARTITION_NAME PReLU Partitioned RMSNorm RNN "
        "RNNCellBase SelfAttention Sequential SimpleCell SpectralNorm Variable WeightNorm "
        "activation add_metadata_axis apply attention avg_pool batch_apply broadcast celu "
        "checkpoint combinators combine_masks compact compact_name_scope cond custom_vjp "
        "disable_named_call dot_product_attention dot_product_attention_weights dtypes elu "
        "enable_named_call fold_rngs fp8_ops gelu get_logical_axis_rules get_partition_spec "
        "get_sharding glu grad hard_sigmoid hard_silu hard_swish hard_tanh init init_with_output "
        "initializers intercept_methods jit jvp kw_only_dataclasses leaky_relu linear log_sigmoid "
        "log_softmax logical_axis_rules logical_to_mesh logical_to_mesh_axes "
        "logical_to_mesh_sharding logsumexp make_attention_mask make_causal_mask map_variables "
        "max_pool merge_param meta module named_call normalization normalize nowrap one_hot ones "
        "ones_init override_named_call pool pooling recurrent relu relu6 remat remat_scan scan "
        "selu set_logical_axis_rules share_scope sigmoid silu soft_sign softmax softplus spmd "
        "standardize stochastic summary swish switch tabulate tanh transforms unbox "
        "value_and_grad vjp vmap while_loop with_logical_constraint with_logical_partitioning "
        "with_partitioning zeros zeros_init"
    ),
    "flax.linen.activation": (
        "Dense Module PReLU celu compact elu gelu glu hard_sigmoid hard_silu hard_swish hard_tanh "
        "leaky_relu log_sigmoid log_softmax logsumexp normalize one_hot relu relu6 selu sigmoid "
        "silu soft_sign softmax softplus standardize swish tanh"
    ),
    "flax.linen.attention": (
        "DenseGeneral LayerNorm Module MultiHeadAttention MultiHeadDotProductAttention "
        "SelfAttention combine_masks compact dot_product_attention dot_product_attention_weights "
        "initializers make_attention_mask make_causal_mask merge_param promote_dtype"
    ),
    "flax.linen.batch_apply": "BatchApply",
    "flax.linen.combinators": "Module Sequential compact",
    "flax.linen.dtypes": "canonicalize_dtype promote_dtype",
    "flax.linen.experimental.layers_with_named_axes": "Dense",
    "flax.linen.fp8_ops": (
        "CAN_USE_EARRAY Fp8DirectDotGeneralOp Fp8DotGeneral Fp8DotGeneralBase Fp8DotGeneralOp "
        "Fp8Einsum Fp8MetaTyRules NANOOFp8DotGeneralOp OVERWRITE_WITH_GRADIENT "
        "compute_amax_history compute_scale dequantize dot_general_transpose_lhs "
        "dot_general_transpose_rhs dot_general_with_precision dot_general_with_precision_jvp fm32 "
        "fp32_max_grad fp8_meta_dtype fp8_meta_dtype_wrapper fp8_scaled_dot_general get_fp8_max "
        "in_q in_q_bwd in_q_fwd in_qdq in_qdq_bwd in_qdq_fwd initializers module out_dq "
        "out_dq_bwd out_dq_fwd out_qdq out_qdq_bwd out_qdq_fwd qdq quantize "
        "quantize_dequantize_update quantized_dot quantized_dot_bwd quantized_dot_fwd "
        "update_fp8_meta"
    ),
    "flax.linen.initializers": (
        "Initializer constant kaiming_uniform lecun_normal lecun_uniform normal ones ones_init "
        "orthogonal variance_scaling xavier_uniform zeros zeros_init"
    ),
    "flax.linen.kw_only_dataclasses": "KW_ONLY dataclass field flax",
    "flax.linen.linear": (
        "Conv ConvLocal ConvTranspose Dense DenseGeneral Einsum Embed Module _canonicalize_tuple "
        "_conv_dimension_numbers _normalize_axes canonicalize_padding compact default_kernel_init "
        "initializers meta module"
    ),
    "flax.linen.module": (
        "DenyList FrozenDict InterceptorContext Module Scope Variable _context apply compact "
        "compact_name_scope config core disable_named_call enable_named_call errors init "
        "init_with_output intercept_methods kw_only_dataclasses merge_param meta nn nowrap "
        "override_named_call partial_eval serialization share_scope traceback_util traverse_util "
        "wrap_method_once"
    ),
    "flax.linen.normalization": (
        "BatchNorm GroupNorm InstanceNorm LayerNorm Module RMSNorm SpectralNorm WeightNorm "
        "compact dtypes map_variables merge_param module transforms"
    ),
    "flax.linen.partitioning": (
        "AxisMetadata PartitionedVariable RulesFallback ScanIn ScanOut axis_rules "
        "core_remat_static flatten_dict flax freeze get_axis_names get_axis_rules logical_to_mesh "
        "logical_to_mesh_axes nn param_with_axes remat scan_with_axes set_axis_rules struct "
        "unflatten_dict unfreeze variable_with_axes vmap_with_axes with_sharding_constraint"
    ),
    "flax.linen.pooling": "avg_pool max_pool min_pool pool",
    "flax.linen.recurrent": (
        "Bidirectional Carry Conv ConvLSTMCell Dense FrozenDict GRUCell LSTMCell MGUCell Module "
        "OptimizedLSTMCell RNN RNNCellBase SimpleCell compact initializers nowrap transforms"
    ),
    "flax.linen.spmd": (
        "LogicallyPartitioned RulesFallback get_logical_axis_rules logical_to_mesh "
        "logical_to_mesh_axes logical_to_mesh_sharding meta struct with_logical_constraint "
        "with_logical_partitioning"
    ),
    "flax.linen.stochastic": "Dropout Module compact merge_param",
    "flax.linen.summary": (
        "DenyList FrozenVariableDict LazyRng Row Table _ObjectRepresentation _get_module_table "
        "meta module_lib tabulate unfreeze"
    ),
    "flax.linen.transforms": (
        "FrozenDict Module Scope Variable add_metadata_axis checkpoint cond core custom_vjp "
        "errors fold_rngs fork_rngs grad jit jvp lift map_variables meta named_call remat "
        "remat_scan scan serialization struct switch traceback_util value_and_grad vjp vmap "
        "while_loop"
    ),
    "flax.metrics": "",
    "flax.metrics.tensorboard": "SummaryWriter io",
    "flax.nnx": (
        "All Any BatchNorm BatchStat Bidirectional Cache Carry Conv ConvTranspose Data Dict "
        "DiffState Dropout EMA Einsum Embed Everything FlatState GRUCell GraphDef GraphState "
        "GroupNorm InstanceNorm Intermediate LSTMCell LayerNorm Linear LinearGeneral List LoRA "
        "LoRALinear LoRAParam MergeContext Metric ModelAndOptimizer Module MultiHeadAttention "
        "MultiMetric NodeStates Not Nothing Object OfType OptArray OptState OptVariable "
        "OptimizedLSTMCell Optimizer PARTITION_NAME PReLU Param PathContains Perturbation "
        "PureState Pytree RMSNorm RNN RNNCellBase RngCount RngKey RngState RngStream Rngs RoPE "
        "Sequential SimpleCell SpectralNorm SplitContext State StateAxes StateSharding Static "
        "TrainState UpdateContext Variable VariableMetadata VariableState WeightNorm WithTag "
        "abstract_with_sharding as_abstract as_pure avg_pool bridge cached_partial call capture "
        "celu check_pytree checkify clone combine_masks compat cond current_update_context "
        "custom_vjp data dataclass deprecations display dot_product_attention "
        "dot_product_attention_with_rope elu eval_shape extract filter_state filterlib "
        "find_duplicates flatten fori_loop fork_rngs from_flat_state from_tree gelu "
        "get_abstract_model get_named_sharding get_partition_spec glu grad graph graphdef "
        "graphlib hard_sigmoid hard_silu hard_swish hard_tanh has_data helpers identity "
        "initializers is_data iter_children iter_graph iter_module_children iter_modules jit "
        "jit_partial jvp leaky_relu log_sigmoid log_softmax logical_axis_rules logsumexp "
        "make_attention_mask make_causal_mask make_jaxpr map map_state max_pool merge "
        "merge_context merge_state metrics min_pool module nn object one_hot optimizer pmap pool "
        "pop prefix proxy_caller pure pytreelib recursive_map register_data_type "
        "register_variable_name relu relu6 remat replace_by_pure_dict reprlib reseed "
        "restore_int_paths restore_rngs rnglib scan selu set_graph_mode set_graph_updates "
        "set_metadata shard_map sigmoid silu soft_sign softmax softplus split split_context "
        "split_rngs split_state spmd standardize state statelib static summary swish switch "
        "tabulate tanh to_flat_state to_pure_dict to_tree tracers training transform_metadata "
        "transforms traversals unflatten unpack update update_context use_eager_sharding "
        "using_eager_sharding value_and_grad var_defaults variable_name_from_type "
        "variable_type_from_name variablelib variables vars_as view view_info visualization vjp "
        "vmap while_loop with_attributes with_metadata with_partitioning with_rngs with_vars "
        "wrappers"
    ),
    "flax.nnx.bridge": (
        "AttrPriority Functional Module NNXMeta Scope ToLinen ToNNX compact current_context "
        "current_module functional initializers interop lazy_init linen_in_bridge_mdl module "
        "nnx_in_bridge_mdl to_linen variables with_partitioning wrappers"
    ),
    "flax.nnx.compat": (
        "backup_keys cached_partial checkify clone cond custom_vjp eval_shape flatten fori_loop "
        "fork_rngs get_abstract_model grad graphdef iter_children iter_graph iter_modules jit jvp "
        "pmap recursive_map remat reseed scan shard_map split split_rngs state switch "
        "value_and_grad view view_info vjp vmap while_loop"
    ),
    "flax.nnx.extract": (
        "NodeStates Pytree State extract filterlib from_tree graphlib prefix reprlib struct "
        "to_tree typing variablelib"
    ),
    "flax.nnx.filterlib": "All Any Everything Not Nothing OfType PathContains WithTag",
    "flax.nnx.graph": (
        "FlatState GraphDef GraphState MergeContext NodeDef SplitContext State Static "
        "UpdateContext Variable as_pure cached_partial call clone config current_update_context "
        "filterlib find_duplicates flatten graphdef iter_children iter_graph iter_module_children "
        "map map_state merge merge_context pop pure recursive_map reprlib set_graph_mode "
        "set_graph_updates set_metadata split split_context state statelib traversals unflatten "
        "unpack update update_context variablelib variables vars_as with_vars"
    ),
    "flax.nnx.graphlib": (
        "FlatState GraphDef GraphState MergeContext SplitContext State Static UpdateContext "
        "Variable as_pure cached_partial call clone config current_update_context filterlib "
        "find_duplicates flatten graphdef iter_children iter_graph iter_module_children map "
        "map_state merge merge_context pop pure recursive_map reprlib set_graph_mode "
        "set_graph_updates set_metadata split split_context state statelib traversals unflatten "
        "unpack update update_context variablelib variables vars_as with_vars"
    ),
    "flax.nnx.helpers": (
        "Dict GraphDef List Module Rngs Sequential State TrainState Variable graphlib reprlib "
        "struct"
    ),
    "flax.nnx.ids": "UUIDManager uuid",
    "flax.nnx.module": (
        "Module Pytree State capture filterlib first_from graphlib iter_children "
        "iter_module_children iter_modules pytreelib split_state view view_info with_attributes"
    ),
    "flax.nnx.nn": "",
    "flax.nnx.nn.activations": (
        "PReLU celu elu gelu glu hard_sigmoid hard_silu hard_swish hard_tanh identity leaky_relu "
        "log_sigmoid log_softmax logsumexp one_hot relu relu6 selu sigmoid silu soft_sign softmax "
        "softplus standardize swish tanh"
    ),
    "flax.nnx.nn.attention": (
        "LayerNorm LinearGeneral Module MultiHeadAttention combine_masks dot_product_attention "
        "dot_product_attention_weights dtypes initializers make_attention_mask make_causal_mask "
        "rnglib"
    ),
    "flax.nnx.nn.dtypes": "promote_dtype",
    "flax.nnx.nn.initializers": "ones_init zeros_init",
    "flax.nnx.nn.linear": (
        "Conv ConvTranspose Einsum Embed FrozenDict Linear LinearGeneral Module "
        "_conv_dimension_numbers canonicalize_padding default_bias_init default_kernel_init "
        "dtypes initializers rnglib variablelib"
    ),
    "flax.nnx.nn.lora": (
        "Linear LoRA LoRALinear LoRAParam Module dtypes initializers rnglib variablelib"
    ),
    "flax.nnx.nn.normalization": (
        "BatchNorm GroupNorm InstanceNorm LayerNorm Module RMSNorm SpectralNorm WeightNorm dtypes "
        "initializers rnglib"
    ),
    "flax.nnx.nn.recurrent": (
        "Bidirectional GRUCell LSTMCell Linear Module OptimizedLSTMCell RNN RNNCellBase "
        "SimpleCell dtypes filterlib flip_sequences initializers rnglib"
    ),
    "flax.nnx.nn.stochastic": "Dropout Module rnglib",
    "flax.nnx.object": "Object",
    "flax.nnx.pytreelib": (
        "Data Object Pytree PytreeState Static Variable check_pytree config data dataclass errors "
        "graphlib has_data is_data register_data_type reprlib static tracers variablelib "
        "visualization"
    ),
    "flax.nnx.reprlib": "Attr Object",
    "flax.nnx.rnglib": (
        "Pytree RngCount RngKey RngState RngStream Rngs Variable filterlib fork_rngs graphlib "
        "initializers reseed restore_rngs split_rngs struct typing with_rngs"
    ),
    "flax.nnx.spmd": (
        "PARTITION_NAME abstract_with_sharding as_abstract eval_shape get_abstract_model "
        "get_named_sharding get_partition_spec graphlib variablelib with_partitioning"
    ),
    "flax.nnx.statelib": (
        "FlatState State filter_state filterlib from_flat_state map_state merge_state "
        "replace_by_pure_dict reprlib restore_int_paths split_state to_flat_state to_pure_dict "
        "traversals variablelib"
    ),
    "flax.nnx.summary": "graphlib statelib tabulate typing variablelib",
    "flax.nnx.tracers": "current_jax_trace reprlib",
    "flax.nnx.training.ema": "EMA filterlib graphlib pytreelib statelib variablelib",
    "flax.nnx.training.metrics": "Metric MultiMetric Pytree Variable filterlib graphlib struct",
    "flax.nnx.training.optimizer": (
        "ModelAndOptimizer OptArray OptState OptVariable Optimizer Param Pytree Variable filterlib"
    ),
    "flax.nnx.transforms.autodiff": (
        "DiffState State custom_vjp extract filterlib grad graphlib jvp remat struct "
        "value_and_grad variablelib vjp"
    ),
    "flax.nnx.transforms.compilation": (
        "StateSharding errors extract filterlib graphlib jit jit_partial shard_map statelib "
        "tracers variablelib"
    ),
    "flax.nnx.transforms.general": "extract graphlib",
    "flax.nnx.transforms.iteration": (
        "Carry FrozenDict Module State StateAxes extract filterlib fori_loop graphlib pmap scan "
        "spmd statelib struct transform_metadata typing variablelib vmap while_loop"
    ),
    "flax.nnx.transforms.transforms": (
        "Module checkify cond eval_shape extract graphlib make_jaxpr switch variablelib"
    ),
    "flax.nnx.traversals": (
        "empty_node flatten_mapping flatten_to_sequence struct unflatten_mapping"
    ),
    "flax.nnx.variablelib": (
        "BatchStat Cache Intermediate Param Perturbation Variable VariableMetadata config errors "
        "register_variable_name reprlib tracers use_eager_sharding using_eager_sharding "
        "var_defaults variable_name_from_type variable_type_from_name visualization with_metadata"
    ),
    "flax.nnx.visualization": "display",
    "flax.serialization": (
        "MAX_CHUNK_SIZE _STATE_DICT_REGISTRY _dict_state_dict _restore_dict contextmanager "
        "current_path from_bytes from_state_dict is_serializable msgpack_restore "
        "msgpack_serialize register_serialization_state to_bytes to_state_dict"
    ),
    "flax.struct": "PyTreeNode TNode dataclass dataclass_transform field serialization",
    "flax.testing": "Benchmark benchmark",
    "flax.testing.benchmark": "Benchmark io",
    "flax.traceback_util": (
        "api_boundary config hide_flax_in_tracebacks register_exclusion show_flax_in_tracebacks"
    ),
    "flax.training": "",
    "flax.training.checkpoints": (
        "AsyncManager COMMIT_SUCCESS_FILE MP_ARRAY_PH MP_ARRAY_POSTFIX ORBAX_CKPT_FILENAME "
        "ORBAX_MANIFEST_OCDBT ORBAX_METADATA_FILENAME available_steps config convert_pre_linen "
        "core errors io latest_checkpoint natural_sort orbax_utils restore_checkpoint "
        "safe_normpath save_checkpoint save_checkpoint_multiprocess serialization traverse_util"
    ),
    "flax.training.common_utils": "get_metrics onehot shard shard_prng_key stack_forest",
    "flax.training.dynamic_scale": "DynamicScale DynamicScaleResult struct",
    "flax.training.early_stopping": "EarlyStopping struct",
    "flax.training.lr_schedule": (
        "create_constant_learning_rate_schedule create_cosine_learning_rate_schedule "
        "create_stepped_learning_rate_schedule"
    ),
    "flax.training.orbax_utils": (
        "is_multi_device_array maybe_construct_transformations restore_args_from_target "
        "save_args_from_target"
    ),
    "flax.training.prefetch_iterator": "PrefetchIterator",
    "flax.training.train_state": "OVERWRITE_WITH_GRADIENT TrainState core struct",
    "flax.traverse_util": (
        "ModelParamTraversal PathParts Traversal TraverseAttr TraverseCompose TraverseEach "
        "TraverseFilter TraverseId TraverseItem TraverseMerge TraverseTree empty_node "
        "flatten_dict flax path_aware_map struct t_identity unflatten_dict"
    ),
    "flax.typing": (
        "Array ArrayPytree AxisName BaseConfigContext ConvGeneralDilatedT Dtype FrozenDict "
        "FrozenVariableDict HashableMapping In InOutScanAxis Initializer Key LogicalNames "
        "LogicalRules MISSING Missing MutableCollection MutableVariableDict Out PRNGKey "
        "PaddingLike Path PathParts PrecisionLike PromoteDtypeFn PytreeDeque RNGSequences "
        "ScanAxis Shape ShapeDtype Sharding SizeBytes TupleArg VariableDict deque has_shape_dtype "
        "is_key_like partial"
    ),
    "flax.version": "__version__",
}
