/* The page of one SAE: its scores and ranks, its details, and a comparison with any other. */
(() => {
  const { h, data } = Report;
  const page = () => document.getElementById("page-sae");
  let current = 0;

  Report.renderSae = async (place) => {
    const ticket = ++current, sae = data.saes[place];
    if (!sae) { Report.fill(page(), h("p", { class: "card" }, "There is no such SAE in this report.")); return; }
    const rest = h("div", { class: "plot", id: "sae-rest" });
    const body = h("div", { id: "sae-evals" }, h("p", { class: "small" }, "Unpacking…"));
    const scores = h("div", { id: "sae-scores" });
    Report.fill(page(), title(sae), h("section", { class: "card" }, h("h2", {}, "Scores"), scores),
      h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", {}, "Against the rest"), h("span", { class: "push" }, Report.saveMenu(rest))), Report.legend(), rest,
        h("p", { class: "small" }, "Every metric from its worst (0) to its best (1) value among the SAEs shown on the overview.")),
      compareCard(place), body);
    Report.plot(rest, (options) => Report.stripFigure(place, Report.mainMetrics(), options), Report.fileName(sae.short, "against_the_rest"));
    const table = await scoreTable(place);
    if (ticket !== current) return;
    Report.fill(scores, table);
    const details = await Report.unpackJson(`sae-${place}`);
    if (ticket !== current) return;
    Report.fill(body, details ? evalCards(details) : h("p", { class: "small" }, "No details are in this report (it was made with --no-details)."));
    body.querySelectorAll(".plot").forEach((element) => element.draw?.());
  };

  function title(sae) {
    const facts = [Report.arch(sae).title, sae.width && `${Report.num(sae.width)} latents`, sae.hook || (sae.layer !== null && `layer ${sae.layer}`), sae.l0 !== null && `L0 ${Report.num(sae.l0)}`,
      sae.tokens && `${Report.num(sae.tokens)} training tokens`, data.sources.length > 1 && data.sources[sae.source].label].filter(Boolean);
    return h("section", { class: "card sae-head" }, h("a", { href: "#overview", class: "small" }, "← all SAEs"), h("h1", {}, Report.swatch(Report.arch(sae)), " ", sae.name), h("p", {}, facts.join(" · ")));
  }

  async function scoreTable(place) {
    const rows = [], shown = [...new Set([...Report.rankable(Report.shown()), place])].sort((a, b) => a - b);
    for (const metric of Report.headline()) {
      const value = Report.value(metric, place);
      if (value === null) continue;
      const cohort = Report.cohort(metric, place), peers = shown.filter((p) => Report.evalOf(metric).cohortOf.get(p) === cohort);
      const bar = Report.bar(metric, place), beside = Report.beside(metric, place), floor = beside.floor ?? metric.chance;
      let rank = "–";
      if (metric.better && peers.length > 1) {
        const found = await Report.ranking(metric, cohort, peers), row = found.rows.find((r) => r.place === place);
        rank = `${row.rank} of ${found.rows.length}` + (found.pairs && row.rank > 1 ? (row.candidate ? " (could be the best)" : " (not the best)") : "");
      }
      rows.push(h("tr", {}, h("td", { "data-label": "Metric" }, Report.fullTitle(metric), h("span", { title: Report.directionText(metric) }, Report.arrow(metric)), " ", Report.caveatMark(metric)),
        h("td", { class: "num", "data-label": "Score" }, Report.scoreText(metric, place)), h("td", { "data-label": "95 % interval", class: "small" }, bar.known ? Report.spread(bar.low, bar.high) : bar.reason || "–"),
        h("td", { "data-label": "Rank" }, rank), h("td", { "data-label": "Floor", class: "num" }, floor === null ? "" : Report.num(floor)),
        h("td", { "data-label": "Ceiling", class: "num" }, beside.ceiling === null ? "" : Report.num(beside.ceiling)), h("td", { "data-label": "Above floor", class: "small" }, Report.aboveText(beside))));
    }
    const head = ["Metric", "Score", "95 % interval", "Rank among those shown", "Floor", "Ceiling", "Above floor"].map((text) => h("th", { scope: "col" }, text));
    return h("div", { class: "scroll-x" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
  }

  function compareCard(place) {
    const out = h("div", { id: "sae-compared" });
    const select = h("select", { id: "sae-compare", "aria-label": "SAE to compare with", onchange: async (e) => Report.fill(out, e.target.value === "" ? null : await compared(place, Number(e.target.value))) },
      h("option", { value: "" }, "choose an SAE…"), data.saes.filter((s) => s.index !== place).map((s) => h("option", { value: String(s.index) }, s.short)));
    return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", {}, "Compared with"), select), out);
  }

  async function compared(a, b) {
    const found = [];
    for (const metric of Report.ranked()) {
      if (Report.value(metric, a) === null || Report.value(metric, b) === null) continue;
      const cohort = Report.cohort(metric, a), apart = cohort !== Report.cohort(metric, b);
      const pairs = apart ? null : await Report.pairs(metric, cohort);
      found.push({ metric, apart, p: pairs?.p(a, b) ?? null, half: pairs?.half(a, b) ?? null, untested: Report.withoutP(pairs, a, b) });
    }
    const rows = found.map((f) => {
      const [va, vb] = [Report.value(f.metric, a), Report.value(f.metric, b)], difference = va - vb;
      const kind = f.apart ? "none" : f.p === null ? f.untested : f.half >= Math.abs(difference) ? "noise" : difference * f.metric.better > 0 ? "better" : "worse";
      const text = f.apart ? "not comparable" : { none: "no error bar", same: "the same", noise: "inside the noise", better: "better", worse: "worse" }[kind];
      return h("tr", {}, h("td", { "data-label": "Metric" }, Report.fullTitle(f.metric) + Report.arrow(f.metric)), h("td", { class: "num", "data-label": "This" }, Report.num(va)), h("td", { class: "num", "data-label": "Other" }, Report.num(vb)),
        h("td", { class: "num", "data-label": "Difference" }, f.apart ? "–" : Report.num(difference), f.p !== null ? h("span", { class: "pm" }, ` ±${Report.num(f.half)}`) : null), h("td", { "data-label": "Verdict" }, Report.chip(kind, text), f.p === null ? null : h("span", { class: "small" }, ` ${Report.pText(f.p)}`)));
    });
    const head = ["Metric", "This", data.saes[b].short, "Difference", "This one is"].map((text) => h("th", { scope: "col" }, text));
    return [h("div", { class: "scroll-x" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows))),
      h("p", { class: "small" }, "Intervals and p are corrected for all pairs of SAEs on a metric, not for the number of metrics. How many more seeds would tell: ", h("code", {}, `sae-bench compare RESULTS --a '${data.saes[a].name}' --b '${data.saes[b].name}'`))];
  }

  function evalCards(details) {
    const cards = data.evals.filter((entry) => details.evals[entry.name]).map((entry) => evalCard(entry, details.evals[entry.name]));
    cards.push(h("section", { class: "card" }, folded("Configuration of the SAE", keyValues(details.config))));
    return cards;
  }

  function evalCard(entry, found) {
    const parts = [h("div", { class: "card-head" }, h("h2", {}, entry.title), h("span", { class: "small push" }, found.protocol)), h("p", { class: "small" }, entry.summary)];
    for (const warning of found.warnings) parts.push(h("p", { class: "warn small" }, Report.badge(true), ` ${warning}`));
    for (const note of found.moved) parts.push(h("p", { class: "small" }, Report.badge(false), ` ${note}`));
    if (found.histograms.length) parts.push(histograms(entry, found.histograms));
    if (found.latents) parts.push(latents(found.latents));
    found.tables.forEach((table, i) => parts.push(detailTable(table, i === 0, `${entry.name}-${i}`)));
    if (found.seed_results.length > 1) parts.push(folded("Values per seed", seedTable(entry, found.seed_results)));
    const lacking = Object.entries(found.not_computed);
    if (lacking.length) parts.push(folded(`Not computed (${lacking.length})`, keyValues(found.not_computed)));
    parts.push(folded("Settings and cost", [keyValues(found.settings), h("p", { class: "small" }, Object.entries(found.seconds).map(([k, v]) => `${k}: ${Report.num(v)} s`).join(", ")), h("p", { class: "small" }, `File: ${found.file}`)]));
    return h("section", { class: "card", "data-eval": entry.name }, parts);
  }

  function folded(title, content, open) {
    const box = h("details", { open: Boolean(open) }, h("summary", {}, title), content);
    box.addEventListener("toggle", () => { if (box.open) box.querySelectorAll(".plot").forEach((element) => element.draw?.()); });
    return box;
  }

  const keyValues = (object) => h("div", { class: "scroll-x" }, h("table", { class: "plain facts" }, h("tbody", {}, Object.entries(object).filter(([, v]) => v !== null && v !== "")
    .map(([k, v]) => h("tr", {}, h("th", { scope: "row" }, k), h("td", {}, String(v)))))));

  function chart(id, make) {
    const element = h("div", { class: "plot small-plot", id });
    element.draw = () => { if (element.offsetParent !== null) Report.plot(element, make, id); };
    return element;
  }

  function histograms(entry, list) {
    return h("div", { class: "grid" }, list.map((found) => {
      const middle = found.counts.map((_, i) => (found.edges[i] + found.edges[i + 1]) / 2), width = found.edges[1] - found.edges[0];
      const element = chart(`histogram-${entry.name}-${found.name}`, () => [[{ type: "bar", x: middle, y: found.counts, width: middle.map(() => width * 0.94), marker: { color: Report.css("--accent") }, hovertemplate: "%{x:.3g}: %{y} latents<extra></extra>" }],
        Report.plotLayout({ xaxis: { title: { text: found.title } }, yaxis: { title: { text: "latents" } }, margin: { l: 48, r: 8, t: 6, b: 40 }, bargap: 0.02 })]);
      return h("figure", {}, element, found.dead ? h("figcaption", { class: "small" }, `${found.dead} latents never fired.`) : null);
    }));
  }

  function detailTable(found, open, id) {
    const numeric = found.columns.map((_, c) => c).filter((c) => c !== found.label && found.rows.some((row) => typeof row[c] === "number"));
    const cells = (row) => found.columns.map((_, c) => (typeof row[c] === "number" ? h("td", { class: "num" }, Report.num(row[c])) : h("td", {}, row[c] === null || row[c] === undefined ? "–" : String(row[c]))));
    const table = h("div", { class: "scroll-x tall-scroll", tabindex: "0", role: "region", "aria-label": found.title }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, found.columns.map((c) => h("th", { scope: "col" }, c)))), h("tbody", {}, found.rows.map((row) => h("tr", {}, cells(row))))));
    const parts = [table, found.cut ? h("p", { class: "small" }, `${found.cut} more rows are in the result file.`) : null];
    if (numeric.length && found.rows.length > 1) {
      let column = numeric[0];
      const element = chart(`detail-${id}`, () => {
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

  /** A text with what stands between << and >> marked. */
  const marked = (text) => text.split(/(<<[\s\S]*?>>)/).map((part) => (part.startsWith("<<") ? h("mark", {}, part.slice(2, -2)) : part));

  function latents(found) {
    const one = (latent) => h("article", { class: "latent" }, h("h4", {}, `Latent ${latent.latent}: `, h("span", { class: "num" }, latent.score.toFixed(2))), h("p", {}, latent.explanation || "no explanation"),
      latent.predictions ? h("p", { class: "small" }, `judged active: ${latent.predictions.join(", ") || "none"}; are: ${(latent.correct || []).join(", ") || "none"}`) : null,
      latent.texts.length ? h("ul", { class: "texts" }, latent.texts.map((t) => h("li", { class: t.active === false ? "off" : "" }, marked(t.text)))) : null,
      latent.logs ? folded("Texts and answers", h("pre", {}, marked(latent.logs))) : null);
    return h("div", {}, h("p", { class: "small" }, `${found.n} latents were explained and scored.`),
      h("div", { class: "grid" }, h("div", {}, h("h3", {}, "Best explained"), found.best.map(one)), h("div", {}, h("h3", {}, "Worst explained"), found.worst.map(one))));
  }
})();
