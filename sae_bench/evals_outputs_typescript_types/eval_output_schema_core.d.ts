/* eslint-disable */
/* Made by json-schema-to-typescript; do not edit.
   eval_output_schema_core.json, schema sha256 674ae348d541b07a819cc6a1ab640c32fddb3b043d84afb91e51dcf183e4709e */
/**
 * Name of the eval.
 */
export type EvalTypeID = string;
/**
 * Language model; filled in by the run.
 */
export type ModelName = string;
/**
 * dtype of the language model, such as bfloat16; empty chooses by model.
 */
export type LLMDataType = string;
/**
 * Rows per batch; `mse` depends on it.
 */
export type BatchSizePrompts = number;
/**
 * Batches for the loss and KL metrics.
 */
export type ReconstructionBatches = number;
/**
 * Batches for sparsity, variance, norm and density metrics.
 */
export type SparsityVarianceBatches = number;
/**
 * Corpus of the packed rows.
 */
export type Dataset = string;
/**
 * Tokens per row.
 */
export type ContextLength = number;
/**
 * KL divergence of the next-token distribution.
 */
export type ComputeKL = boolean;
/**
 * Next-token cross-entropy.
 */
export type ComputeCELoss = boolean;
/**
 * Norms and reconstruction bias.
 */
export type ComputeL2Norms = boolean;
/**
 * L0 and L1.
 */
export type ComputeSparsityMetrics = boolean;
/**
 * Explained variance, MSE and cosine similarity.
 */
export type ComputeVarianceMetrics = boolean;
/**
 * How often each latent is active.
 */
export type ComputeFeaturewiseDensityStatistics = boolean;
/**
 * Norms and cosines of the weights.
 */
export type ComputeFeaturewiseWeightBasedMetrics = boolean;
/**
 * Leave BOS, EOS and PAD as the model has them when reconstructions take the activations' place.
 */
export type ExcludeSpecialTokensFromReconstruction = boolean;
/**
 * Show a progress bar.
 */
export type Verbose = boolean;
/**
 * Shuffles the corpus's documents; unset keeps their order.
 */
export type RandomSeed = number | null;
/**
 * The weights' cosines of all pairs of latents: time grows with the square of the width (minutes from 100,000 latents on).
 */
export type ComputeCosinesOfAllPairsOfLatents = boolean;
/**
 * UUID of the run that made this result.
 */
export type ID = string;
/**
 * When the result was made, in epoch milliseconds.
 */
export type DateTimeEpochMs = number;
/**
 * (KL with ablation - KL with SAE) / KL with ablation; 1 is perfect, 0 is no better than zeros.
 */
export type KLDivergenceScore = number | null;
/**
 * KL(original || activations replaced by zeros), nats per token.
 */
export type KLDivergenceWithAblation = number | null;
/**
 * KL(original || activations replaced by the reconstruction), nats per token.
 */
export type KLDivergenceWithSAE = number | null;
/**
 * (loss with ablation - loss with SAE) / (loss with ablation - original loss): the share of the loss recovered.
 */
export type CrossEntropyLossScore = number | null;
/**
 * Loss with the activations set to zero.
 */
export type CELossWithAblation = number | null;
/**
 * Loss with the reconstruction in place.
 */
export type CELossWithSAE = number | null;
/**
 * Loss of the untouched model.
 */
export type CELossWithoutSAE = number | null;
/**
 * 1 - E|x - x'|^2 / E|x - E x|^2 over all tokens.
 */
export type ExplainedVariance = number | null;
/**
 * Mean over tokens of 1 - |x - x'|^2 / |x - batch mean|^2: what most published results hold.
 */
export type ExplainedVarianceLegacy = number | null;
/**
 * Squared error summed over dimensions, divided by the tokens of its batch, averaged over tokens: the published definition, which depends on the batch size.
 */
export type MeanSquaredError = number | null;
/**
 * Squared error summed over dimensions, averaged over tokens.
 */
export type MSEPerToken = number | null;
/**
 * Mean cosine of activation and reconstruction.
 */
export type CosineSimilarity = number | null;
/**
 * Mean norm of the activations.
 */
export type InputL2Norm = number | null;
/**
 * Mean norm of the reconstructions.
 */
export type OutputL2Norm = number | null;
/**
 * Mean ratio of the norms, output over input.
 */
export type L2Ratio = number | null;
/**
 * E|x'|^2 / E[x.x'] per batch, averaged over batches (Rajamanoharan et al. 2024, eq. 10); below 1 means shrinkage.
 */
export type RelativeReconstructionBias = number | null;
/**
 * Mean number of non-zero latents per token.
 */
export type L0Sparsity = number | null;
/**
 * Mean sum of the latents' activations per token.
 */
export type L1Sparsity = number | null;
/**
 * Tokens of the loss metrics.
 */
export type TotalTokensReconstruction = number | null;
/**
 * Tokens of all other metrics.
 */
export type TotalTokensSparsityVariance = number | null;
/**
 * Share of latents active on more than 1 % of tokens.
 */
export type ActivationFrequencyOver1 = number | null;
/**
 * Share of latents active on more than 10 % of tokens.
 */
export type ActivationFrequencyOver10 = number | null;
/**
 * Their share of all activity (sum of densities).
 */
export type NormalizedActivationFrequencyOver1 = number | null;
/**
 * Their share of all activity (sum of densities).
 */
export type NormalizedActivationFrequencyOver10 = number | null;
/**
 * Mean over latents of the largest cosine to another encoder direction.
 */
export type AverageMaxEncoderCosineSimilarity = number | null;
/**
 * Mean over latents of the largest cosine to another decoder direction.
 */
export type AverageMaxDecoderCosineSimilarity = number | null;
/**
 * Share of latents active at least once; an underestimate on few tokens.
 */
export type FractionOfAliveFeatures = number | null;
/**
 * The (n x tokens)-th largest projection of the activations of a batch on the unit decoder directions, n a quarter of the latents (arXiv 2508.16560): lowest at the right L0.
 */
export type NThDecoderProjection = number | null;
/**
 * Mean |cosine| of all pairs of decoder directions: lowest at the right L0 (arXiv 2508.16560).
 */
export type MeanAbsoluteDecoderCosineSimilarity = number | null;
/**
 * Pairs of decoder directions with a cosine below -0.9.
 */
export type NearlyOppositeDecoderPairs = number | null;
/**
 * Share of latents whose decoder direction has a nearly opposite one.
 */
export type FractionWithAnOppositeDecoder = number | null;
/**
 * Index of the latent.
 */
export type FeatureIndex = number;
/**
 * Share of tokens on which the latent is positive.
 */
export type FeatureDensity = number | null;
/**
 * Active tokens per row that has any; null for a latent that never fired.
 */
export type ConsistentActivationHeuristic = number | null;
/**
 * Encoder bias (magnitude bias of a gated SAE).
 */
export type EncoderBias = number | null;
/**
 * Norm of the encoder direction.
 */
export type EncoderNorm = number | null;
/**
 * Cosine of the encoder and decoder directions.
 */
export type EncoderDecoderCosineSimilarity = number | null;
/**
 * Largest cosine to another latent's decoder direction.
 */
export type MaxDecoderCosineSimilarity = number | null;
/**
 * Largest cosine to another latent's encoder direction.
 */
export type MaxEncoderCosineSimilarity = number | null;
/**
 * One row of numbers per latent.
 */
export type FeatureWiseMetrics = CoreFeatureMetric[];
/**
 * Commit of sae-bench, or 'Unknown'.
 */
export type SAEBenchCommitHash = string;
/**
 * Id of the SAE within its release.
 */
export type SAELensID = string | null;
/**
 * Release that the SAE belongs to.
 */
export type SAELensReleaseID = string | null;
/**
 * Version of SAELens, if installed.
 */
export type SAELensVersion = string | null;
/**
 * Configuration of the SAE.
 */
export type SAEConfigDict = {
  [k: string]: unknown;
} | null;
/**
 * Versions, seeds, data, dtype, device and seconds.
 */
export type Provenance = Provenance1 | null;
/**
 * Version of the eval's definition; results of one protocol compare.
 */
export type Protocol = string;
/**
 * Version of sae-bench.
 */
export type PackageVersion = string;
/**
 * Commit of the sae-bench source tree, if it is one.
 */
export type Commit = string | null;
/**
 * Version of Python.
 */
export type PythonVersion = string;
/**
 * Version of PyTorch.
 */
export type TorchVersion = string;
/**
 * Version of transformers.
 */
export type TransformersVersion = string;
/**
 * Name of the language model as given.
 */
export type Model = string;
/**
 * Short hash of the model's configuration and a sample of its weights.
 */
export type ModelFingerprint = string;
/**
 * dtype of the language model.
 */
export type LlmDtype = string;
/**
 * Short hash of the SAE's files, or of its weights and configuration.
 */
export type SaeFingerprint = string | null;
/**
 * Hook at which the SAE sits.
 */
export type SaeHook = string | null;
/**
 * dtype of the SAE.
 */
export type SaeDtype = string;
/**
 * Device that ran the model.
 */
export type Device = string;
/**
 * Module -> device or disk, of a model that is on several; null: all is on one.
 */
export type DeviceMap = {
  [k: string]: string;
} | null;
/**
 * How the language model computes attention, as transformers calls it.
 */
export type AttnImplementation = string | null;
/**
 * How the language model's weights are quantised: 8bit, 4bit, another method; null: not.
 */
export type LlmQuantization = string | null;
/**
 * Whether texts start with BOS.
 */
export type PrependBos = boolean;
/**
 * Token ids that SAEs neither read nor change, besides BOS, EOS and PAD.
 */
export type ExcludeTokens = number[];
/**
 * Positions that SAEs read and change, as start, stop and step; null: all.
 */
export type SeqposSlice = (number | null)[] | null;
/**
 * Seeds of everything random.
 */
export type Seeds = number[];
/**
 * Whether every seed drew texts of its own.
 */
export type ResampleData = boolean;
/**
 * Whether -1 stands for null in the published fields that always hold a number.
 */
export type PublishedNulls = boolean;
/**
 * What a reader of the scores has to know.
 */
export type Warnings = string[];
/**
 * Seed of everything random.
 */
export type Seed = number;
/**
 * Headline numbers of each seed; the metrics above are means.
 */
export type ResultsPerSeed = SeedResult[];
/**
 * The metric: its mean over seeds.
 */
export type Mean = number;
/**
 * Standard deviation of the seeds' values; null with one seed.
 */
export type StdOverSeeds = number | null;
/**
 * Lower end of the interval over seeds and units.
 */
export type CiLow = number | null;
/**
 * Upper end of the interval over seeds and units.
 */
export type CiHigh = number | null;
/**
 * Confidence of the intervals.
 */
export type Confidence = number;
/**
 * Part of the standard error that more seeds shrink.
 */
export type SeSeeds = number | null;
/**
 * Part of the standard error that more units shrink.
 */
export type SeUnits = number | null;
/**
 * Lower percentile of a bootstrap over seeds and units; too narrow with fewer than ten seeds.
 */
export type BootstrapLow = number | null;
/**
 * Upper percentile of that bootstrap.
 */
export type BootstrapHigh = number | null;
/**
 * Seeds whose values differ; 1 where nothing is random.
 */
export type NSeeds = number;
/**
 * Units (test texts, letters, ...) behind the metric; 0 if they were not kept.
 */
export type NUnits = number;
/**
 * What a unit is.
 */
export type Unit = string | null;
/**
 * How the interval was computed.
 */
export type Method = string;
/**
 * Why there is no interval.
 */
export type Reason = string | null;
/**
 * What the interval takes as given; empty if nothing.
 */
export type Given = string;
/**
 * Version of the methods of these statistics.
 */
export type Version = number;
/**
 * The value; null without what it is relative to.
 */
export type Value = number | null;
/**
 * Lower end of its interval over seeds and units.
 */
export type CiLow1 = number | null;
/**
 * Upper end of its interval over seeds and units.
 */
export type CiHigh1 = number | null;
/**
 * Why it has no value, or no interval.
 */
export type Reason1 = string | null;
/**
 * What stood in the SAE's place.
 */
export type Name = string;
/**
 * Further values worth knowing.
 */
export type Others = ReferenceValue[];
/**
 * The value; null without what it is relative to.
 */
export type Value1 = number | null;
/**
 * Lower end of its interval over seeds and units.
 */
export type CiLow2 = number | null;
/**
 * Upper end of its interval over seeds and units.
 */
export type CiHigh2 = number | null;
/**
 * Why it has no value, or no interval.
 */
export type Reason2 = string | null;

/**
 * Reconstruction, sparsity, loss recovered and weight geometry of an SAE.
 */
export interface Core {
  eval_type_id?: EvalTypeID;
  eval_config: EvalConfigType;
  eval_id: ID;
  datetime_epoch_millis: DateTimeEpochMs;
  eval_result_metrics: ResultMetricsCategorized;
  eval_result_details?: FeatureWiseMetrics;
  sae_bench_commit_hash: SAEBenchCommitHash;
  sae_lens_id: SAELensID;
  sae_lens_release_id: SAELensReleaseID;
  sae_lens_version: SAELensVersion;
  sae_cfg_dict: SAEConfigDict;
  eval_result_unstructured?: unknown;
  provenance?: Provenance;
  seed_results?: ResultsPerSeed;
  statistics?: Statistics;
  validity?: Validity;
  not_computed?: NotComputed;
}
/**
 * Settings of the eval.
 */
export interface EvalConfigType {
  model_name?: ModelName;
  llm_dtype?: LLMDataType;
  batch_size_prompts?: BatchSizePrompts;
  n_eval_reconstruction_batches?: ReconstructionBatches;
  n_eval_sparsity_variance_batches?: SparsityVarianceBatches;
  dataset?: Dataset;
  context_size?: ContextLength;
  compute_kl?: ComputeKL;
  compute_ce_loss?: ComputeCELoss;
  compute_l2_norms?: ComputeL2Norms;
  compute_sparsity_metrics?: ComputeSparsityMetrics;
  compute_variance_metrics?: ComputeVarianceMetrics;
  compute_featurewise_density_statistics?: ComputeFeaturewiseDensityStatistics;
  compute_featurewise_weight_based_metrics?: ComputeFeaturewiseWeightBasedMetrics;
  exclude_special_tokens_from_reconstruction?: ExcludeSpecialTokensFromReconstruction;
  verbose?: Verbose;
  random_seed?: RandomSeed;
  compute_pairwise_cosines?: ComputeCosinesOfAllPairsOfLatents;
}
/**
 * Headline numbers by category.
 */
export interface ResultMetricsCategorized {
  model_behavior_preservation: ModelBehaviorPreservation;
  model_performance_preservation: ModelPerformancePreservation;
  reconstruction_quality: ReconstructionQuality;
  shrinkage: Shrinkage;
  sparsity: Sparsity;
  token_stats: TokenStatistics;
  misc_metrics: MiscellaneousMetrics;
}
/**
 * KL divergence of the model's predictions.
 */
export interface ModelBehaviorPreservation {
  kl_div_score?: KLDivergenceScore;
  kl_div_with_ablation?: KLDivergenceWithAblation;
  kl_div_with_sae?: KLDivergenceWithSAE;
}
/**
 * Next-token loss.
 */
export interface ModelPerformancePreservation {
  ce_loss_score?: CrossEntropyLossScore;
  ce_loss_with_ablation?: CELossWithAblation;
  ce_loss_with_sae?: CELossWithSAE;
  ce_loss_without_sae?: CELossWithoutSAE;
}
/**
 * Distance of the reconstruction from the activation.
 */
export interface ReconstructionQuality {
  explained_variance?: ExplainedVariance;
  explained_variance_legacy?: ExplainedVarianceLegacy;
  mse?: MeanSquaredError;
  mse_per_token?: MSEPerToken;
  cossim?: CosineSimilarity;
}
/**
 * Norms of input and output.
 */
export interface Shrinkage {
  l2_norm_in?: InputL2Norm;
  l2_norm_out?: OutputL2Norm;
  l2_ratio?: L2Ratio;
  relative_reconstruction_bias?: RelativeReconstructionBias;
}
/**
 * Active latents per token.
 */
export interface Sparsity {
  l0?: L0Sparsity;
  l1?: L1Sparsity;
}
/**
 * Tokens read.
 */
export interface TokenStatistics {
  total_tokens_eval_reconstruction?: TotalTokensReconstruction;
  total_tokens_eval_sparsity_variance?: TotalTokensSparsityVariance;
}
/**
 * Densities and weight geometry.
 */
export interface MiscellaneousMetrics {
  freq_over_1_percent?: ActivationFrequencyOver1;
  freq_over_10_percent?: ActivationFrequencyOver10;
  normalized_freq_over_1_percent?: NormalizedActivationFrequencyOver1;
  normalized_freq_over_10_percent?: NormalizedActivationFrequencyOver10;
  average_max_encoder_cosine_sim?: AverageMaxEncoderCosineSimilarity;
  average_max_decoder_cosine_sim?: AverageMaxDecoderCosineSimilarity;
  frac_alive?: FractionOfAliveFeatures;
  nth_decoder_projection?: NThDecoderProjection;
  mean_abs_decoder_cosine_sim?: MeanAbsoluteDecoderCosineSimilarity;
  opposite_decoder_pairs?: NearlyOppositeDecoderPairs;
  frac_with_opposite_decoder?: FractionWithAnOppositeDecoder;
}
/**
 * Numbers of one latent.
 */
export interface CoreFeatureMetric {
  index: FeatureIndex;
  feature_density?: FeatureDensity;
  consistent_activation_heuristic?: ConsistentActivationHeuristic;
  encoder_bias?: EncoderBias;
  encoder_norm?: EncoderNorm;
  encoder_decoder_cosine_sim?: EncoderDecoderCosineSimilarity;
  max_decoder_cosine_sim?: MaxDecoderCosineSimilarity;
  max_encoder_cosine_sim?: MaxEncoderCosineSimilarity;
}
/**
 * What made a result, enough to make it again.
 */
export interface Provenance1 {
  protocol: Protocol;
  package_version: PackageVersion;
  commit: Commit;
  python_version: PythonVersion;
  torch_version: TorchVersion;
  transformers_version: TransformersVersion;
  model: Model;
  model_fingerprint: ModelFingerprint;
  llm_dtype: LlmDtype;
  sae_fingerprint?: SaeFingerprint;
  sae_hook?: SaeHook;
  sae_dtype: SaeDtype;
  device: Device;
  device_map?: DeviceMap;
  attn_implementation?: AttnImplementation;
  llm_quantization?: LlmQuantization;
  prepend_bos: PrependBos;
  exclude_tokens?: ExcludeTokens;
  seqpos_slice?: SeqposSlice;
  seeds: Seeds;
  resample_data?: ResampleData;
  datasets?: Datasets;
  seconds?: Seconds;
  published_nulls?: PublishedNulls;
  warnings?: Warnings;
  [k: string]: unknown;
}
/**
 * Source and revision of each dataset.
 */
export interface Datasets {
  [k: string]: {
    [k: string]: string;
  };
}
/**
 * Wall-clock seconds per phase; phases marked 'shared' were paid once for all SAEs and evals.
 */
export interface Seconds {
  [k: string]: number;
}
/**
 * The headline numbers of one seed, as `category.metric` -> value.
 */
export interface SeedResult {
  seed: Seed;
  metrics: Metrics;
  [k: string]: unknown;
}
/**
 * Headline metrics of this seed alone.
 */
export interface Metrics {
  [k: string]: number | null;
}
/**
 * Headline metric, as `category.metric` -> spread over seeds and interval over seeds and units.
 */
export interface Statistics {
  [k: string]: MetricStatistics;
}
/**
 * The error bar of one headline metric, or why it has none.
 */
export interface MetricStatistics {
  mean: Mean;
  std_over_seeds: StdOverSeeds;
  ci_low: CiLow;
  ci_high: CiHigh;
  confidence?: Confidence;
  se_seeds?: SeSeeds;
  se_units?: SeUnits;
  bootstrap_low?: BootstrapLow;
  bootstrap_high?: BootstrapHigh;
  n_seeds: NSeeds;
  n_units: NUnits;
  unit?: Unit;
  method: Method;
  reason?: Reason;
  given?: Given;
  version?: Version;
  [k: string]: unknown;
}
/**
 * Headline metric, as `category.metric` -> floor, ceiling and control, measured in the same run.
 */
export interface Validity {
  [k: string]: MetricValidity;
}
/**
 * What stands beside one headline metric: its floor, its ceiling and its control.
 */
export interface MetricValidity {
  /**
   * What an SAE of no merit gets.
   */
  floor?: ReferenceValue | null;
  /**
   * What nothing can beat.
   */
  ceiling?: ReferenceValue | null;
  /**
   * What the same procedure gets with random latents that are as active.
   */
  control?: ReferenceValue | null;
  others?: Others;
  above_floor?: RelativeValue;
  /**
   * Paired difference to the control.
   */
  score_minus_control?: RelativeValue1 | null;
  [k: string]: unknown;
}
/**
 * What the metric is with something else in the SAE's place, measured on the same units.
 */
export interface ReferenceValue {
  value?: Value;
  ci_low?: CiLow1;
  ci_high?: CiHigh1;
  reason?: Reason1;
  name: Name;
  [k: string]: unknown;
}
/**
 * (score - floor) / (ceiling - floor).
 */
export interface RelativeValue {
  value?: Value1;
  ci_low?: CiLow2;
  ci_high?: CiHigh2;
  reason?: Reason2;
  [k: string]: unknown;
}
/**
 * A metric relative to what stands beside it, with its interval.
 */
export interface RelativeValue1 {
  value?: Value1;
  ci_low?: CiLow2;
  ci_high?: CiHigh2;
  reason?: Reason2;
  [k: string]: unknown;
}
/**
 * Field that holds null -> why.
 */
export interface NotComputed {
  [k: string]: string;
}
