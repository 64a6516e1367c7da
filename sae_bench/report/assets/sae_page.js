/* The page of one SAE: what is on it, scores and ranks, a comparison with any other; details come from `sae_evals.js`. */
(() => {
  const { h, data } = Report;
  const page = () => document.getElementById("page-sae");
  let current = 0, shownPlace = null, shownAmong = null;

  Report.renderSae = (place, section) => Report.busyWith(renderSae(place, section));
  async function renderSae(place, section) {
    if (shownPlace === place && Report.shown() === shownAmong) { jumpTo(section); return; }
    const ticket = ++current, sae = data.saes[place];
    shownPlace = null;
    if (!sae) { Report.fill(page(), h("p", { class: "card" }, "There is no such SAE in this report.")); return; }
    [shownPlace, shownAmong] = [place, Report.shown()];
    const rest = h("div", { class: "plot", id: "sae-rest" });
    const body = h("div", { id: "sae-evals" }, h("p", { class: "small" }, "Unpacking…"));
    const scores = h("div", { id: "sae-scores" }), contents = h("nav", { class: "contents small", "aria-label": "On this page" });
    Report.fill(page(), title(sae), contents, h("section", { class: "card", "data-section": "scores" }, h("h2", {}, "Scores"), scores),
      h("section", { class: "card", "data-section": "rest" }, h("div", { class: "card-head" }, h("h2", {}, "Against the rest"), h("span", { class: "push" }, Report.saveMenu(rest))), Report.legend(), rest,
        h("p", { class: "small" }, "Every metric from its worst to its best value among the SAEs shown.")),
      compareCard(place), body);
    fillContents(contents, place);
    Report.plot(rest, (options) => Report.stripFigure(place, Report.mainMetrics(), options), Report.fileName(sae.short, "against_the_rest"));
    const table = await scoreTable(place);
    if (ticket !== current) return;
    Report.fill(scores, ...table);
    const details = await Report.unpackJson(`sae-${place}`);
    if (ticket !== current) return;
    Report.fill(body, details ? Report.evalCards(details, sae) : h("p", { class: "small" }, "No details are in this report (it was made with --no-details)."));
    fillContents(contents, place);
    await Report.drawWithin(body);
    if (ticket === current) jumpTo(section);
  }

  /** Links to every section; the address of one can be shared. */
  function fillContents(contents, place) {
    const sections = [...page().querySelectorAll("section[data-section]")];
    Report.fill(contents, sections.map((section) => h("a", { href: `#sae/${place}/${section.dataset.section}` }, section.querySelector("h2").textContent)));
  }

  function jumpTo(section) {
    page().querySelector(`section[data-section="${CSS.escape(section || "")}"]`)?.scrollIntoView({ block: "start" });
  }

  /** The page of an SAE, or of one of its latents, on Neuronpedia; null where its configuration does not name it. */
  Report.neuronpedia = (sae, latent) => (sae.neuronpedia ? `https://www.neuronpedia.org/${sae.neuronpedia}${latent === undefined ? "" : `/${latent}`}` : null);

  function title(sae) {
    const facts = [Report.arch(sae).title, sae.width && `${Report.num(sae.width)} latents`, sae.hook || (sae.layer !== null && `layer ${sae.layer}`), sae.l0 !== null && `L0 ${Report.num(sae.l0)}`,
      sae.tokens && `${Report.num(sae.tokens)} training tokens`, sae.model, sae.tags.length && sae.tags.join(", "), data.sources.length > 1 && data.sources[sae.source].label].filter(Boolean);
    return h("section", { class: "card sae-head" }, h("a", { href: "#overview", class: "small" }, "← all SAEs"), h("h1", {}, Report.swatch(Report.arch(sae)), " ", sae.name), h("p", {}, facts.join(" · "), sae.neuronpedia ? [" · ", h("a", { href: Report.neuronpedia(sae), rel: "noopener" }, "Neuronpedia")] : null));
  }

  async function scoreTable(place) {
    const rows = new Map(), shown = [...new Set([...Report.rankable(Report.shown()), place])].sort((a, b) => a - b);
    for (const metric of Report.headline()) {
      const value = Report.value(metric, place);
      if (value === null) continue;
      const cohort = Report.cohort(metric, place), peers = shown.filter((p) => Report.evalOf(metric).cohortOf.get(p) === cohort);
      const bar = Report.bar(metric, place), beside = Report.beside(metric, place), floor = beside.floor ?? metric.chance;
      let rank = "–";
      if (metric.better && peers.length > 1) {
        await Report.breathe();
        const found = await Report.ranking(metric, cohort, peers), row = found.rows.find((r) => r.place === place);
        rank = `${row.rank} of ${found.rows.length}` + (found.pairs && row.rank > 1 ? (row.candidate ? " (could be the best)" : " (not the best)") : "");
      }
      rows.set(metric, h("tr", {}, h("td", { "data-label": "Metric" }, Report.fullTitle(metric), h("span", { title: Report.directionText(metric) }, Report.arrow(metric)), " ", Report.caveatMark(metric)),
        h("td", { class: "num", "data-label": "Score" }, Report.scoreText(metric, place)), h("td", { "data-label": "95 % interval", class: "small" }, bar.known ? Report.spread(bar.low, bar.high) : bar.reason || "–"),
        h("td", { "data-label": "Rank" }, rank), h("td", { "data-label": "Floor", class: "num" }, floor === null ? "" : Report.num(floor)),
        h("td", { "data-label": "Ceiling", class: "num" }, beside.ceiling === null ? "" : Report.num(beside.ceiling)), h("td", { "data-label": "Above floor", class: "small" }, Report.aboveText(beside))));
    }
    const head = ["Metric", "Score", "95 % interval", "Rank among those shown", "Floor", "Ceiling", "Above floor"].map((text) => h("th", { scope: "col" }, text));
    const table = (some) => h("div", { class: "scroll-x" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, head.map((cell) => cell.cloneNode(true)))), h("tbody", {}, some)));
    const main = Report.mainMetrics(), first = [...rows].filter(([metric]) => main.includes(metric)), others = [...rows].filter(([metric]) => !main.includes(metric));
    return [table(first.map(([, row]) => row)), others.length ? Report.folded(`${others.length} more metrics`, table(others.map(([, row]) => row))) : null];
  }

  function compareCard(place) {
    const out = h("div", { id: "sae-compared" });
    const compare = async () => {
      const chosen = select.value, found = chosen === "" ? null : await compared(place, chosen === BEST ? null : Number(chosen));
      if (select.value === chosen) Report.fill(out, found);
    };
    const select = h("select", { id: "sae-compare", "aria-label": "SAE to compare with", onchange: compare },
      h("option", { value: "" }, "choose an SAE…"), h("option", { value: BEST }, "the best of the others on each metric"), data.saes.filter((s) => s.index !== place).map((s) => h("option", { value: String(s.index) }, s.short)));
    return h("section", { class: "card", "data-section": "compare" }, h("div", { class: "card-head" }, h("h2", {}, "Compared with"), select), out);
  }

  const BEST = "best";
  /** The best of those shown that compare with an SAE on a metric, itself aside; null where there is none. */
  function bestOther(metric, a) {
    const others = Report.rankable(Report.shown()).filter((p) => p !== a && Report.value(metric, p) !== null && Report.cohort(metric, p) === Report.cohort(metric, a));
    return others.length ? others.reduce((best, p) => (metric.better * (Report.value(metric, p) - Report.value(metric, best)) > 0 ? p : best)) : null;
  }

  /** One SAE against another on every metric, or against the best of the others on each where `one` is null. */
  async function compared(a, one) {
    const found = [];
    for (const metric of Report.ranked()) {
      const b = one ?? bestOther(metric, a);
      if (b === null || Report.value(metric, a) === null || Report.value(metric, b) === null) continue;
      const cohort = Report.cohort(metric, a), apart = cohort !== Report.cohort(metric, b);
      const pairs = apart ? null : await Report.pairs(metric, cohort);
      found.push({ metric, apart, b, p: pairs?.p(a, b) ?? null, half: pairs?.half(a, b) ?? null, untested: Report.withoutP(pairs, a, b) });
    }
    const rows = found.map((f) => {
      const [va, vb] = [Report.value(f.metric, a), Report.value(f.metric, f.b)], difference = va - vb;
      const kind = f.apart ? "none" : f.p === null ? f.untested : f.half >= Math.abs(difference) ? "noise" : difference * f.metric.better > 0 ? "better" : "worse";
      const text = f.apart ? "not comparable" : { none: "no error bar", same: "the same", noise: "inside the noise", better: "better", worse: "worse" }[kind];
      return h("tr", {}, h("td", { "data-label": "Metric" }, Report.fullTitle(f.metric) + Report.arrow(f.metric)), h("td", { class: "num", "data-label": "This" }, Report.num(va)), h("td", { class: "num", "data-label": "Other" }, one === null ? [Report.link(f.b), " "] : null, Report.num(vb)),
        h("td", { class: "num", "data-label": "Difference" }, f.apart ? "–" : f.p === null ? Report.num(difference) : Report.withError(difference, f.half)[0], f.p !== null ? h("span", { class: "pm" }, ` ±${Report.withError(difference, f.half)[1]}`) : null), h("td", { "data-label": "Verdict" }, Report.chip(kind, text), f.p === null ? null : h("span", { class: "small" }, ` ${Report.pText(f.p)}`)));
    });
    const head = ["Metric", "This", one === null ? "Best of the others" : data.saes[one].short, "Difference", "This one is"].map((text) => h("th", { scope: "col" }, text));
    return [h("div", { class: "scroll-x" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows))),
      h("p", { class: "small" }, "Intervals and p are corrected for all pairs of SAEs on a metric, not for the number of metrics. How many more seeds would tell: ", h("code", {}, `sae-bench compare RESULTS --a '${data.saes[a].name}' --b '${one === null ? "ANOTHER" : data.saes[one].name}'`))];
  }
})();
