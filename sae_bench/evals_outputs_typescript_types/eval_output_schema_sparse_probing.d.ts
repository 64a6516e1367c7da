/* eslint-disable */
/* Made by json-schema-to-typescript; do not edit.
   eval_output_schema_sparse_probing.json, schema sha256 8a9147a63bbecb001c1443e8d0fdb09d207d87f16c3413a43a198058b547d953 */
/**
 * Name of the eval.
 */
export type EvalTypeID = string;
/**
 * Seed of the texts that are sampled, and of the probes where a run names no other seeds.
 */
export type RandomSeed = number;
/**
 * Labelled text data sets to probe; a large one is split into sets of at most five classes.
 */
export type DatasetNames = string[];
/**
 * Training texts of one probe; half of them are of its class.
 */
export type ProbeTrainSetSize = number;
/**
 * Test texts of one probe; half of them are of its class.
 */
export type ProbeTestSetSize = number;
/**
 * Tokens of a text that the language model reads; what comes after them is cut off.
 */
export type LLMContextLength = number;
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
 * Language model; filled in by the run.
 */
export type ModelName = string;
/**
 * How many latents, or channels of the residual stream, a sparse probe reads; one probe per value.
 *
 * @minItems 1
 */
export type KValues = [number, ...number[]];
/**
 * Keep pooled codes in main memory and leave out the probe on all latents; for very wide SAEs.
 */
export type LowerMemoryUsage = boolean;
/**
 * What chooses the epoch of the probes on all features: 'test' is the published definition and picks the epoch with the best test accuracy, which is biased upwards; 'validation' picks on a tenth of the training texts and reports the test accuracy of that epoch.
 */
export type ProbeSelection = "test" | "validation";
/**
 * Train the probe on all latents (sae_test_accuracy), the slowest part on wide SAEs.
 */
export type ComputeAllLatentsProbe = boolean;
/**
 * UUID of the run that made this result.
 */
export type ID = string;
/**
 * When the result was made, in epoch milliseconds.
 */
export type DateTimeEpochMs = number;
/**
 * Test accuracy of a linear probe on all channels of the residual stream.
 */
export type LLMTestAccuracy = number;
/**
 * Test accuracy of a linear probe on the top 1 channels of the residual stream by difference of class means.
 */
export type LLMTop1TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 2 channels of the residual stream by difference of class means.
 */
export type LLMTop2TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 5 channels of the residual stream by difference of class means.
 */
export type LLMTop5TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 10 channels of the residual stream by difference of class means.
 */
export type LLMTop10TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 20 channels of the residual stream by difference of class means.
 */
export type LLMTop20TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 50 channels of the residual stream by difference of class means.
 */
export type LLMTop50TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 100 channels of the residual stream by difference of class means.
 */
export type LLMTop100TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on all latents of the SAE.
 */
export type SAETestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 1 latents of the SAE by difference of class means.
 */
export type SAETop1TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 2 latents of the SAE by difference of class means.
 */
export type SAETop2TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 5 latents of the SAE by difference of class means.
 */
export type SAETop5TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 10 latents of the SAE by difference of class means.
 */
export type SAETop10TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 20 latents of the SAE by difference of class means.
 */
export type SAETop20TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 50 latents of the SAE by difference of class means.
 */
export type SAETop50TestAccuracy = number | null;
/**
 * Test accuracy of a linear probe on the top 100 latents of the SAE by difference of class means.
 */
export type SAETop100TestAccuracy = number | null;
/**
 * Name of the data set, with '_results' appended.
 */
export type DatasetName = string;
/**
 * Test accuracy of a linear probe on all channels of the residual stream.
 */
export type LLMTestAccuracy1 = number;
/**
 * Test accuracy of a linear probe on the top 1 channels of the residual stream by difference of class means.
 */
export type LLMTop1TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 2 channels of the residual stream by difference of class means.
 */
export type LLMTop2TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 5 channels of the residual stream by difference of class means.
 */
export type LLMTop5TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 10 channels of the residual stream by difference of class means.
 */
export type LLMTop10TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 20 channels of the residual stream by difference of class means.
 */
export type LLMTop20TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 50 channels of the residual stream by difference of class means.
 */
export type LLMTop50TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 100 channels of the residual stream by difference of class means.
 */
export type LLMTop100TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on all latents of the SAE.
 */
export type SAETestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 1 latents of the SAE by difference of class means.
 */
export type SAETop1TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 2 latents of the SAE by difference of class means.
 */
export type SAETop2TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 5 latents of the SAE by difference of class means.
 */
export type SAETop5TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 10 latents of the SAE by difference of class means.
 */
export type SAETop10TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 20 latents of the SAE by difference of class means.
 */
export type SAETop20TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 50 latents of the SAE by difference of class means.
 */
export type SAETop50TestAccuracy1 = number | null;
/**
 * Test accuracy of a linear probe on the top 100 latents of the SAE by difference of class means.
 */
export type SAETop100TestAccuracy1 = number | null;
/**
 * One row of accuracies per data set.
 */
export type PerDatasetSparseProbingResults = SparseProbingResultDetail[];
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
 * How well a handful of SAE latents predicts labelled concepts (professions, topics, languages, sentiment).
 *
 * For every class a probe reads the k latents whose means differ most between the class and the rest. Beside it stand
 * the same probe on channels of the residual stream, and probes on all channels and all latents.
 */
export interface SparseProbing {
  eval_type_id?: EvalTypeID;
  eval_config: EvalConfigType;
  eval_id: ID;
  datetime_epoch_millis: DateTimeEpochMs;
  eval_result_metrics: ResultMetricsCategorized;
  eval_result_details?: PerDatasetSparseProbingResults;
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
  probe_train_set_size?: ProbeTrainSetSize;
  probe_test_set_size?: ProbeTestSetSize;
  context_length?: LLMContextLength;
  sae_batch_size?: SAEBatchSize;
  llm_batch_size?: LLMBatchSize;
  llm_dtype?: LLMDataType;
  model_name?: ModelName;
  k_values?: KValues;
  lower_vram_usage?: LowerMemoryUsage;
  probe_selection?: ProbeSelection;
  compute_all_latents_probe?: ComputeAllLatentsProbe;
}
/**
 * Headline numbers by category.
 */
export interface ResultMetricsCategorized {
  llm: LLM;
  sae: SAE;
}
/**
 * Probes on the residual stream.
 */
export interface LLM {
  llm_test_accuracy: LLMTestAccuracy;
  llm_top_1_test_accuracy?: LLMTop1TestAccuracy;
  llm_top_2_test_accuracy?: LLMTop2TestAccuracy;
  llm_top_5_test_accuracy?: LLMTop5TestAccuracy;
  llm_top_10_test_accuracy?: LLMTop10TestAccuracy;
  llm_top_20_test_accuracy?: LLMTop20TestAccuracy;
  llm_top_50_test_accuracy?: LLMTop50TestAccuracy;
  llm_top_100_test_accuracy?: LLMTop100TestAccuracy;
  [k: string]:
    | number
    | null
    | LLMTop1TestAccuracy
    | LLMTop2TestAccuracy
    | LLMTop5TestAccuracy
    | LLMTop10TestAccuracy
    | LLMTop20TestAccuracy
    | LLMTop50TestAccuracy
    | LLMTop100TestAccuracy
    | undefined;
}
/**
 * Probes on the SAE's latents.
 */
export interface SAE {
  sae_test_accuracy?: SAETestAccuracy;
  sae_top_1_test_accuracy?: SAETop1TestAccuracy;
  sae_top_2_test_accuracy?: SAETop2TestAccuracy;
  sae_top_5_test_accuracy?: SAETop5TestAccuracy;
  sae_top_10_test_accuracy?: SAETop10TestAccuracy;
  sae_top_20_test_accuracy?: SAETop20TestAccuracy;
  sae_top_50_test_accuracy?: SAETop50TestAccuracy;
  sae_top_100_test_accuracy?: SAETop100TestAccuracy;
  [k: string]:
    | number
    | null
    | SAETestAccuracy
    | SAETop1TestAccuracy
    | SAETop2TestAccuracy
    | SAETop5TestAccuracy
    | SAETop10TestAccuracy
    | SAETop20TestAccuracy
    | SAETop50TestAccuracy
    | SAETop100TestAccuracy
    | undefined;
}
/**
 * Accuracies on one data set: means over its classes and over seeds.
 */
export interface SparseProbingResultDetail {
  dataset_name: DatasetName;
  llm_test_accuracy: LLMTestAccuracy1;
  llm_top_1_test_accuracy?: LLMTop1TestAccuracy1;
  llm_top_2_test_accuracy?: LLMTop2TestAccuracy1;
  llm_top_5_test_accuracy?: LLMTop5TestAccuracy1;
  llm_top_10_test_accuracy?: LLMTop10TestAccuracy1;
  llm_top_20_test_accuracy?: LLMTop20TestAccuracy1;
  llm_top_50_test_accuracy?: LLMTop50TestAccuracy1;
  llm_top_100_test_accuracy?: LLMTop100TestAccuracy1;
  sae_test_accuracy?: SAETestAccuracy1;
  sae_top_1_test_accuracy?: SAETop1TestAccuracy1;
  sae_top_2_test_accuracy?: SAETop2TestAccuracy1;
  sae_top_5_test_accuracy?: SAETop5TestAccuracy1;
  sae_top_10_test_accuracy?: SAETop10TestAccuracy1;
  sae_top_20_test_accuracy?: SAETop20TestAccuracy1;
  sae_top_50_test_accuracy?: SAETop50TestAccuracy1;
  sae_top_100_test_accuracy?: SAETop100TestAccuracy1;
  [k: string]:
    | number
    | null
    | DatasetName
    | LLMTop1TestAccuracy1
    | LLMTop2TestAccuracy1
    | LLMTop5TestAccuracy1
    | LLMTop10TestAccuracy1
    | LLMTop20TestAccuracy1
    | LLMTop50TestAccuracy1
    | LLMTop100TestAccuracy1
    | SAETestAccuracy1
    | SAETop1TestAccuracy1
    | SAETop2TestAccuracy1
    | SAETop5TestAccuracy1
    | SAETop10TestAccuracy1
    | SAETop20TestAccuracy1
    | SAETop50TestAccuracy1
    | SAETop100TestAccuracy1
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
