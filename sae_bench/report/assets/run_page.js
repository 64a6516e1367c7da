/* What the results were made with, what they cost and what went wrong. */
(() => {
  const { h, data } = Report;

  Report.renderRun = () => {
    Report.fill(document.getElementById("page-run"), data.run.sources.map(validityCard), data.run.sources.map(consistencyCard), data.run.sources.map(sourceCard), evalsCard(), readingCard());
  };

  const counted = (list, total) => list.map((entry) => entry.value.join(": ") + (entry.n === total || list.length === 1 ? "" : ` (${entry.n} results)`)).join("; ");
  const rows = (pairs) => h("div", { class: "scroll-x" }, h("table", { class: "plain facts" }, h("tbody", {}, pairs.filter(([, v]) => v && v.length).map(([k, v]) => h("tr", {}, h("th", { scope: "row" }, k), h("td", {}, v))))));

  const known = (value) => (value === null ? "" : typeof value === "number" ? Report.num(value) : value);
  const grid = (head, body) => h("div", { class: "scroll-x" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, head.map((t) => h("th", { scope: "col" }, t)))), h("tbody", {}, body)));

  /** What `sae-bench validate` found of each metric. */
  function validityCard(source) {
    if (!source.validity.length) return null;
    const head = ["Eval", "Metric", "Verdict", "Why", "CV", "Tells apart", "Nulls beaten", "Rungs in order", "Above floor", "With MCC"];
    const several = new Set(source.validity.map((m) => m.group.split(" · ").slice(1).join())).size > 1;
    const body = source.validity.map((m) => h("tr", { class: m.verdict === "not valid here" ? "warn" : "", "data-verdict": m.verdict },
      h("td", {}, m.eval, several ? h("div", { class: "small" }, m.group) : null), h("td", {}, m.title), h("td", {}, m.verdict), h("td", { class: "small" }, m.sentence),
      [m.cv, m.detectable, m.nulls, m.ladders, m.floor, m.mcc].map((v) => h("td", { class: "num" }, known(v)))));
    return h("section", { class: "card", id: "validity" }, h("h2", {}, "What each metric is worth here"),
      h("p", { class: "small" }, "Each metric was held against SAEs whose order is known: null baselines that learned nothing, and SAEs made worse or trained longer step by step. CV: spread of one seed's score over its mean. Tells apart: the true difference that 80 % of such runs find."), grid(head, body));
  }

  /** What `sae-bench compare --consistency` found of the SAEs of a hook. */
  function consistencyCard(source) {
    const head = ["A", "B", "PW-MCC", "Null", "Calibrated", "Shared", "Codes", "Activity"];
    return source.consistency.map((hook) => h("section", { class: "card consistency" }, h("h2", {}, "Do the SAEs find the same latents?"),
      h("p", { class: "small" }, `${hook.title}: ${hook.sentence}.${hook.reason ? ` No interval: ${hook.reason}.` : ""}`),
      grid(head, hook.pairs.map((p) => h("tr", {}, h("td", {}, p.a), h("td", {}, p.b), [p.pw_mcc, p.null, p.calibrated, p.shared, p.code_correlation, p.activity_iou].map((v) => h("td", { class: "num" }, known(v))))))));
  }

  function sourceCard(source) {
    const n = source.n_results, readable = (key) => key.replace(/_/g, " ");
    const models = Object.keys(source.model).length && source.model.model.length ? Object.entries(source.model).map(([k, v]) => [readable(k), counted(v, n)]) : [["model", counted(source.models_named, n)]];
    const seeds = source.seeds.length ? counted(source.seeds, n) : "not recorded";
    return h("section", { class: "card", "data-source": source.label }, h("h2", {}, source.label, source.own ? "" : " (shown beside)"),
      h("p", { class: "small" }, `${n} results of ${source.n_saes} SAEs in ${source.folder}`),
      failures(source), rows([...models, ["seeds", seeds], ...Object.entries(source.versions).map(([k, v]) => [readable(k), counted(v, n)]), ["definitions", counted(source.protocols, n)]]),
      source.datasets.length ? h("details", { open: true }, h("summary", {}, `Data (${source.datasets.length})`), rows(source.datasets.map((d) => [d.name, `${Object.entries(d.facts).map(([k, v]) => `${k}: ${v}`).join(", ")} (${d.evals.join(", ")})`]))) : null,
      cost(source), list("Warnings in the results", source.warnings.map((w) => `${w.value.join(": ")}${w.n > 1 ? ` (${w.n} results)` : ""}`)),
      list("One name, several SAEs", source.mixed_names), list("Read under another name", source.moved.map((w) => `${w.value.join(": ")} (${w.n} results)`)), list("Samples that cannot be used", source.samples_problems));
  }

  const list = (title, entries) => (entries.length ? h("details", { open: entries.length < 12 }, h("summary", {}, `${title} (${entries.length})`), h("ul", { class: "small" }, entries.map((e) => h("li", {}, e)))) : null);

  function failures(source) {
    return [source.failed.length ? h("div", { class: "warn" }, h("h3", {}, `${source.failed.length} failed`), h("ul", { class: "small" }, source.failed.map((f) => h("li", {}, h("strong", {}, `${f.eval}: ${f.file}`), ` ${f.error}`)))) : null,
      source.n_skipped ? h("div", { class: "warn" }, h("h3", {}, `${source.n_skipped} files skipped`), h("ul", { class: "small", id: "skipped" }, source.skipped.map((s) => h("li", {}, h("strong", {}, s.path), `: ${s.reason}`)))) : null];
  }

  function cost(source) {
    if (!source.seconds.length) return null;
    const total = source.seconds.reduce((sum, s) => sum + (s.shared ? 0 : s.seconds), 0);
    const table = h("table", { class: "plain" }, h("thead", {}, h("tr", {}, ["Eval", "Phase", "Seconds"].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, source.seconds.map((s) => h("tr", {}, h("td", {}, s.eval), h("td", {}, s.phase), h("td", { class: "num" }, Report.num(s.seconds))))));
    return h("details", {}, h("summary", {}, `Cost (${Report.num(total)} s beyond the shared phases)`), h("p", { class: "small" }, "Phases of single SAEs are summed; shared ones were paid once for all SAEs, and are listed with every eval that used them."), h("div", { class: "scroll-x" }, table));
  }

  function evalsCard() {
    const groups = data.evals.map((entry) => h("tr", {}, h("td", {}, entry.title), h("td", { class: "small" }, entry.summary), h("td", { class: "small" }, h("ul", {}, entry.cohorts.map((c) => h("li", {}, `${c.members.length} results: ${c.title}${c.differs ? `; not compared with the others: ${c.differs}` : ""}`))))));
    return h("section", { class: "card" }, h("h2", {}, "Evals and what may be compared"), h("div", { class: "scroll-x" }, h("table", { class: "plain" }, h("tbody", {}, groups))));
  }

  function readingCard() {
    const seen = new Map();
    for (const metric of data.metrics) for (const caveat of metric.caveats) seen.set(caveat.text, [metric, caveat]);
    return h("section", { class: "card" }, h("h2", {}, "How to read the numbers"), h("ul", {},
      h("li", {}, "Scores are means over seeds; intervals are 95 % intervals over seeds and test texts (or letters, pairs, latents). With one seed an eval that draws at random has no error bar, and the report says so."),
      h("li", {}, "Two SAEs are compared seed by seed and text by text where both were evaluated on the same; intervals of differences and p-values are corrected for all pairs of SAEs on a metric (Bonferroni), whichever are shown."),
      h("li", {}, "Results of other definitions, settings, models or hooks are marked with a letter and an open marker, have their own Pareto front and are never ranked together."),
      [...seen.values()].map(([metric, caveat]) => h("li", { class: caveat.serious ? "warn" : "" }, `${Report.evalOf(metric).title}: ${caveat.text}`))));
  }
})();
