/* eslint-disable */
/* Made by json-schema-to-typescript; do not edit.
   eval_output_schema_tpp.json, schema sha256 1d549d66ba99fbc8d7a8a92915a26a21d70ac271b4f5500668cbc22b5c4c5524 */
/**
 * Name of the eval.
 */
export type EvalTypeID = string;
/**
 * Seed of the texts that are sampled, and of the probes where a run names no other seeds.
 */
export type RandomSeed = number;
/**
 * Labelled text data sets; scr needs a second attribute with two values (gender, rating).
 */
export type DatasetNames = string[];
/**
 * Always false here; scr is the eval of the other value.
 */
export type PerformSpuriousCorrelationRemoval = false;
/**
 * Epochs without a better accuracy after which a probe stops; as many as probe_epochs: never.
 */
export type EarlyStoppingPatience = number;
/**
 * Training texts of one probe; half of them are of its class.
 */
export type TrainSetSize = number;
/**
 * Test texts of one probe; half of them are of its class.
 */
export type TestSetSize = number;
/**
 * Tokens of a text that the language model reads; what comes after them is cut off.
 */
export type LLMContextLength = number;
/**
 * Texts per step of a probe's training. It decides how much of the spurious correlation a biased probe learns, so scores compare only between equal values.
 */
export type ProbeTrainBatchSize = number;
/**
 * Kept for published scripts (at most 500, as there); accuracies do not depend on it.
 */
export type ProbeTestBatchSize = number;
/**
 * Epochs of a probe's training; many of them make scr depend less on the seed.
 */
export type ProbeEpochs = number;
/**
 * Learning rate of the probes.
 */
export type ProbeLR = number;
/**
 * Weight of the sum of a probe's absolute weights in its loss.
 */
export type ProbeL1Penalty = number;
/**
 * Kept for published scripts; the shared pass encodes each of its batches at once.
 */
export type SAEBatchSize = number;
/**
 * Largest number of texts the language model reads at once; null leaves it to the pass.
 */
export type LLMBatchSize = number;
/**
 * dtype of the language model, such as bfloat16; empty chooses by model.
 */
export type LLMDataType = string;
/**
 * Kept for published scripts; pooled codes stay in main memory in any case.
 */
export type LowerMemoryUsage = boolean;
/**
 * Language model; filled in by the run.
 */
export type ModelName = string;
/**
 * How many latents are set to zero; one score per value.
 *
 * @minItems 1
 */
export type NValues = [number, ...number[]];
/**
 * What chooses the epoch of a probe: 'test' is the published definition and picks the epoch with the best test accuracy; 'validation' picks on a tenth of the training texts.
 */
export type ProbeSelection = "test" | "validation";
/**
 * UUID of the run that made this result.
 */
export type ID = string;
/**
 * When the result was made, in epoch milliseconds.
 */
export type DateTimeEpochMs = number;
/**
 * Top 2 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop2SAELatents = number | null;
/**
 * Top 2 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop2SAELatents = number | null;
/**
 * Top 2 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop2SAELatents = number | null;
/**
 * Top 5 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop5SAELatents = number | null;
/**
 * Top 5 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop5SAELatents = number | null;
/**
 * Top 5 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop5SAELatents = number | null;
/**
 * Top 10 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop10SAELatents = number | null;
/**
 * Top 10 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop10SAELatents = number | null;
/**
 * Top 10 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop10SAELatents = number | null;
/**
 * Top 20 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop20SAELatents = number | null;
/**
 * Top 20 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop20SAELatents = number | null;
/**
 * Top 20 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop20SAELatents = number | null;
/**
 * Top 50 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop50SAELatents = number | null;
/**
 * Top 50 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop50SAELatents = number | null;
/**
 * Top 50 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop50SAELatents = number | null;
/**
 * Top 100 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop100SAELatents = number | null;
/**
 * Top 100 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop100SAELatents = number | null;
/**
 * Top 100 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop100SAELatents = number | null;
/**
 * Top 500 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop500SAELatents = number | null;
/**
 * Top 500 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop500SAELatents = number | null;
/**
 * Top 500 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop500SAELatents = number | null;
/**
 * `<data set>_tpp_results`.
 */
export type DatasetName = string;
/**
 * Top 2 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop2SAELatents1 = number | null;
/**
 * Top 2 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop2SAELatents1 = number | null;
/**
 * Top 2 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop2SAELatents1 = number | null;
/**
 * Top 5 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop5SAELatents1 = number | null;
/**
 * Top 5 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop5SAELatents1 = number | null;
/**
 * Top 5 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop5SAELatents1 = number | null;
/**
 * Top 10 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop10SAELatents1 = number | null;
/**
 * Top 10 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop10SAELatents1 = number | null;
/**
 * Top 10 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop10SAELatents1 = number | null;
/**
 * Top 20 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop20SAELatents1 = number | null;
/**
 * Top 20 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop20SAELatents1 = number | null;
/**
 * Top 20 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop20SAELatents1 = number | null;
/**
 * Top 50 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop50SAELatents1 = number | null;
/**
 * Top 50 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop50SAELatents1 = number | null;
/**
 * Top 50 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop50SAELatents1 = number | null;
/**
 * Top 100 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop100SAELatents1 = number | null;
/**
 * Top 100 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop100SAELatents1 = number | null;
/**
 * Top 100 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop100SAELatents1 = number | null;
/**
 * Top 500 latents ablated: drop of the class's own probe less the mean drop of the other classes' probes.
 */
export type TPPMetricTop500SAELatents1 = number | null;
/**
 * Top 500 latents ablated: drop of the class's own probe.
 */
export type TPPIntendedClassTop500SAELatents1 = number | null;
/**
 * Top 500 latents ablated: mean drop of the other classes' probes.
 */
export type TPPUnintendedClassTop500SAELatents1 = number | null;
/**
 * One row of scores per data set.
 */
export type PerDatasetTPPResults = TppResultDetail[];
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
 * How well ablating few latents damages the probe of one class and spares those of the others.
 *
 * From "Evaluating Sparse Autoencoders on Targeted Concept Removal Tasks" (Karvonen et al. 2024).
 */
export interface TPP {
  eval_type_id?: EvalTypeID;
  eval_config: EvalConfigType;
  eval_id: ID;
  datetime_epoch_millis: DateTimeEpochMs;
  eval_result_metrics: ResultMetricsCategorized;
  eval_result_details?: PerDatasetTPPResults;
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
  random_seed?: RandomSeed;
  dataset_names?: DatasetNames;
  perform_scr?: PerformSpuriousCorrelationRemoval;
  early_stopping_patience?: EarlyStoppingPatience;
  train_set_size?: TrainSetSize;
  test_set_size?: TestSetSize;
  context_length?: LLMContextLength;
  probe_train_batch_size?: ProbeTrainBatchSize;
  probe_test_batch_size?: ProbeTestBatchSize;
  probe_epochs?: ProbeEpochs;
  probe_lr?: ProbeLR;
  probe_l1_penalty?: ProbeL1Penalty;
  sae_batch_size?: SAEBatchSize;
  llm_batch_size?: LLMBatchSize;
  llm_dtype?: LLMDataType;
  lower_vram_usage?: LowerMemoryUsage;
  model_name?: ModelName;
  n_values?: NValues;
  column1_vals_lookup?: Column1ValuesLookup;
  probe_selection?: ProbeSelection;
}
/**
 * scr only: data set -> pairs of classes, each made into a fully biased set (all professors male, all nurses female). A set that is not listed pairs its classes in order.
 */
export interface Column1ValuesLookup {
  [k: string]: [unknown, unknown][];
}
/**
 * Headline numbers by category.
 */
export interface ResultMetricsCategorized {
  tpp_metrics: TPPMetrics;
}
/**
 * How much more ablating N latents of a class hurts its own probe than the others.
 */
export interface TPPMetrics {
  tpp_threshold_2_total_metric?: TPPMetricTop2SAELatents;
  tpp_threshold_2_intended_diff_only?: TPPIntendedClassTop2SAELatents;
  tpp_threshold_2_unintended_diff_only?: TPPUnintendedClassTop2SAELatents;
  tpp_threshold_5_total_metric?: TPPMetricTop5SAELatents;
  tpp_threshold_5_intended_diff_only?: TPPIntendedClassTop5SAELatents;
  tpp_threshold_5_unintended_diff_only?: TPPUnintendedClassTop5SAELatents;
  tpp_threshold_10_total_metric?: TPPMetricTop10SAELatents;
  tpp_threshold_10_intended_diff_only?: TPPIntendedClassTop10SAELatents;
  tpp_threshold_10_unintended_diff_only?: TPPUnintendedClassTop10SAELatents;
  tpp_threshold_20_total_metric?: TPPMetricTop20SAELatents;
  tpp_threshold_20_intended_diff_only?: TPPIntendedClassTop20SAELatents;
  tpp_threshold_20_unintended_diff_only?: TPPUnintendedClassTop20SAELatents;
  tpp_threshold_50_total_metric?: TPPMetricTop50SAELatents;
  tpp_threshold_50_intended_diff_only?: TPPIntendedClassTop50SAELatents;
  tpp_threshold_50_unintended_diff_only?: TPPUnintendedClassTop50SAELatents;
  tpp_threshold_100_total_metric?: TPPMetricTop100SAELatents;
  tpp_threshold_100_intended_diff_only?: TPPIntendedClassTop100SAELatents;
  tpp_threshold_100_unintended_diff_only?: TPPUnintendedClassTop100SAELatents;
  tpp_threshold_500_total_metric?: TPPMetricTop500SAELatents;
  tpp_threshold_500_intended_diff_only?: TPPIntendedClassTop500SAELatents;
  tpp_threshold_500_unintended_diff_only?: TPPUnintendedClassTop500SAELatents;
  [k: string]:
    | number
    | null
    | TPPMetricTop2SAELatents
    | TPPIntendedClassTop2SAELatents
    | TPPUnintendedClassTop2SAELatents
    | TPPMetricTop5SAELatents
    | TPPIntendedClassTop5SAELatents
    | TPPUnintendedClassTop5SAELatents
    | TPPMetricTop10SAELatents
    | TPPIntendedClassTop10SAELatents
    | TPPUnintendedClassTop10SAELatents
    | TPPMetricTop20SAELatents
    | TPPIntendedClassTop20SAELatents
    | TPPUnintendedClassTop20SAELatents
    | TPPMetricTop50SAELatents
    | TPPIntendedClassTop50SAELatents
    | TPPUnintendedClassTop50SAELatents
    | TPPMetricTop100SAELatents
    | TPPIntendedClassTop100SAELatents
    | TPPUnintendedClassTop100SAELatents
    | TPPMetricTop500SAELatents
    | TPPIntendedClassTop500SAELatents
    | TPPUnintendedClassTop500SAELatents
    | undefined;
}
/**
 * Scores on one data set: means over its classes and over seeds.
 */
export interface TppResultDetail {
  dataset_name: DatasetName;
  tpp_threshold_2_total_metric?: TPPMetricTop2SAELatents1;
  tpp_threshold_2_intended_diff_only?: TPPIntendedClassTop2SAELatents1;
  tpp_threshold_2_unintended_diff_only?: TPPUnintendedClassTop2SAELatents1;
  tpp_threshold_5_total_metric?: TPPMetricTop5SAELatents1;
  tpp_threshold_5_intended_diff_only?: TPPIntendedClassTop5SAELatents1;
  tpp_threshold_5_unintended_diff_only?: TPPUnintendedClassTop5SAELatents1;
  tpp_threshold_10_total_metric?: TPPMetricTop10SAELatents1;
  tpp_threshold_10_intended_diff_only?: TPPIntendedClassTop10SAELatents1;
  tpp_threshold_10_unintended_diff_only?: TPPUnintendedClassTop10SAELatents1;
  tpp_threshold_20_total_metric?: TPPMetricTop20SAELatents1;
  tpp_threshold_20_intended_diff_only?: TPPIntendedClassTop20SAELatents1;
  tpp_threshold_20_unintended_diff_only?: TPPUnintendedClassTop20SAELatents1;
  tpp_threshold_50_total_metric?: TPPMetricTop50SAELatents1;
  tpp_threshold_50_intended_diff_only?: TPPIntendedClassTop50SAELatents1;
  tpp_threshold_50_unintended_diff_only?: TPPUnintendedClassTop50SAELatents1;
  tpp_threshold_100_total_metric?: TPPMetricTop100SAELatents1;
  tpp_threshold_100_intended_diff_only?: TPPIntendedClassTop100SAELatents1;
  tpp_threshold_100_unintended_diff_only?: TPPUnintendedClassTop100SAELatents1;
  tpp_threshold_500_total_metric?: TPPMetricTop500SAELatents1;
  tpp_threshold_500_intended_diff_only?: TPPIntendedClassTop500SAELatents1;
  tpp_threshold_500_unintended_diff_only?: TPPUnintendedClassTop500SAELatents1;
  [k: string]:
    | number
    | null
    | DatasetName
    | TPPMetricTop2SAELatents1
    | TPPIntendedClassTop2SAELatents1
    | TPPUnintendedClassTop2SAELatents1
    | TPPMetricTop5SAELatents1
    | TPPIntendedClassTop5SAELatents1
    | TPPUnintendedClassTop5SAELatents1
    | TPPMetricTop10SAELatents1
    | TPPIntendedClassTop10SAELatents1
    | TPPUnintendedClassTop10SAELatents1
    | TPPMetricTop20SAELatents1
    | TPPIntendedClassTop20SAELatents1
    | TPPUnintendedClassTop20SAELatents1
    | TPPMetricTop50SAELatents1
    | TPPIntendedClassTop50SAELatents1
    | TPPUnintendedClassTop50SAELatents1
    | TPPMetricTop100SAELatents1
    | TPPIntendedClassTop100SAELatents1
    | TPPUnintendedClassTop100SAELatents1
    | TPPMetricTop500SAELatents1
    | TPPIntendedClassTop500SAELatents1
    | TPPUnintendedClassTop500SAELatents1
    | undefined;
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
