/* What the table shows, to take along: CSV and JSON with intervals, floors and ceilings, and a table for LaTeX. */
(() => {
  const { data } = Report;

  /** Everything known of a score. */
  function score(metric, place) {
    const bar = Report.bar(metric, place), beside = Report.beside(metric, place), cohort = Report.cohort(metric, place);
    return {
      value: Report.value(metric, place), ci_low: bar.low, ci_high: bar.high, n_seeds: bar.seeds, floor: beside.floor, ceiling: beside.ceiling,
      above_floor: beside.above, above_floor_low: beside.low, above_floor_high: beside.high, group: Report.evalOf(metric).cohorts[cohort].title,
    };
  }
  const facts = (sae) => ({ sae: sae.name, source: data.sources[sae.source].label, model: sae.model, hook: sae.hook, architecture: sae.arch, latents: sae.width, l0: sae.l0, training_tokens: sae.tokens });
  const name = (metric) => metric.key.replace("|", ".");

  Report.asJson = (places, metrics) => JSON.stringify(places.map((place) => ({
    ...facts(data.saes[place]), metrics: Object.fromEntries(metrics.filter((m) => Report.value(m, place) !== null).map((m) => [name(m), score(m, place)])),
  })), null, 1);

  const quoted = (value) => (value === null || value === undefined ? "" : /[",\n\r]/.test(String(value)) ? `"${String(value).replace(/"/g, '""')}"` : String(value));
  Report.asCsv = (places, metrics) => {
    const rows = places.map((place) => ({
      ...facts(data.saes[place]),
      ...Object.fromEntries(metrics.flatMap((m) => Object.entries(score(m, place)).map(([key, value]) => [key === "value" ? name(m) : `${name(m)}:${key}`, Report.value(m, place) === null ? null : value]))),
    }));
    const columns = [...new Set(rows.flatMap(Object.keys))];
    return [columns, ...rows.map((row) => columns.map((column) => row[column]))].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
  };

  const SPECIAL = { "&": "\\&", "%": "\\%", $: "\\$", "#": "\\#", _: "\\_", "{": "\\{", "}": "\\}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\\": "\\textbackslash{}", "↑": "$\\uparrow$", "↓": "$\\downarrow$" };
  const tex = (text) => String(text).replace(/[&%$#_{}~^\\↑↓]/g, (c) => SPECIAL[c]);
  const texNumber = (text) => text.replace(/−/g, "-");

  /** A booktabs table: `$0.787 \pm 0.012$`, the best of each group of comparable results bold. */
  Report.asLatex = (places, metrics) => {
    const shown = metrics.filter((m) => places.some((place) => Report.value(m, place) !== null));
    const best = (metric, place) => metric.better && !data.saes[place].baseline && Report.rankable(places).every((other) => Report.cohort(metric, other) !== Report.cohort(metric, place) || Report.value(metric, other) === null || metric.better * (Report.value(metric, place) - Report.value(metric, other)) >= 0);
    const cell = (metric, place) => {
      const value = Report.value(metric, place), bar = Report.bar(metric, place);
      if (value === null) return "--";
      const [number, error] = bar.known ? Report.withError(value, (bar.high - bar.low) / 2) : [Report.valueAndError(metric, place)[0], ""];
      const shownNumber = best(metric, place) ? `\\mathbf{${texNumber(number)}}` : texNumber(number);
      return `$${shownNumber}${error ? ` \\pm ${texNumber(error)}` : ""}$`;
    };
    const head = ["SAE", ...shown.map((m) => tex(Report.label(m) + Report.arrow(m)))].join(" & ");
    const body = places.map((place) => [tex(data.saes[place].short), ...shown.map((m) => cell(m, place))].join(" & "));
    return ["% \\usepackage{booktabs}; after \\pm: half the 95 % interval; bold: the best of those that are shown and comparable",
      `\\begin{tabular}{l${"r".repeat(shown.length)}}`, "\\toprule", `${head} \\\\`, "\\midrule", ...body.map((row) => `${row} \\\\`), "\\bottomrule", "\\end{tabular}", ""].join("\n");
  };

  function save(text, file, type) {
    const address = URL.createObjectURL(new Blob([text], { type })), link = Report.h("a", { href: address, download: file });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  /** A menu that saves the rows and metrics of the table, in its order. */
  Report.tableMenu = (places, metrics) => {
    const kinds = [["csv", "CSV", Report.asCsv, "text/csv"], ["json", "JSON", Report.asJson, "application/json"], ["tex", "LaTeX", Report.asLatex, "text/plain"]];
    const buttons = kinds.map(([ending, title, write, type]) => Report.h("button", { type: "button", class: "ghost", "data-table": ending, onclick: () => save(write(places(), metrics()), `sae_bench.${ending}`, type) }, title));
    return Report.menu("Save table", buttons, "save-menu");
  };
})();
