/* eslint-disable */
/* Made by json-schema-to-typescript; do not edit.
   eval_output_schema_absorption_first_letter.json, schema sha256 68436b5bef6d852e38bd9b57e2263b7ac6526b7b713e3f466d85a60c87071b79 */
/**
 * Name of the eval.
 */
export type EvalTypeID = string;
/**
 * Language model; filled in by the run. Models below 2B parameters may know few letters.
 */
export type ModelName = string;
/**
 * Seed of the words and in-context examples, and of splits and probes where a run names no seeds.
 */
export type RandomSeed = number;
/**
 * A further latent counts as a split of the letter's feature if F1 rises by more than this.
 */
export type F1JumpThreshold = number;
/**
 * Sparse probes read 1 to this many latents.
 */
export type MaxKValue = number;
/**
 * What is asked about a word; holds {word} once. The answer follows after a space.
 */
export type PromptTemplate = string;
/**
 * Kept for published scripts; the word's token is found by the tokenizer's offsets.
 */
export type PromptTokenPosition = number;
/**
 * Largest number of prompts that the language model reads at once; null chooses by device.
 */
export type LLMBatchSize = number;
/**
 * dtype of the language model, such as bfloat16; empty chooses by model.
 */
export type LLMDataType = string;
/**
 * L1 penalty of the probe that ranks the latents of each letter.
 */
export type KSparseProbeL1Decay = number;
/**
 * Words in a training step of the probe that ranks the latents.
 */
export type KSparseProbeBatchSize = number;
/**
 * Epochs of the probe that ranks the latents.
 */
export type KSparseProbeNumberOfEpochs = number;
/**
 * Letters whose probe has a test F1 of at most this are left out of the means (0.6.0: 0.6).
 */
export type MinimumLetterProbeF1 = number;
/**
 * With fewer letters than this left the scores are null; sae-bench 0.6.0: 20.
 */
export type MinimumNumberOfLetters = number;
/**
 * Kept for published scripts; every word is encoded once, in batches of its own.
 */
export type EvalKSparseProbeBatchSize = number;
/**
 * Kept for published scripts; every word is encoded once in any case.
 */
export type PrecalculateSAEActivations = boolean;
/**
 * At most this many words, shared among the letters as evenly as they allow; null takes all.
 */
export type MaxWords = number | null;
/**
 * Solved examples before a word.
 */
export type InContextExamples = number;
/**
 * Words that follow the same in-context examples, which the model then reads once for all of them. 1 draws examples for every word, as published; more cost up to twenty times less.
 */
export type WordsPerDrawOfExamples = number;
/**
 * Letters with fewer words are left out and named in the warnings; their words stay as negatives.
 */
export type MinimumWordsPerLetter = number;
/**
 * UUID of the run that made this result.
 */
export type ID = string;
/**
 * When the result was made, in epoch milliseconds.
 */
export type DateTimeEpochMs = number;
/**
 * Mean over letters of the mean absorption fraction: the share of the latents' projection on the letter's probe that does not come from the letter's own latents, over words that the probe gets right.
 */
export type MeanAbsorptionFractionScore = number | null;
/**
 * Mean over letters of the full absorption rate: none of the letter's latents is on, and one other latent carries the letter.
 */
export type MeanFullAbsorptionScore = number | null;
/**
 * Mean over letters of the number of latents of a letter.
 */
export type MeanNumberOfSplitFeatures = number | null;
/**
 * Over letters.
 */
export type StandardDeviationOfAbsorptionFractionScore = number | null;
/**
 * Over letters.
 */
export type StandardDeviationOfFullAbsorptionScore = number | null;
/**
 * Over letters.
 */
export type StandardDeviationOfNumberOfSplitFeatures = number | null;
/**
 * Addition: the fraction as sae-bench 0.6.0 defines it, of at most three absorbing latents aligned with the probe and together carry at least 0.4 of the word's projection.
 */
export type MeanAbsorptionFractionScoreThresholded = number | null;
/**
 * Addition: over letters.
 */
export type StandardDeviationOfAbsorptionFractionScoreThresholded = number | null;
/**
 * Addition: test F1 of the letter probes on the model's activations, which no SAE changes.
 */
export type MeanProbeF1 = number | null;
/**
 * The letter, in lower case.
 */
export type FirstLetter = string;
/**
 * Mean over the letter's words that its probe gets right.
 */
export type MeanAbsorptionFraction = number;
/**
 * Share of those words.
 */
export type RateOfFullAbsorption = number;
/**
 * Words that are fully absorbed, mean over seeds, rounded.
 */
export type NumFullAbsorption = number;
/**
 * Test words that the letter's probe gets right, mean over seeds, rounded.
 */
export type NumProbeTruePositives = number;
/**
 * Latents of the letter, mean over seeds, rounded.
 */
export type NumSplitFeatures = number;
/**
 * Addition: not rounded.
 */
export type NumFullAbsorptionMean = number | null;
/**
 * Addition: not rounded.
 */
export type NumProbeTruePositivesMean = number | null;
/**
 * Addition: not rounded.
 */
export type NumSplitFeaturesMean = number | null;
/**
 * Addition: as sae-bench 0.6.0 defines it.
 */
export type MeanAbsorptionFractionThresholded = number | null;
/**
 * Addition: test F1 of the letter's probe on activations.
 */
export type ProbeF1 = number | null;
/**
 * Addition: its test precision.
 */
export type ProbePrecision = number | null;
/**
 * Addition: its test recall.
 */
export type ProbeRecall = number | null;
/**
 * Addition: words of the letter trained on.
 */
export type NumTrainWords = number | null;
/**
 * Addition: words of the letter tested on.
 */
export type NumTestWords = number | null;
/**
 * One row per letter.
 */
export type PerLetterAbsorptionResults = AbsorptionResultDetail[];
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
export type Mean1 = number;
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
 * How often a letter's own latents stay silent on a word while a latent of that word speaks for the letter.
 *
 * The letters are first letters of the words in the model's vocabulary. Lower absorption is better.
 */
export interface Absorption {
  eval_type_id?: EvalTypeID;
  eval_config: EvalConfigType;
  eval_id: ID;
  datetime_epoch_millis: DateTimeEpochMs;
  eval_result_metrics: ResultMetricsCategorized;
  eval_result_details?: PerLetterAbsorptionResults;
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
  random_seed?: RandomSeed;
  f1_jump_threshold?: F1JumpThreshold;
  max_k_value?: MaxKValue;
  prompt_template?: PromptTemplate;
  prompt_token_pos?: PromptTokenPosition;
  llm_batch_size?: LLMBatchSize;
  llm_dtype?: LLMDataType;
  k_sparse_probe_l1_decay?: KSparseProbeL1Decay;
  k_sparse_probe_batch_size?: KSparseProbeBatchSize;
  k_sparse_probe_num_epochs?: KSparseProbeNumberOfEpochs;
  min_GT_probe_f1?: MinimumLetterProbeF1;
  min_feats_for_eval?: MinimumNumberOfLetters;
  eval_k_sparse_probe_batch_size?: EvalKSparseProbeBatchSize;
  precalc_k_sparse_probe_sae_acts?: PrecalculateSAEActivations;
  max_words?: MaxWords;
  max_icl_examples?: InContextExamples;
  words_per_examples?: WordsPerDrawOfExamples;
  min_words_per_letter?: MinimumWordsPerLetter;
}
/**
 * Headline numbers by category.
 */
export interface ResultMetricsCategorized {
  mean: Mean;
}
/**
 * Means over letters.
 */
export interface Mean {
  mean_absorption_fraction_score?: MeanAbsorptionFractionScore;
  mean_full_absorption_score?: MeanFullAbsorptionScore;
  mean_num_split_features?: MeanNumberOfSplitFeatures;
  std_dev_absorption_fraction_score?: StandardDeviationOfAbsorptionFractionScore;
  std_dev_full_absorption_score?: StandardDeviationOfFullAbsorptionScore;
  std_dev_num_split_features?: StandardDeviationOfNumberOfSplitFeatures;
  mean_absorption_fraction_thresholded_score?: MeanAbsorptionFractionScoreThresholded;
  std_dev_absorption_fraction_thresholded_score?: StandardDeviationOfAbsorptionFractionScoreThresholded;
  mean_probe_f1?: MeanProbeF1;
}
/**
 * One letter: means over the seeds in which it counts.
 *
 * The published counts are whole numbers; theirs are the means rounded to the nearest one (halves to the even one),
 * and the means themselves stand in the fields of the same name that end in `_mean`.
 */
export interface AbsorptionResultDetail {
  first_letter: FirstLetter;
  mean_absorption_fraction: MeanAbsorptionFraction;
  full_absorption_rate: RateOfFullAbsorption;
  num_full_absorption: NumFullAbsorption;
  num_probe_true_positives: NumProbeTruePositives;
  num_split_features: NumSplitFeatures;
  num_full_absorption_mean?: NumFullAbsorptionMean;
  num_probe_true_positives_mean?: NumProbeTruePositivesMean;
  num_split_features_mean?: NumSplitFeaturesMean;
  mean_absorption_fraction_thresholded?: MeanAbsorptionFractionThresholded;
  probe_f1?: ProbeF1;
  probe_precision?: ProbePrecision;
  probe_recall?: ProbeRecall;
  num_train_words?: NumTrainWords;
  num_test_words?: NumTestWords;
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
  mean: Mean1;
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
