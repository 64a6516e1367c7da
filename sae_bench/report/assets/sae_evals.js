/* What every eval found of one SAE: its charts, its tables, settings and cost. */
(() => {
  const { h, data } = Report;

  Report.evalCards = (details, sae) => {
    const cards = data.evals.filter((entry) => details.evals[entry.name]).map((entry) => evalCard(entry, details.evals[entry.name], sae));
    cards.push(h("section", { class: "card", "data-section": "configuration" }, h("h2", {}, "Configuration"), folded("Configuration of the SAE", keyValues(details.config))));
    return cards;
  };

  function evalCard(entry, found, sae) {
    const parts = [h("div", { class: "card-head" }, h("h2", {}, entry.title), h("span", { class: "small push" }, found.protocol)), h("p", { class: "small" }, entry.summary)];
    for (const warning of found.warnings) parts.push(h("p", { class: "warn small" }, Report.badge(true), ` ${warning}`));
    for (const note of found.moved) parts.push(h("p", { class: "small" }, Report.badge(false), ` ${note}`));
    if (found.charts.length) parts.push(Report.detailCharts(entry, found.charts, sae));
    if (found.histograms.length) parts.push(...Report.histograms(entry, found.histograms, found.histograms_first));
    if (found.latents) parts.push(Report.latentBrowser(entry, found.latents, sae));
    const told = found.charts.length || found.histograms.length || found.latents;
    found.tables.forEach((table, i) => parts.push(detailTable(table, i === 0 && !told, `${entry.name}-${i}`, !told)));
    if (found.seed_results.length > 1) parts.push(folded("Values per seed", seedTable(entry, found.seed_results)));
    const lacking = Object.entries(found.not_computed);
    if (lacking.length) parts.push(folded(`Not computed (${lacking.length})`, keyValues(found.not_computed)));
    parts.push(folded("Settings and cost", [keyValues(found.settings), h("p", { class: "small" }, Object.entries(found.seconds).map(([k, v]) => `${k}: ${Report.num(v)} s`).join(", ")), h("p", { class: "small" }, `File: ${found.file}`)]));
    return h("section", { class: "card", "data-section": entry.name }, parts);
  }

  function folded(title, content, open) {
    const box = h("details", { open: Boolean(open) }, h("summary", {}, title), content);
    box.addEventListener("toggle", () => { if (box.open) Report.drawWithin(box); });
    return box;
  }

  Report.folded = folded;

  const keyValues = (object) => h("div", { class: "scroll-x" }, h("table", { class: "plain facts" }, h("tbody", {}, Object.entries(object).filter(([, v]) => v !== null && v !== "")
    .map(([k, v]) => h("tr", {}, h("th", { scope: "row" }, k), h("td", {}, String(v)))))));

  function detailTable(found, open, id, withChart) {
    const numeric = found.columns.map((_, c) => c).filter((c) => c !== found.label && found.rows.some((row) => typeof row[c] === "number"));
    const cells = (row) => found.columns.map((_, c) => (typeof row[c] === "number" ? h("td", { class: "num" }, Report.num(row[c])) : h("td", {}, row[c] === null || row[c] === undefined ? "–" : String(row[c]))));
    const table = h("div", { class: "scroll-x tall-scroll", tabindex: "0", role: "region", "aria-label": found.title }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, found.columns.map((c) => h("th", { scope: "col" }, c)))), h("tbody", {}, found.rows.map((row) => h("tr", {}, cells(row))))));
    const parts = [table, found.cut ? h("p", { class: "small" }, `${found.cut} more rows are in the result file.`) : null];
    if (withChart && numeric.length && found.rows.length > 1) {
      let column = numeric[0];
      const element = Report.chart(`detail-${id}`, () => {
        const rows = found.rows.filter((row) => typeof row[column] === "number").slice(0, 120);
        return [[{ type: "scatter", mode: "markers", x: rows.map((row, i) => String(typeof found.rows[0][found.label] === "string" ? row[found.label] : i)), y: rows.map((row) => row[column]), marker: { color: Report.css("--accent"), size: 9 }, hovertemplate: "%{x}: %{y:.4g}<extra></extra>" }],
          Report.plotLayout({ xaxis: { type: "category", tickangle: rows.length > 8 ? -50 : 0, tickfont: { size: 11 } }, yaxis: { title: { text: found.columns[column], font: { size: 11 } } }, margin: { l: 52, r: 8, t: 8, b: 60 } })];
      });
      const select = h("select", { "aria-label": "Column of the chart", onchange: (e) => { column = Number(e.target.value); element.draw(); } }, numeric.map((c) => h("option", { value: String(c) }, found.columns[c])));
      parts.unshift(h("div", { class: "controls" }, h("label", {}, "Chart ", select)), element);
    }
    return folded(`${found.title} (${found.rows.length})`, parts, open);
  }

  function seedTable(entry, seeds) {
    const metrics = data.metrics.filter((m) => m.eval === entry.name && seeds.some((s) => s[m.key.split("|")[1]] !== undefined));
    return h("div", { class: "scroll-x" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Metric"), seeds.map((s) => h("th", { scope: "col" }, `seed ${s.seed}`)))),
      h("tbody", {}, metrics.map((m) => h("tr", {}, h("td", {}, m.title), seeds.map((s) => h("td", { class: "num" }, Report.num(s[m.key.split("|")[1]] ?? null))))))));
  }
})();
