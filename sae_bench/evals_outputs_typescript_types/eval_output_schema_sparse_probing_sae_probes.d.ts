/* eslint-disable */
/* Made by json-schema-to-typescript; do not edit.
   eval_output_schema_sparse_probing_sae_probes.json, schema sha256 2f248110413fff92ec338c6154dcdb2d805180e1d069b0d87b9f53e652f3db1e */
/**
 * Name of the eval.
 */
export type EvalTypeID = string;
/**
 * Language model; filled in by the run.
 */
export type ModelName = string;
/**
 * Seed of splits and folds where a run names no other seeds.
 */
export type RandomSeed = number;
/**
 * Tasks such as 87_glue_cola; empty takes all 113 binary tasks of the package.
 */
export type DatasetNames = string[];
/**
 * Penalty on the weights of the sparse probes; the residual stream's probe always takes l2.
 */
export type RegularizationType = "l1" | "l2";
/**
 * 'normal': up to 1024 balanced training texts; 'scarcity': 2 to 1024 of them, in 20 steps; 'imbalance': 5 to 95 per cent of them positive, in 19 steps. Scores are means over the steps.
 */
export type DataBalanceSetting = "normal" | "scarcity" | "imbalance";
/**
 * How many latents a sparse probe reads; one probe per value.
 *
 * @minItems 1
 */
export type KValues = [number, ...number[]];
/**
 * Probes read whether a latent is active instead of its value; only in the setting 'normal'.
 */
export type BinarizeLatents = boolean;
/**
 * Kept for published scripts; nothing is written there, results have one row per task.
 */
export type SaeProbesResultsRoot = string;
/**
 * Folder where run_eval keeps the model's activations for SAEs that come later; null keeps none.
 */
export type ModelActivationsCache = string | null;
/**
 * Probe the whole residual stream as well; paid once for all SAEs at a hook.
 */
export type IncludeLLMBaseline = boolean;
/**
 * Probe of the residual stream: cross-validated logistic regression.
 */
export type BaselineMethod = "logreg";
/**
 * The last so many tokens of a text are read; fewer where the model has fewer positions.
 */
export type LLMContextLength = number;
/**
 * Largest number of texts the language model reads at once; null leaves it to the pass.
 */
export type LLMBatchSize = number;
/**
 * dtype of the language model, such as bfloat16; empty chooses by model.
 */
export type LLMDataType = string;
/**
 * Only the first so many of the chosen tasks; null takes all.
 */
export type MaxTasks = number | null;
/**
 * Only the first so many texts of a task, half of each class; null takes all. For quick runs.
 */
export type MaxTexts = number | null;
/**
 * UUID of the run that made this result.
 */
export type ID = string;
/**
 * When the result was made, in epoch milliseconds.
 */
export type DateTimeEpochMs = number;
/**
 * Test Accuracy of a linear probe on the full residual stream.
 */
export type LLMTestAccuracy = number | null;
/**
 * Test AUC of a linear probe on the full residual stream.
 */
export type LLMTestAUC = number | null;
/**
 * Test F1 of a linear probe on the full residual stream.
 */
export type LLMTestF1 = number | null;
/**
 * Test accuracy of a linear probe on all SAE latents; declared as published, and never computed.
 */
export type SAETestAccuracy = number | null;
/**
 * Test Accuracy of a linear probe on the top 1 SAE latents by difference of class means.
 */
export type SAETop1TestAccuracy = number | null;
/**
 * Test AUC of a linear probe on the top 1 SAE latents by difference of class means.
 */
export type SAETop1TestAUC = number | null;
/**
 * Test F1 of a linear probe on the top 1 SAE latents by difference of class means.
 */
export type SAETop1TestF1 = number | null;
/**
 * Test Accuracy of a linear probe on the top 2 SAE latents by difference of class means.
 */
export type SAETop2TestAccuracy = number | null;
/**
 * Test AUC of a linear probe on the top 2 SAE latents by difference of class means.
 */
export type SAETop2TestAUC = number | null;
/**
 * Test F1 of a linear probe on the top 2 SAE latents by difference of class means.
 */
export type SAETop2TestF1 = number | null;
/**
 * Test Accuracy of a linear probe on the top 5 SAE latents by difference of class means.
 */
export type SAETop5TestAccuracy = number | null;
/**
 * Test AUC of a linear probe on the top 5 SAE latents by difference of class means.
 */
export type SAETop5TestAUC = number | null;
/**
 * Test F1 of a linear probe on the top 5 SAE latents by difference of class means.
 */
export type SAETop5TestF1 = number | null;
/**
 * Test Accuracy of a linear probe on the top 10 SAE latents by difference of class means.
 */
export type SAETop10TestAccuracy = number | null;
/**
 * Test AUC of a linear probe on the top 10 SAE latents by difference of class means.
 */
export type SAETop10TestAUC = number | null;
/**
 * Test F1 of a linear probe on the top 10 SAE latents by difference of class means.
 */
export type SAETop10TestF1 = number | null;
/**
 * Test Accuracy of a linear probe on the top 20 SAE latents by difference of class means.
 */
export type SAETop20TestAccuracy = number | null;
/**
 * Test AUC of a linear probe on the top 20 SAE latents by difference of class means.
 */
export type SAETop20TestAUC = number | null;
/**
 * Test F1 of a linear probe on the top 20 SAE latents by difference of class means.
 */
export type SAETop20TestF1 = number | null;
/**
 * Test Accuracy of a linear probe on the top 50 SAE latents by difference of class means.
 */
export type SAETop50TestAccuracy = number | null;
/**
 * Test AUC of a linear probe on the top 50 SAE latents by difference of class means.
 */
export type SAETop50TestAUC = number | null;
/**
 * Test F1 of a linear probe on the top 50 SAE latents by difference of class means.
 */
export type SAETop50TestF1 = number | null;
/**
 * Test Accuracy of a linear probe on the top 100 SAE latents by difference of class means.
 */
export type SAETop100TestAccuracy = number | null;
/**
 * Test AUC of a linear probe on the top 100 SAE latents by difference of class means.
 */
export type SAETop100TestAUC = number | null;
/**
 * Test F1 of a linear probe on the top 100 SAE latents by difference of class means.
 */
export type SAETop100TestF1 = number | null;
/**
 * Name of the task.
 */
export type DatasetName = string;
/**
 * Test Accuracy of a linear probe on the full residual stream.
 */
export type LLMTestAccuracy1 = number | null;
/**
 * Test AUC of a linear probe on the full residual stream.
 */
export type LLMTestAUC1 = number | null;
/**
 * Test F1 of a linear probe on the full residual stream.
 */
export type LLMTestF11 = number | null;
/**
 * Test accuracy of a linear probe on all SAE latents; declared as published, and never computed.
 */
export type SAETestAccuracy1 = number | null;
/**
 * Test Accuracy of a linear probe on the top 1 SAE latents by difference of class means.
 */
export type SAETop1TestAccuracy1 = number | null;
/**
 * Test AUC of a linear probe on the top 1 SAE latents by difference of class means.
 */
export type SAETop1TestAUC1 = number | null;
/**
 * Test F1 of a linear probe on the top 1 SAE latents by difference of class means.
 */
export type SAETop1TestF11 = number | null;
/**
 * Test Accuracy of a linear probe on the top 2 SAE latents by difference of class means.
 */
export type SAETop2TestAccuracy1 = number | null;
/**
 * Test AUC of a linear probe on the top 2 SAE latents by difference of class means.
 */
export type SAETop2TestAUC1 = number | null;
/**
 * Test F1 of a linear probe on the top 2 SAE latents by difference of class means.
 */
export type SAETop2TestF11 = number | null;
/**
 * Test Accuracy of a linear probe on the top 5 SAE latents by difference of class means.
 */
export type SAETop5TestAccuracy1 = number | null;
/**
 * Test AUC of a linear probe on the top 5 SAE latents by difference of class means.
 */
export type SAETop5TestAUC1 = number | null;
/**
 * Test F1 of a linear probe on the top 5 SAE latents by difference of class means.
 */
export type SAETop5TestF11 = number | null;
/**
 * Test Accuracy of a linear probe on the top 10 SAE latents by difference of class means.
 */
export type SAETop10TestAccuracy1 = number | null;
/**
 * Test AUC of a linear probe on the top 10 SAE latents by difference of class means.
 */
export type SAETop10TestAUC1 = number | null;
/**
 * Test F1 of a linear probe on the top 10 SAE latents by difference of class means.
 */
export type SAETop10TestF11 = number | null;
/**
 * Test Accuracy of a linear probe on the top 20 SAE latents by difference of class means.
 */
export type SAETop20TestAccuracy1 = number | null;
/**
 * Test AUC of a linear probe on the top 20 SAE latents by difference of class means.
 */
export type SAETop20TestAUC1 = number | null;
/**
 * Test F1 of a linear probe on the top 20 SAE latents by difference of class means.
 */
export type SAETop20TestF11 = number | null;
/**
 * Test Accuracy of a linear probe on the top 50 SAE latents by difference of class means.
 */
export type SAETop50TestAccuracy1 = number | null;
/**
 * Test AUC of a linear probe on the top 50 SAE latents by difference of class means.
 */
export type SAETop50TestAUC1 = number | null;
/**
 * Test F1 of a linear probe on the top 50 SAE latents by difference of class means.
 */
export type SAETop50TestF11 = number | null;
/**
 * Test Accuracy of a linear probe on the top 100 SAE latents by difference of class means.
 */
export type SAETop100TestAccuracy1 = number | null;
/**
 * Test AUC of a linear probe on the top 100 SAE latents by difference of class means.
 */
export type SAETop100TestAUC1 = number | null;
/**
 * Test F1 of a linear probe on the top 100 SAE latents by difference of class means.
 */
export type SAETop100TestF11 = number | null;
/**
 * k -> test_accuracy, test_auc, test_f1.
 */
export type SAEMetricsByK = {
  [k: string]: {
    [k: string]: number;
  };
} | null;
/**
 * One row of scores per task.
 */
export type PerDatasetSparseProbingResults = SaeProbesResultDetail[];
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
 * k -> test_accuracy, test_auc, test_f1: means over tasks, filled in from the rows of the tasks.
 */
export type SAEMetricsByK1 = {
  [k: string]: {
    [k: string]: number;
  };
} | null;

/**
 * How well a handful of SAE latents predicts 113 binary concepts, from the last token of a text.
 *
 * For every task a probe reads the k latents whose means differ most between its two classes; the strength of its
 * regularisation is chosen by cross-validation. Beside it stands the same kind of probe on the residual stream.
 */
export interface SparseProbingSaeProbes {
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
  sae_metrics_by_k?: SAEMetricsByK1;
}
/**
 * Settings of the eval.
 */
export interface EvalConfigType {
  model_name?: ModelName;
  random_seed?: RandomSeed;
  dataset_names?: DatasetNames;
  reg_type?: RegularizationType;
  setting?: DataBalanceSetting;
  ks?: KValues;
  binarize?: BinarizeLatents;
  results_path?: SaeProbesResultsRoot;
  model_cache_path?: ModelActivationsCache;
  include_llm_baseline?: IncludeLLMBaseline;
  baseline_method?: BaselineMethod;
  context_length?: LLMContextLength;
  llm_batch_size?: LLMBatchSize;
  llm_dtype?: LLMDataType;
  max_tasks?: MaxTasks;
  max_texts?: MaxTexts;
}
/**
 * Headline numbers by category.
 */
export interface ResultMetricsCategorized {
  llm: LLM;
  sae: SAE;
}
/**
 * Probe on the residual stream.
 */
export interface LLM {
  llm_test_accuracy?: LLMTestAccuracy;
  llm_test_auc?: LLMTestAUC;
  llm_test_f1?: LLMTestF1;
}
/**
 * Probes on the SAE's latents.
 */
export interface SAE {
  sae_test_accuracy?: SAETestAccuracy;
  sae_top_1_test_accuracy?: SAETop1TestAccuracy;
  sae_top_1_test_auc?: SAETop1TestAUC;
  sae_top_1_test_f1?: SAETop1TestF1;
  sae_top_2_test_accuracy?: SAETop2TestAccuracy;
  sae_top_2_test_auc?: SAETop2TestAUC;
  sae_top_2_test_f1?: SAETop2TestF1;
  sae_top_5_test_accuracy?: SAETop5TestAccuracy;
  sae_top_5_test_auc?: SAETop5TestAUC;
  sae_top_5_test_f1?: SAETop5TestF1;
  sae_top_10_test_accuracy?: SAETop10TestAccuracy;
  sae_top_10_test_auc?: SAETop10TestAUC;
  sae_top_10_test_f1?: SAETop10TestF1;
  sae_top_20_test_accuracy?: SAETop20TestAccuracy;
  sae_top_20_test_auc?: SAETop20TestAUC;
  sae_top_20_test_f1?: SAETop20TestF1;
  sae_top_50_test_accuracy?: SAETop50TestAccuracy;
  sae_top_50_test_auc?: SAETop50TestAUC;
  sae_top_50_test_f1?: SAETop50TestF1;
  sae_top_100_test_accuracy?: SAETop100TestAccuracy;
  sae_top_100_test_auc?: SAETop100TestAUC;
  sae_top_100_test_f1?: SAETop100TestF1;
  [k: string]:
    | number
    | null
    | SAETestAccuracy
    | SAETop1TestAccuracy
    | SAETop1TestAUC
    | SAETop1TestF1
    | SAETop2TestAccuracy
    | SAETop2TestAUC
    | SAETop2TestF1
    | SAETop5TestAccuracy
    | SAETop5TestAUC
    | SAETop5TestF1
    | SAETop10TestAccuracy
    | SAETop10TestAUC
    | SAETop10TestF1
    | SAETop20TestAccuracy
    | SAETop20TestAUC
    | SAETop20TestF1
    | SAETop50TestAccuracy
    | SAETop50TestAUC
    | SAETop50TestF1
    | SAETop100TestAccuracy
    | SAETop100TestAUC
    | SAETop100TestF1
    | undefined;
}
/**
 * Scores on one task: means over its steps and over seeds.
 */
export interface SaeProbesResultDetail {
  dataset_name: DatasetName;
  llm_test_accuracy?: LLMTestAccuracy1;
  llm_test_auc?: LLMTestAUC1;
  llm_test_f1?: LLMTestF11;
  sae_test_accuracy?: SAETestAccuracy1;
  sae_top_1_test_accuracy?: SAETop1TestAccuracy1;
  sae_top_1_test_auc?: SAETop1TestAUC1;
  sae_top_1_test_f1?: SAETop1TestF11;
  sae_top_2_test_accuracy?: SAETop2TestAccuracy1;
  sae_top_2_test_auc?: SAETop2TestAUC1;
  sae_top_2_test_f1?: SAETop2TestF11;
  sae_top_5_test_accuracy?: SAETop5TestAccuracy1;
  sae_top_5_test_auc?: SAETop5TestAUC1;
  sae_top_5_test_f1?: SAETop5TestF11;
  sae_top_10_test_accuracy?: SAETop10TestAccuracy1;
  sae_top_10_test_auc?: SAETop10TestAUC1;
  sae_top_10_test_f1?: SAETop10TestF11;
  sae_top_20_test_accuracy?: SAETop20TestAccuracy1;
  sae_top_20_test_auc?: SAETop20TestAUC1;
  sae_top_20_test_f1?: SAETop20TestF11;
  sae_top_50_test_accuracy?: SAETop50TestAccuracy1;
  sae_top_50_test_auc?: SAETop50TestAUC1;
  sae_top_50_test_f1?: SAETop50TestF11;
  sae_top_100_test_accuracy?: SAETop100TestAccuracy1;
  sae_top_100_test_auc?: SAETop100TestAUC1;
  sae_top_100_test_f1?: SAETop100TestF11;
  sae_metrics_by_k?: SAEMetricsByK;
  [k: string]:
    | number
    | null
    | DatasetName
    | LLMTestAccuracy1
    | LLMTestAUC1
    | LLMTestF11
    | SAETestAccuracy1
    | SAETop1TestAccuracy1
    | SAETop1TestAUC1
    | SAETop1TestF11
    | SAETop2TestAccuracy1
    | SAETop2TestAUC1
    | SAETop2TestF11
    | SAETop5TestAccuracy1
    | SAETop5TestAUC1
    | SAETop5TestF11
    | SAETop10TestAccuracy1
    | SAETop10TestAUC1
    | SAETop10TestF11
    | SAETop20TestAccuracy1
    | SAETop20TestAUC1
    | SAETop20TestF11
    | SAETop50TestAccuracy1
    | SAETop50TestAUC1
    | SAETop50TestF11
    | SAETop100TestAccuracy1
    | SAETop100TestAUC1
    | SAETop100TestF11
    | SAEMetricsByK
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
