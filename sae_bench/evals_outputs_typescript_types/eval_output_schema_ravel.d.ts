/* eslint-disable */
/* Made by json-schema-to-typescript; do not edit.
   eval_output_schema_ravel.json, schema sha256 0f6bf13aed7b0d97be815a7908d813191ec52a9e197d4d906faefec9c2c7cfd0 */
/**
 * Name of the eval.
 */
export type EvalTypeID = string;
/**
 * Entities that are kept: those with the most right completions.
 */
export type NumberOfDistinctEntitiesInTheDataset = number;
/**
 * Templates that are kept: those with the most right completions; null keeps all.
 */
export type NumberOfDistinctTemplatesInTheDataset = number | null;
/**
 * Complete a random sample of so many prompts; null completes every template of every entity.
 */
export type FullDatasetDownsample = number | null;
/**
 * Cause pairs of an attribute at most, and as many isolation pairs of the others.
 */
export type NumberOfPairsPerAttribute = number;
/**
 * Share of the pairs that masks are trained on; the rest is scored.
 */
export type TrainTestSplit = number;
/**
 * Complete the prompts again, even if the completions of this model are there.
 */
export type ForceDatasetRecompute = boolean;
/**
 * Language model; filled in by the run.
 */
export type ModelName = string;
/**
 * dtype of the language model, such as bfloat16; empty chooses by model.
 */
export type LLMDataType = string;
/**
 * Pairs of one training step, which decides the number of steps; null takes those of the published command: 8 for Gemma 2, 128 and 64 for Pythia 70M and 160M, 16 for other models.
 */
export type LLMBatchSize = number;
/**
 * Learning rate of the mask (Adam).
 */
export type LearningRate = number;
/**
 * Passes over the training pairs.
 */
export type NumberOfEpochs = number;
/**
 * Leave the SAE aside and train a rotation of the activation space with a mask over its axes: the supervised skyline. The published command then runs 10 epochs.
 */
export type TrainMDAS = boolean;
/**
 * Tokens of a completion; the RAVEL paper takes 8.
 */
export type NumberOfGeneratedTokens = number;
/**
 * Seed of the prompts that are sampled, and of the pairs where a run names no other seeds.
 */
export type RandomSeed = number;
/**
 * Folder of the completions, which do not depend on the SAE; below the output folder unless absolute.
 */
export type ArtifactDirectory = string;
/**
 * Where entities and templates come from: adamkarvonen/ravel_prompts (RAVEL), a folder with such files, or embedded/cities.
 */
export type DatasetName = string;
/**
 * tokenizer: what the model's tokenizer adds to a text by itself, as published (BOS for Gemma, nothing for Pythia and SmolLM2); always: BOS; never: the text's tokens alone. The BOS rule of the run has no part in it.
 */
export type BOSBeforeAPrompt = "tokenizer" | "always" | "never";
/**
 * UUID of the run that made this result.
 */
export type ID = string;
/**
 * When the result was made, in epoch milliseconds.
 */
export type DateTimeEpochMs = number;
/**
 * Mean of cause and isolation score.
 */
export type DisentanglementScore = number | null;
/**
 * Share of completions that name the source's value of an attribute after the latents that were found for it were taken over from the source. High: these latents carry the attribute.
 */
export type CauseScore = number | null;
/**
 * Share of completions on other attributes that are still right after the same. High: these latents carry nothing else.
 */
export type IsolationScore = number | null;
/**
 * The cause score without pairs that may count without any change: what the model says of the base counts as the source's value, or that value stands in the base's prompt.
 */
export type CauseScoreUnaidedPairs = number | null;
/**
 * The cause score where the answer must name the whole value and no other.
 */
export type CauseScoreStrict = number | null;
/**
 * The isolation score of the same.
 */
export type IsolationScoreStrict = number | null;
/**
 * Mean of the two.
 */
export type DisentanglementScoreStrict = number | null;
/**
 * Class of the entities.
 */
export type EntityClass = string;
/**
 * The attribute whose latents were sought.
 */
export type Attribute = string;
/**
 * Cause score of this attribute.
 */
export type CauseScore1 = number | null;
/**
 * Isolation score of the others.
 */
export type IsolationScore1 = number | null;
/**
 * Mean of the two.
 */
export type DisentanglementScore1 = number | null;
/**
 * Latents (or axes) that the mask takes over from the source.
 */
export type NChosen = number;
/**
 * Pairs that the mask was trained on.
 */
export type NTrainPairs = number;
/**
 * Pairs behind the cause score.
 */
export type NCausePairs = number;
/**
 * Pairs behind the isolation score.
 */
export type NIsolationPairs = number;
/**
 * The cause score when the source's whole activation is taken over, without an SAE: what the place in the model allows.
 */
export type CauseScoreWholeActivation = number | null;
/**
 * The isolation score of the same.
 */
export type IsolationScoreWholeActivation = number | null;
/**
 * The cause score when the mean activation of all entities is put there.
 */
export type CauseScoreMeanActivation = number | null;
/**
 * The isolation score of the same.
 */
export type IsolationScoreMeanActivation = number | null;
/**
 * The cause score of what the model says without any change.
 */
export type CauseScoreNoIntervention = number | null;
/**
 * The cause score without pairs that may count without any change.
 */
export type CauseScoreUnaidedPairs1 = number | null;
/**
 * The cause score where the answer must name the whole value and no other.
 */
export type CauseScoreStrict1 = number | null;
/**
 * The isolation score of the same.
 */
export type IsolationScoreStrict1 = number | null;
/**
 * Cause pairs that may count without any change.
 */
export type NAidedPairs = number | null;
/**
 * Steps in which the mask was trained.
 */
export type NTrainSteps = number | null;
/**
 * One row per entity class and attribute.
 */
export type PerAttributeResults = RAVELResultDetail[];
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
 * How well an SAE's latents change one attribute of an entity in the model's output and leave the others alone.
 *
 * Of the facts of the RAVEL data set those are used that the model knows. A mask over latents is trained for each
 * attribute, and scored by activation patching between entities.
 */
export interface RAVEL {
  eval_type_id?: EvalTypeID;
  eval_config: EvalConfigType;
  eval_id: ID;
  datetime_epoch_millis: DateTimeEpochMs;
  eval_result_metrics: ResultMetricsCategorized;
  eval_result_details?: PerAttributeResults;
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
  entity_attribute_selection?: SelectionOfEntityAndAttributeClasses;
  top_n_entities?: NumberOfDistinctEntitiesInTheDataset;
  top_n_templates?: NumberOfDistinctTemplatesInTheDataset;
  full_dataset_downsample?: FullDatasetDownsample;
  num_pairs_per_attribute?: NumberOfPairsPerAttribute;
  train_test_split?: TrainTestSplit;
  force_dataset_recompute?: ForceDatasetRecompute;
  model_name?: ModelName;
  llm_dtype?: LLMDataType;
  llm_batch_size?: LLMBatchSize;
  learning_rate?: LearningRate;
  num_epochs?: NumberOfEpochs;
  train_mdas?: TrainMDAS;
  n_generated_tokens?: NumberOfGeneratedTokens;
  random_seed?: RandomSeed;
  artifact_dir?: ArtifactDirectory;
  dataset_name?: DatasetName;
  prompt_bos?: BOSBeforeAPrompt;
}
/**
 * Entity class -> at least two of its attributes; as a flag, JSON text.
 */
export interface SelectionOfEntityAndAttributeClasses {
  [k: string]: string[];
}
/**
 * Headline numbers by category.
 */
export interface ResultMetricsCategorized {
  ravel: RAVEL1;
}
/**
 * How well attributes are told apart.
 */
export interface RAVEL1 {
  disentanglement_score?: DisentanglementScore;
  cause_score?: CauseScore;
  isolation_score?: IsolationScore;
  unaided_cause_score?: CauseScoreUnaidedPairs;
  strict_cause_score?: CauseScoreStrict;
  strict_isolation_score?: IsolationScoreStrict;
  strict_disentanglement_score?: DisentanglementScoreStrict;
}
/**
 * One attribute of one entity class, means over seeds.
 */
export interface RAVELResultDetail {
  entity_class: EntityClass;
  attribute: Attribute;
  cause_score: CauseScore1;
  isolation_score: IsolationScore1;
  disentanglement_score: DisentanglementScore1;
  n_chosen: NChosen;
  n_train_pairs: NTrainPairs;
  n_cause_pairs: NCausePairs;
  n_isolation_pairs: NIsolationPairs;
  patched_cause_score: CauseScoreWholeActivation;
  patched_isolation_score: IsolationScoreWholeActivation;
  mean_activation_cause_score?: CauseScoreMeanActivation;
  mean_activation_isolation_score?: IsolationScoreMeanActivation;
  untouched_cause_score?: CauseScoreNoIntervention;
  unaided_cause_score?: CauseScoreUnaidedPairs1;
  strict_cause_score?: CauseScoreStrict1;
  strict_isolation_score?: IsolationScoreStrict1;
  n_aided_pairs?: NAidedPairs;
  n_train_steps?: NTrainSteps;
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
