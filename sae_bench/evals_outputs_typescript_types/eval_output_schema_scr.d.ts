/* eslint-disable */
/* Made by json-schema-to-typescript; do not edit.
   eval_output_schema_scr.json, schema sha256 863aa56965f810743558786d77abd9fa3b1f189ed12507f044e2e781abcd8cfc */
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
 * Always true here; tpp is the eval of the other value.
 */
export type PerformSpuriousCorrelationRemoval = true;
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
 * Which texts of each quadrant are read: 'first', in the order of the source, as published, or 'drawn' with random_seed, which --resample-data does for every seed.
 */
export type TextChoice = "first" | "drawn";
/**
 * UUID of the run that made this result.
 */
export type ID = string;
/**
 * When the result was made, in epoch milliseconds.
 */
export type DateTimeEpochMs = number;
/**
 * Top 2 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top2SAELatents = number | null;
/**
 * Top 2 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop2SAELatents = number | null;
/**
 * Top 2 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top2SAELatents = number | null;
/**
 * Top 5 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top5SAELatents = number | null;
/**
 * Top 5 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop5SAELatents = number | null;
/**
 * Top 5 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top5SAELatents = number | null;
/**
 * Top 10 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top10SAELatents = number | null;
/**
 * Top 10 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop10SAELatents = number | null;
/**
 * Top 10 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top10SAELatents = number | null;
/**
 * Top 20 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top20SAELatents = number | null;
/**
 * Top 20 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop20SAELatents = number | null;
/**
 * Top 20 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top20SAELatents = number | null;
/**
 * Top 50 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top50SAELatents = number | null;
/**
 * Top 50 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop50SAELatents = number | null;
/**
 * Top 50 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top50SAELatents = number | null;
/**
 * Top 100 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top100SAELatents = number | null;
/**
 * Top 100 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop100SAELatents = number | null;
/**
 * Top 100 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top100SAELatents = number | null;
/**
 * Top 500 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top500SAELatents = number | null;
/**
 * Top 500 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop500SAELatents = number | null;
/**
 * Top 500 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top500SAELatents = number | null;
/**
 * `<data set>_scr_<class>_<class>_results`.
 */
export type DatasetName = string;
/**
 * Top 2 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top2SAELatents1 = number | null;
/**
 * Top 2 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop2SAELatents1 = number | null;
/**
 * Top 2 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top2SAELatents1 = number | null;
/**
 * Top 5 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top5SAELatents1 = number | null;
/**
 * Top 5 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop5SAELatents1 = number | null;
/**
 * Top 5 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top5SAELatents1 = number | null;
/**
 * Top 10 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top10SAELatents1 = number | null;
/**
 * Top 10 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop10SAELatents1 = number | null;
/**
 * Top 10 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top10SAELatents1 = number | null;
/**
 * Top 20 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top20SAELatents1 = number | null;
/**
 * Top 20 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop20SAELatents1 = number | null;
/**
 * Top 20 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top20SAELatents1 = number | null;
/**
 * Top 50 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top50SAELatents1 = number | null;
/**
 * Top 50 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop50SAELatents1 = number | null;
/**
 * Top 50 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top50SAELatents1 = number | null;
/**
 * Top 100 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top100SAELatents1 = number | null;
/**
 * Top 100 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop100SAELatents1 = number | null;
/**
 * Top 100 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top100SAELatents1 = number | null;
/**
 * Top 500 latents ablated: latents of the second attribute (gender) are ablated to recover accuracy on the class.
 */
export type SCRDir1Top500SAELatents1 = number | null;
/**
 * Top 500 latents ablated: direction 1 where the biased probe knows the class (profession) less well than the second attribute, else direction 2.
 */
export type SCRMetricTop500SAELatents1 = number | null;
/**
 * Top 500 latents ablated: latents of the class (profession) are ablated to recover accuracy on the second attribute.
 */
export type SCRDir2Top500SAELatents1 = number | null;
/**
 * Accuracy of an unbiased probe on the class.
 */
export type Dir1Clean = number | null;
/**
 * The biased probe's accuracy on the class.
 */
export type Dir1Original = number | null;
/**
 * Clean less original accuracy.
 */
export type Dir1Denominator = number | null;
/**
 * Whether the denominator is under 0.05 in some seed.
 */
export type Dir1Unstable = boolean | null;
/**
 * Accuracy of an unbiased probe on the second attribute.
 */
export type Dir2Clean = number | null;
/**
 * The biased probe's accuracy on the second attribute.
 */
export type Dir2Original = number | null;
/**
 * Clean less original accuracy.
 */
export type Dir2Denominator = number | null;
/**
 * Whether the denominator is under 0.05 in some seed.
 */
export type Dir2Unstable = boolean | null;
/**
 * One row of scores per data set and pair of classes.
 */
export type PerDatasetSpuriousCorrelationRemovalSCRResults = ScrResultDetail[];
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
 * How well ablating few latents frees a biased probe from a spurious correlation.
 *
 * A probe is trained where class and second attribute always occur together (male professors, female nurses); the
 * latents of one of the two are ablated, and the score is the recovered share of the accuracy that the bias cost.
 * From "Evaluating Sparse Autoencoders on Targeted Concept Removal Tasks" (Karvonen et al. 2024).
 */
export interface SCR {
  eval_type_id?: EvalTypeID;
  eval_config: EvalConfigType;
  eval_id: ID;
  datetime_epoch_millis: DateTimeEpochMs;
  eval_result_metrics: ResultMetricsCategorized;
  eval_result_details?: PerDatasetSpuriousCorrelationRemovalSCRResults;
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
  text_choice?: TextChoice;
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
  scr_metrics: SCRMetrics;
}
/**
 * Share of the accuracy lost to a spurious correlation that ablating N latents recovers, and the same for both directions.
 */
export interface SCRMetrics {
  scr_dir1_threshold_2?: SCRDir1Top2SAELatents;
  scr_metric_threshold_2?: SCRMetricTop2SAELatents;
  scr_dir2_threshold_2?: SCRDir2Top2SAELatents;
  scr_dir1_threshold_5?: SCRDir1Top5SAELatents;
  scr_metric_threshold_5?: SCRMetricTop5SAELatents;
  scr_dir2_threshold_5?: SCRDir2Top5SAELatents;
  scr_dir1_threshold_10?: SCRDir1Top10SAELatents;
  scr_metric_threshold_10?: SCRMetricTop10SAELatents;
  scr_dir2_threshold_10?: SCRDir2Top10SAELatents;
  scr_dir1_threshold_20?: SCRDir1Top20SAELatents;
  scr_metric_threshold_20?: SCRMetricTop20SAELatents;
  scr_dir2_threshold_20?: SCRDir2Top20SAELatents;
  scr_dir1_threshold_50?: SCRDir1Top50SAELatents;
  scr_metric_threshold_50?: SCRMetricTop50SAELatents;
  scr_dir2_threshold_50?: SCRDir2Top50SAELatents;
  scr_dir1_threshold_100?: SCRDir1Top100SAELatents;
  scr_metric_threshold_100?: SCRMetricTop100SAELatents;
  scr_dir2_threshold_100?: SCRDir2Top100SAELatents;
  scr_dir1_threshold_500?: SCRDir1Top500SAELatents;
  scr_metric_threshold_500?: SCRMetricTop500SAELatents;
  scr_dir2_threshold_500?: SCRDir2Top500SAELatents;
  [k: string]:
    | number
    | null
    | SCRDir1Top2SAELatents
    | SCRMetricTop2SAELatents
    | SCRDir2Top2SAELatents
    | SCRDir1Top5SAELatents
    | SCRMetricTop5SAELatents
    | SCRDir2Top5SAELatents
    | SCRDir1Top10SAELatents
    | SCRMetricTop10SAELatents
    | SCRDir2Top10SAELatents
    | SCRDir1Top20SAELatents
    | SCRMetricTop20SAELatents
    | SCRDir2Top20SAELatents
    | SCRDir1Top50SAELatents
    | SCRMetricTop50SAELatents
    | SCRDir2Top50SAELatents
    | SCRDir1Top100SAELatents
    | SCRMetricTop100SAELatents
    | SCRDir2Top100SAELatents
    | SCRDir1Top500SAELatents
    | SCRMetricTop500SAELatents
    | SCRDir2Top500SAELatents
    | undefined;
}
/**
 * Scores of one pair of classes, and the accuracies that they are ratios of: means over seeds.
 */
export interface ScrResultDetail {
  dataset_name: DatasetName;
  scr_dir1_threshold_2?: SCRDir1Top2SAELatents1;
  scr_metric_threshold_2?: SCRMetricTop2SAELatents1;
  scr_dir2_threshold_2?: SCRDir2Top2SAELatents1;
  scr_dir1_threshold_5?: SCRDir1Top5SAELatents1;
  scr_metric_threshold_5?: SCRMetricTop5SAELatents1;
  scr_dir2_threshold_5?: SCRDir2Top5SAELatents1;
  scr_dir1_threshold_10?: SCRDir1Top10SAELatents1;
  scr_metric_threshold_10?: SCRMetricTop10SAELatents1;
  scr_dir2_threshold_10?: SCRDir2Top10SAELatents1;
  scr_dir1_threshold_20?: SCRDir1Top20SAELatents1;
  scr_metric_threshold_20?: SCRMetricTop20SAELatents1;
  scr_dir2_threshold_20?: SCRDir2Top20SAELatents1;
  scr_dir1_threshold_50?: SCRDir1Top50SAELatents1;
  scr_metric_threshold_50?: SCRMetricTop50SAELatents1;
  scr_dir2_threshold_50?: SCRDir2Top50SAELatents1;
  scr_dir1_threshold_100?: SCRDir1Top100SAELatents1;
  scr_metric_threshold_100?: SCRMetricTop100SAELatents1;
  scr_dir2_threshold_100?: SCRDir2Top100SAELatents1;
  scr_dir1_threshold_500?: SCRDir1Top500SAELatents1;
  scr_metric_threshold_500?: SCRMetricTop500SAELatents1;
  scr_dir2_threshold_500?: SCRDir2Top500SAELatents1;
  scr_dir1_clean_accuracy?: Dir1Clean;
  scr_dir1_original_accuracy?: Dir1Original;
  scr_dir1_denominator?: Dir1Denominator;
  scr_dir1_small_denominator?: Dir1Unstable;
  scr_dir2_clean_accuracy?: Dir2Clean;
  scr_dir2_original_accuracy?: Dir2Original;
  scr_dir2_denominator?: Dir2Denominator;
  scr_dir2_small_denominator?: Dir2Unstable;
  [k: string]:
    | number
    | null
    | DatasetName
    | SCRDir1Top2SAELatents1
    | SCRMetricTop2SAELatents1
    | SCRDir2Top2SAELatents1
    | SCRDir1Top5SAELatents1
    | SCRMetricTop5SAELatents1
    | SCRDir2Top5SAELatents1
    | SCRDir1Top10SAELatents1
    | SCRMetricTop10SAELatents1
    | SCRDir2Top10SAELatents1
    | SCRDir1Top20SAELatents1
    | SCRMetricTop20SAELatents1
    | SCRDir2Top20SAELatents1
    | SCRDir1Top50SAELatents1
    | SCRMetricTop50SAELatents1
    | SCRDir2Top50SAELatents1
    | SCRDir1Top100SAELatents1
    | SCRMetricTop100SAELatents1
    | SCRDir2Top100SAELatents1
    | SCRDir1Top500SAELatents1
    | SCRMetricTop500SAELatents1
    | SCRDir2Top500SAELatents1
    | Dir1Clean
    | Dir1Original
    | Dir1Denominator
    | Dir1Unstable
    | Dir2Clean
    | Dir2Original
    | Dir2Denominator
    | Dir2Unstable
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
