/* eslint-disable */
/* Made by json-schema-to-typescript; do not edit.
   eval_output_schema_unlearning.json, schema sha256 9faac7c3ae068350fa2444868418a2be16d636a516c3e52977825e24748dff76 */
/**
 * Name of the eval.
 */
export type EvalTypeID = string;
/**
 * Seed of the forget texts and questions that are sampled, and of the halves of the held-out score.
 */
export type RandomSeed = number;
/**
 * Sets of multiple-choice questions: wmdp-bio, subjects of MMLU, embedded/geography, embedded/everyday, or the path of a file. forget_dataset is to be unlearned, the others are to be kept.
 *
 * @minItems 2
 */
export type DatasetNames = [string, string, ...string[]];
/**
 * How latents are changed: where one is active it is set to minus the multiplier.
 */
export type InterventionMethod = "clamp_feature_activation";
/**
 * A latent that is active on this share of the retain tokens or more is not clamped.
 *
 * @minItems 1
 */
export type RetainThresholds = [number, ...number[]];
/**
 * How many latents are clamped: those active on most forget tokens.
 *
 * @minItems 1
 */
export type NFeaturesList = [number, ...number[]];
/**
 * Active latents of the selection are set to minus this value.
 *
 * @minItems 1
 */
export type Multipliers = [number, ...number[]];
/**
 * Largest number of forget documents, and of packed rows of each corpus, that sparsities are measured on.
 */
export type DatasetSize = number;
/**
 * Tokens of a packed row of the corpora.
 */
export type SequenceLength = number;
/**
 * Kept for published configurations; has no effect, there as here.
 */
export type NBatchLossAdded = number;
/**
 * Which known questions are asked: all (correct), those that the model does not answer right without seeing the question (correct-iff-question), or those without choices such as 'A and B' (correct-no-tricks).
 */
export type TargetMetric = "correct" | "correct-iff-question" | "correct-no-tricks";
/**
 * Kept for published configurations; the result file always holds the accuracies of every setting.
 */
export type SaveMetricsFlag = boolean;
/**
 * Language model; filled in by the run.
 */
export type ModelName = string;
/**
 * Rows of a corpus, and half the number of questions, that the language model reads at once; null chooses by device.
 */
export type LLMBatchSize = number;
/**
 * dtype of the language model, such as bfloat16; empty chooses by model.
 */
export type LLMDataType = string;
/**
 * The one of dataset_names that is to be unlearned.
 */
export type ForgetDataset = string;
/**
 * Sets of dataset_names that count neither as forgotten nor as side effects, being of one topic with the forget set.
 */
export type NotSideEffects = string[];
/**
 * Texts on the topic to be unlearned: bio-forget-corpus (gated), embedded/geography, a known corpus, or the path of a file with a column text.
 */
export type ForgetCorpus = string;
/**
 * Texts on everything else: wikitext (WikiText-2 raw, test split), a known corpus, or a path.
 */
export type RetainCorpus = string;
/**
 * letters: choices are listed and the model names a letter, as published; cloze: the choice with the highest mean log-likelihood per token after the question, for models too small to name letters.
 */
export type AnswerFormat = "letters" | "cloze";
/**
 * chat: the tokenizer's chat template; plain: the bare text; auto: chat for letters where there is a template, plain for cloze.
 */
export type PromptFormat = "auto" | "chat" | "plain";
/**
 * In how many of the 24 orders of its choices the model must answer a question right, the given order among them, for it to count as known. No effect on cloze, which has no order.
 */
export type RequiredCorrect = number;
/**
 * A setting counts if at least this share of the questions to be kept is still answered right.
 */
export type SideEffectThreshold = number;
/**
 * Fewer known questions than this, to be forgotten or to be kept, are an error.
 */
export type MinimalKnownQuestions = number;
/**
 * Take a random sample of so many questions of each set; null takes all.
 */
export type MaximalQuestions = number | null;
/**
 * UUID of the run that made this result.
 */
export type ID = string;
/**
 * When the result was made, in epoch milliseconds.
 */
export type DateTimeEpochMs = number;
/**
 * 1 - lowest accuracy on the questions to be forgotten, over the settings that keep the accuracy on all others at the side-effect threshold (0.99) or above; 0 if none does (Farrell et al. 2024).
 */
export type UnlearningScore = number;
/**
 * The same with the setting chosen on one random half of the forget questions and scored on the other, both ways, mean over seeds: free of the gain from choosing on the questions that are scored.
 */
export type UnlearningScoreHeldOut = number | null;
/**
 * Limit of the activity on retain tokens.
 */
export type RetainThreshold = number;
/**
 * How many latents were to be clamped.
 */
export type NFeatures = number;
/**
 * Active latents were set to minus this value.
 */
export type Multiplier = number;
/**
 * How many latents were clamped: fewer where fewer are active on forget tokens.
 */
export type NClamped = number;
/**
 * Share of the questions to be forgotten that are still answered right.
 */
export type ForgetAccuracy = number;
/**
 * Share of the questions to be kept that are still answered right.
 */
export type SideEffectAccuracy = number;
/**
 * Whether the side-effect accuracy reaches the threshold, so that the setting counts.
 */
export type Counts = boolean;
/**
 * One row per retain threshold, number of latents and multiplier.
 */
export type PerSettingResults = UnlearningResultDetail[];
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
 * How well a topic can be unlearned by clamping the SAE's latents for it, without touching other knowledge.
 *
 * Latents that are active on texts of the topic and quiet on others are clamped to negative values while the model
 * answers multiple-choice questions that it knows.
 */
export interface Unlearning {
  eval_type_id?: EvalTypeID;
  eval_config: EvalConfigType;
  eval_id: ID;
  datetime_epoch_millis: DateTimeEpochMs;
  eval_result_metrics: ResultMetricsCategorized;
  eval_result_details?: PerSettingResults;
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
  intervention_method?: InterventionMethod;
  retain_thresholds?: RetainThresholds;
  n_features_list?: NFeaturesList;
  multipliers?: Multipliers;
  dataset_size?: DatasetSize;
  seq_len?: SequenceLength;
  n_batch_loss_added?: NBatchLossAdded;
  target_metric?: TargetMetric;
  save_metrics?: SaveMetricsFlag;
  model_name?: ModelName;
  llm_batch_size?: LLMBatchSize;
  llm_dtype?: LLMDataType;
  forget_dataset?: ForgetDataset;
  not_side_effects?: NotSideEffects;
  forget_corpus?: ForgetCorpus;
  retain_corpus?: RetainCorpus;
  answer_format?: AnswerFormat;
  prompt_format?: PromptFormat;
  required_correct?: RequiredCorrect;
  side_effect_threshold?: SideEffectThreshold;
  min_known_questions?: MinimalKnownQuestions;
  max_questions?: MaximalQuestions;
}
/**
 * Headline numbers by category.
 */
export interface ResultMetricsCategorized {
  unlearning: Unlearning1;
}
/**
 * How much of the topic is forgotten.
 */
export interface Unlearning1 {
  unlearning_score: UnlearningScore;
  unlearning_score_held_out?: UnlearningScoreHeldOut;
}
/**
 * Accuracies under one setting.
 */
export interface UnlearningResultDetail {
  retain_threshold: RetainThreshold;
  n_features: NFeatures;
  multiplier: Multiplier;
  n_clamped: NClamped;
  forget_accuracy: ForgetAccuracy;
  side_effect_accuracy: SideEffectAccuracy;
  counts: Counts;
  accuracies: Accuracies;
}
/**
 * Data set -> accuracy on its known questions.
 */
export interface Accuracies {
  [k: string]: number;
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
