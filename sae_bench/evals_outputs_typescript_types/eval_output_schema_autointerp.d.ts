/* eslint-disable */
/* Made by json-schema-to-typescript; do not edit.
   eval_output_schema_autointerp.json, schema sha256 8d7d1cbe90e796243952501567517f292e27677e2e445ec1f3700e357838bb73 */
/**
 * Name of the eval.
 */
export type EvalTypeID = string;
/**
 * Language model; filled in by the run.
 */
export type ModelName = string;
/**
 * How many live latents are drawn; all of them where there are fewer.
 */
export type NumberOfLatents = number | null;
/**
 * Take these latents, live or not, instead of drawing n_latents.
 */
export type OverrideLatents = [number, ...number[]] | null;
/**
 * A latent is live if it is active on more tokens than this, counted per total_tokens tokens.
 */
export type DeadLatentThreshold = number;
/**
 * Seed that draws the latents, and everything else where a run names no other seeds.
 */
export type RandomSeed = number;
/**
 * Corpus that examples come from.
 */
export type DatasetName = string;
/**
 * Tokens of a packed row of the corpus.
 */
export type LLMContextSize = number;
/**
 * Rows read at once; null chooses by size of a row.
 */
export type LLMBatchSize = number;
/**
 * dtype of the language model, such as bfloat16; empty chooses by model.
 */
export type LLMDataType = string;
/**
 * Tokens shown on either side of the token that an example is about.
 */
export type BufferSize = number;
/**
 * No two top examples within `buffer` tokens of one another in the same row.
 */
export type NoOverlap = boolean;
/**
 * A token counts as active above this share of the largest activation in the top examples.
 */
export type ActivationThresholdFraction = number;
/**
 * Tokens of the corpus that are read.
 */
export type TotalTokens = number;
/**
 * Whether explanations are scored, or only asked for.
 */
export type Scoring = boolean;
/**
 * Most tokens that the judge may use for an explanation.
 */
export type MaxTokensInExplanation = number;
/**
 * Whether the request for an explanation shows a few explanations.
 */
export type UseDemosInExplanation = boolean;
/**
 * Examples of highest activation that an explanation is made from.
 */
export type NumberOfTopExamplesForGeneration = number;
/**
 * Further examples for it, drawn below the top ones in proportion to the squared activation.
 */
export type NumberOfIWSampledExamplesForGeneration = number;
/**
 * Examples of highest activation, others than those explained, among those to be told apart.
 */
export type NumberOfTopExamplesForScoring = number;
/**
 * Windows from anywhere in the corpus among those to be told apart.
 */
export type NumberOfRandomExamplesForScoring = number;
/**
 * Further activating examples, drawn as above, among those to be told apart.
 */
export type NumberOfIWSampledExamplesForScoring = number;
/**
 * Ask the judge about at most this many of the latents; null asks about all. The judge-free score always takes all.
 */
export type MaxJudgedLatents = number | null;
/**
 * Sentence embeddings of the judge-free score: minilm (all-MiniLM-L6-v2 from a package) or none.
 */
export type Embeddings = "minilm" | "none";
/**
 * openai: any endpoint that speaks OpenAI's chat completions; local: a Hugging Face model in this process; none: only the judge-free score.
 */
export type Judge = "openai" | "local" | "none";
/**
 * The judge's model; null is gpt-4o-mini at an endpoint (as published), and locally the language model that the SAEs belong to.
 */
export type JudgeModel = string | null;
/**
 * Where the endpoint is, such as http://localhost:8000/v1; null takes OPENAI_BASE_URL, else OpenAI. User, password and query are used and written nowhere.
 */
export type JudgeBaseURL = string | null;
/**
 * list: the judge names the activating pieces of text, as published; logprob: it is asked yes or no about each piece, and the area under the ROC curve of its log-odds is the score (no list to parse, so small models can do it).
 */
export type JudgeScoring = "list" | "logprob";
/**
 * Tokens beyond the published limits of a reply, for judges that think before they answer.
 */
export type JudgeReasoningTokens = number;
/**
 * Temperature that the endpoint is asked for; null leaves it to the endpoint, as published. A local judge always takes the likeliest token.
 */
export type JudgeTemperature = number | null;
/**
 * Questions that an endpoint is asked at a time.
 */
export type JudgeConcurrency = number;
/**
 * Rate limit of the endpoint; null is none.
 */
export type JudgeRequestsPerMinute = number | null;
/**
 * Rate limit of the endpoint in tokens, in and out; null is none.
 */
export type JudgeTokensPerMinute = number | null;
/**
 * Seconds that one request may take.
 */
export type JudgeTimeout = number;
/**
 * How often a request is repeated that met a rate limit, an error of the server or a broken connection; the pause grows each time.
 */
export type JudgeMaxRetries = number;
/**
 * Folder that keeps every reply, so that no question is paid for twice; null is sae_bench/judge in the user's cache folder.
 */
export type JudgeCache = string | null;
/**
 * UUID of the run that made this result.
 */
export type ID = string;
/**
 * When the result was made, in epoch milliseconds.
 */
export type DateTimeEpochMs = number;
/**
 * Share of the examples that the judge, given only the explanation, rightly calls activating or not; random windows count as not activating, as published.
 */
export type AutoInterpScore = number | null;
/**
 * Standard deviation of the score over latents.
 */
export type AutoInterpStandardDeviation = number | null;
/**
 * What a judge gets that reads nothing and calls no example activating.
 */
export type AutoInterpScoreOfAnsweringNone = number | null;
/**
 * What a judge gets that reads nothing and names at random as many examples as are activating.
 */
export type AutoInterpScoreOfGuessing = number | null;
/**
 * Mean of the shares of activating and of other examples that the judge has right: 0.5 for every answer that reads nothing.
 */
export type BalancedAccuracy = number | null;
/**
 * The score with random windows on which the latent is active counted as activating.
 */
export type AutoInterpScoreByActivation = number | null;
/**
 * With judge_scoring: logprob. Area under the ROC curve of the judge's log-odds that the explained latent is active in a piece of text: activating windows against random ones on which it is not active.
 */
export type LogProbabilityAUC = number | null;
/**
 * Its standard deviation over latents.
 */
export type LogProbabilityAUCStandardDeviation = number | null;
/**
 * Share of the random windows on which the latent is active: where it is high, the two scores part.
 */
export type RandomActiveShare = number | null;
/**
 * Judge-free: area under the ROC curve of telling activating windows from others by the mean cosine of their sentence embedding to those of the windows that explanations are made from. None of these shares tokens with those to be told apart, and the others are windows on which the latent is not active.
 */
export type EmbeddingScore = number | null;
/**
 * The embedding score with the explanation's windows of another latent of the SAE: what the score is where they say nothing of the latent.
 */
export type EmbeddingFloor = number | null;
/**
 * Its standard deviation over latents.
 */
export type EmbeddingStandardDeviation = number | null;
/**
 * Latents active on more tokens than the threshold.
 */
export type LiveLatents = number | null;
/**
 * Latents drawn or named.
 */
export type ChosenLatents = number;
/**
 * Chosen latents with activations enough for examples.
 */
export type LatentsWithExamples = number;
/**
 * Of these, how many have an embedding score.
 */
export type LatentsWithAnEmbeddingScore = number;
/**
 * Pairs of latent and seed that the judge was asked about.
 */
export type Judged = number;
/**
 * Of these, how many got a reply that is no answer: no list of numbers of the examples, cut off, no explanation. They are left out of the score.
 */
export type Unreadable = number;
/**
 * Of these, how many got no answer: an empty reply, a refusal, a content filter, a question that is not taken. They are left out of the score.
 */
export type Unanswered = number;
/**
 * Tokens of all questions.
 */
export type JudgeTokensIn = number;
/**
 * Tokens of all replies.
 */
export type JudgeTokensOut = number;
/**
 * Tokens beyond these, in and out, with other latents' explanations.
 */
export type JudgeTokensForTheFloor = number;
/**
 * Index of the latent.
 */
export type LatentIndex = number;
/**
 * Share of the tokens on which it is active.
 */
export type Density = number;
/**
 * The first seed's explanation.
 */
export type Explanation = string | null;
/**
 * Its autointerp score.
 */
export type Score = number | null;
/**
 * Its area under the ROC curve of the judge's log-odds.
 */
export type LogProbabilityAUC1 = number | null;
/**
 * Its judge-free score.
 */
export type EmbeddingScore1 = number | null;
/**
 * The same with another latent's windows.
 */
export type EmbeddingFloor1 = number | null;
/**
 * Why it has no examples or no score.
 */
export type Reason = string | null;
/**
 * One row per chosen latent.
 */
export type PerLatentResults = AutoInterpResultDetail[];
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
export type Reason1 = string | null;
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
export type Reason2 = string | null;
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
export type Reason3 = string | null;

/**
 * Whether a language model that explains a latent from examples can tell where the latent is active.
 *
 * After EleutherAI's detection scoring (Paulo et al. 2024, "Automatically Interpreting Millions of Features").
 */
export interface AutoInterp {
  eval_type_id?: EvalTypeID;
  eval_config: EvalConfigType;
  eval_id: ID;
  datetime_epoch_millis: DateTimeEpochMs;
  eval_result_metrics: ResultMetricsCategorized;
  eval_result_details?: PerLatentResults;
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
  n_latents?: NumberOfLatents;
  override_latents?: OverrideLatents;
  dead_latent_threshold?: DeadLatentThreshold;
  random_seed?: RandomSeed;
  dataset_name?: DatasetName;
  llm_context_size?: LLMContextSize;
  llm_batch_size?: LLMBatchSize;
  llm_dtype?: LLMDataType;
  buffer?: BufferSize;
  no_overlap?: NoOverlap;
  act_threshold_frac?: ActivationThresholdFraction;
  total_tokens?: TotalTokens;
  scoring?: Scoring;
  max_tokens_in_explanation?: MaxTokensInExplanation;
  use_demos_in_explanation?: UseDemosInExplanation;
  n_top_ex_for_generation?: NumberOfTopExamplesForGeneration;
  n_iw_sampled_ex_for_generation?: NumberOfIWSampledExamplesForGeneration;
  n_top_ex_for_scoring?: NumberOfTopExamplesForScoring;
  n_random_ex_for_scoring?: NumberOfRandomExamplesForScoring;
  n_iw_sampled_ex_for_scoring?: NumberOfIWSampledExamplesForScoring;
  max_judged_latents?: MaxJudgedLatents;
  embeddings?: Embeddings;
  judge?: Judge;
  judge_model?: JudgeModel;
  judge_base_url?: JudgeBaseURL;
  judge_scoring?: JudgeScoring;
  judge_reasoning_tokens?: JudgeReasoningTokens;
  judge_temperature?: JudgeTemperature;
  judge_concurrency?: JudgeConcurrency;
  judge_requests_per_minute?: JudgeRequestsPerMinute;
  judge_tokens_per_minute?: JudgeTokensPerMinute;
  judge_timeout?: JudgeTimeout;
  judge_max_retries?: JudgeMaxRetries;
  judge_cache?: JudgeCache;
}
/**
 * Headline numbers by category.
 */
export interface ResultMetricsCategorized {
  autointerp: AutoInterp1;
}
/**
 * How well latents can be explained.
 */
export interface AutoInterp1 {
  autointerp_score?: AutoInterpScore;
  autointerp_std_dev?: AutoInterpStandardDeviation;
  autointerp_chance_score?: AutoInterpScoreOfAnsweringNone;
  autointerp_guessing_score?: AutoInterpScoreOfGuessing;
  balanced_accuracy?: BalancedAccuracy;
  autointerp_score_by_activation?: AutoInterpScoreByActivation;
  logprob_auc?: LogProbabilityAUC;
  logprob_auc_std_dev?: LogProbabilityAUCStandardDeviation;
  random_active_share?: RandomActiveShare;
  embedding_score?: EmbeddingScore;
  embedding_floor?: EmbeddingFloor;
  embedding_std_dev?: EmbeddingStandardDeviation;
  n_live_latents?: LiveLatents;
  n_chosen_latents?: ChosenLatents;
  n_latents_with_examples?: LatentsWithExamples;
  n_embedding_scored?: LatentsWithAnEmbeddingScore;
  n_judged?: Judged;
  n_unreadable?: Unreadable;
  n_unanswered?: Unanswered;
  judge_tokens_in?: JudgeTokensIn;
  judge_tokens_out?: JudgeTokensOut;
  judge_tokens_for_floor?: JudgeTokensForTheFloor;
}
/**
 * One latent, means over seeds.
 */
export interface AutoInterpResultDetail {
  index: LatentIndex;
  density: Density;
  explanation?: Explanation;
  score?: Score;
  logprob_auc?: LogProbabilityAUC1;
  embedding_score?: EmbeddingScore1;
  embedding_floor?: EmbeddingFloor1;
  reason?: Reason;
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
  reason?: Reason1;
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
  reason?: Reason2;
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
  reason?: Reason3;
  [k: string]: unknown;
}
/**
 * A metric relative to what stands beside it, with its interval.
 */
export interface RelativeValue1 {
  value?: Value1;
  ci_low?: CiLow2;
  ci_high?: CiHigh2;
  reason?: Reason3;
  [k: string]: unknown;
}
/**
 * Field that holds null -> why.
 */
export interface NotComputed {
  [k: string]: string;
}
