/* What the results were made with, what they cost and what went wrong. */
(() => {
  const { h, data } = Report;

  Report.renderRun = () => {
    Report.fill(document.getElementById("page-run"), data.run.sources.map(sourceCard), evalsCard(), readingCard());
  };

  const counted = (list, total) => list.map((entry) => entry.value.join(": ") + (entry.n === total || list.length === 1 ? "" : ` (${entry.n} results)`)).join("; ");
  const rows = (pairs) => h("div", { class: "scroll-x" }, h("table", { class: "plain facts" }, h("tbody", {}, pairs.filter(([, v]) => v && v.length).map(([k, v]) => h("tr", {}, h("th", { scope: "row" }, k), h("td", {}, v))))));

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
