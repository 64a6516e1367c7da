/* eslint-disable */
/* Made by json-schema-to-typescript; do not edit.
   eval_output_schema_mdl.json, schema sha256 7e24eba287411cad5698fa3df4ff315f0d65113f99266817c8997b5e660f527f */
/**
 * Name of the eval.
 */
export type EvalTypeID = string;
/**
 * Largest codes that a token keeps; null (or 'none') keeps all. One sweep over bins per value.
 *
 * @minItems 1
 */
export type KValues = [number | null, ...(number | null)[]];
/**
 * Numbers of equal bins between the smallest and the largest active code of a latent.
 *
 * @minItems 1
 */
export type NumbersOfBins = [number, ...number[]];
/**
 * Shuffles the documents of the corpus before they are packed.
 */
export type RandomSeed = number;
/**
 * Corpus of the packed rows.
 */
export type DatasetName = string;
/**
 * Tokens per row.
 */
export type LLMContextLength = number;
/**
 * Rows that are encoded at once; changes no number.
 */
export type SAEBatchSize = number;
/**
 * Language model; filled in by the run.
 */
export type ModelName = string;
/**
 * dtype of the language model, such as bfloat16; empty chooses by model.
 */
export type LLMDataType = string;
/**
 * A number of bins reconstructs if the root mean squared error of a coordinate, divided by the number of coordinates, is below this (the published criterion).
 */
export type MSEThreshold = number;
/**
 * Packed rows that are read; ranges, histograms and reconstructions are of the same tokens.
 */
export type Rows = number;
/**
 * Largest number of rows the language model reads at once; null leaves it to the pass.
 */
export type LLMBatchSize = number;
/**
 * If set, a number of bins reconstructs only if it also keeps this share of the explained variance that the codes have without bins.
 */
export type ExplainedVarianceKept = number | null;
/**
 * UUID of the run that made this result.
 */
export type ID = string;
/**
 * When the result was made, in epoch milliseconds.
 */
export type DateTimeEpochMs = number;
/**
 * Bits per token that the binned codes take.
 */
export type DescriptionLength = number | null;
/**
 * Bins per latent.
 */
export type NumberOfBins = number | null;
/**
 * Codes that a token keeps at most; null where all are kept.
 */
export type K = number | null;
/**
 * Root mean squared error of a coordinate over the number of coordinates, binned codes decoded.
 */
export type MSELoss = number | null;
/**
 * 1 - E|x - x'|^2 / E|x - E x|^2 with x' decoded from the binned codes.
 */
export type ExplainedVariance = number | null;
/**
 * The same with x' decoded from the codes as they are.
 */
export type ExplainedVarianceWithoutBins = number | null;
/**
 * Part of the description length that says which latents are active.
 */
export type BitsForActivity = number | null;
/**
 * Part of the description length that says in which bin an active code lies.
 */
export type BitsForBins = number | null;
/**
 * Bins per latent.
 */
export type NumberOfBins1 = number;
/**
 * Codes that a token keeps at most; null keeps all.
 */
export type K1 = number | null;
/**
 * Bits per token.
 */
export type DescriptionLength1 = number;
/**
 * Whether `mse_loss` is below `mse_epsilon_threshold`.
 */
export type WithinThreshold = boolean;
/**
 * Whether the setting may be chosen: within the threshold and, if asked for, enough explained variance kept.
 */
export type Reconstructs = boolean;
/**
 * Root mean squared error of a coordinate over the number of coordinates.
 */
export type MSELoss1 = number;
/**
 * The same for the codes as they are.
 */
export type MSELossWithoutBins = number;
/**
 * Of the reconstruction from binned codes.
 */
export type ExplainedVariance1 = number | null;
/**
 * Of the reconstruction from the codes as they are.
 */
export type ExplainedVarianceWithoutBins1 = number | null;
/**
 * Bits per token to say which are active.
 */
export type BitsForActivity1 = number;
/**
 * Bits per token to say in which bins they lie.
 */
export type BitsForBins1 = number;
/**
 * One row per number of bins and k.
 */
export type ResultsPerSetting = MDLResultDetail[];
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
 * How many bits per token the codes of an SAE take when each latent's values are put into bins.
 *
 * Codes in few bins are short but reconstruct badly; the headline is the shortest code that still reconstructs.
 */
export interface MDL {
  eval_type_id?: EvalTypeID;
  eval_config: EvalConfigType;
  eval_id: ID;
  datetime_epoch_millis: DateTimeEpochMs;
  eval_result_metrics: ResultMetricsCategorized;
  eval_result_details?: ResultsPerSetting;
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
  k_values?: KValues;
  num_bins_values?: NumbersOfBins;
  random_seed?: RandomSeed;
  dataset_name?: DatasetName;
  context_length?: LLMContextLength;
  sae_batch_size?: SAEBatchSize;
  model_name?: ModelName;
  llm_dtype?: LLMDataType;
  mse_epsilon_threshold?: MSEThreshold;
  n_rows?: Rows;
  llm_batch_size?: LLMBatchSize;
  min_explained_variance_kept?: ExplainedVarianceKept;
}
/**
 * Headline numbers by category.
 */
export interface ResultMetricsCategorized {
  mdl: MDL1;
}
/**
 * The shortest code that reconstructs.
 */
export interface MDL1 {
  description_length?: DescriptionLength;
  num_bins?: NumberOfBins;
  k?: K;
  mse_loss?: MSELoss;
  explained_variance?: ExplainedVariance;
  explained_variance_unbinned?: ExplainedVarianceWithoutBins;
  active_bits?: BitsForActivity;
  bin_bits?: BitsForBins;
}
/**
 * One number of bins and one k.
 */
export interface MDLResultDetail {
  num_bins: NumberOfBins1;
  k: K1;
  description_length: DescriptionLength1;
  within_threshold: WithinThreshold;
  reconstructs: Reconstructs;
  mse_loss: MSELoss1;
  mse_loss_unbinned: MSELossWithoutBins;
  explained_variance: ExplainedVariance1;
  explained_variance_unbinned: ExplainedVarianceWithoutBins1;
  active_bits: BitsForActivity1;
  bin_bits: BitsForBins1;
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
