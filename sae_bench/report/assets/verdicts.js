/* Which is best among those shown, and whether the noise allows to say so. p-values and intervals of all pairs come
   with the page; here they are corrected (Holm) for the pairs among the SAEs that are shown. */
(() => {
  const { h, data } = Report;
  const ALPHA = 0.05;
  const cache = new Map();

  /** p-value and half width of the interval of every pair of a cohort on a metric; null where none are kept. */
  Report.pairs = async (metric, cohort) => {
    const id = `pairs-${metric.index}-${cohort}`;
    if (!cache.has(id)) {
      const bytes = await Report.unpack(id);
      cache.set(id, bytes && read(metric, cohort, bytes));
    }
    return cache.get(id);
  };

  function read(metric, cohort, bytes) {
    const numbers = new Uint16Array(bytes.buffer), half = numbers.length / 2, scale = data.pairs;
    const places = Report.evalOf(metric).cohorts[cohort].members.filter((place) => Report.value(metric, place) !== null);
    const rank = new Map(places.map((place, i) => [place, i]));
    const at = (a, b) => {
      const x = rank.get(a), y = rank.get(b), i = Math.min(x, y), j = Math.max(x, y);
      return places.length * i - (i * (i + 1)) / 2 + (j - i - 1);
    };
    return {
      p: (a, b) => { const n = numbers[at(a, b)]; return n === scale.unknown ? null : 10 ** (-n / scale.p); },
      half: (a, b) => { const n = numbers[half + at(a, b)]; return n === scale.unknown ? null : 10 ** (n / scale.half - scale.shift); },
    };
  }

  /** p-values adjusted for their number (Holm 1979). */
  Report.holm = (pValues) => {
    const sorted = Float64Array.from(pValues).sort(), steps = new Float64Array(sorted.length);
    let soFar = 0;
    sorted.forEach((p, step) => {
      soFar = Math.max(soFar, Math.min(1, (sorted.length - step) * p));
      steps[step] = soFar;
    });
    const adjusted = new Float64Array(sorted.length);
    for (let i = 0; i < adjusted.length; i++) adjusted[i] = steps[firstPlace(sorted, pValues[i])]; // equal ones share what the first of them gets
    return adjusted;
  };

  /** Place of the first entry that is at least `value`. */
  function firstPlace(sorted, value) {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value) low = middle + 1; else high = middle;
    }
    return low;
  }

  /** SAEs of one cohort on one metric, best first, with the ranks that the noise allows. */
  Report.ranking = async (metric, cohort, places) => {
    const value = (place) => Report.value(metric, place);
    const ordered = places.filter((place) => value(place) !== null).sort((a, b) => metric.better * (value(b) - value(a)));
    const pairs = ordered.length > 1 ? await Report.pairs(metric, cohort) : null;
    const rows = ordered.map((place) => ({ place, rank: 1, low: 1, high: ordered.length }));
    const values = ordered.map(value);
    for (let i = 1; i < rows.length; i++) rows[i].rank = values[i] === values[i - 1] ? rows[i - 1].rank : i + 1;
    if (!pairs) return { rows, adjusted: () => null, pairs: null };
    const p = [], where = [];
    for (let i = 0; i < ordered.length; i++) {
      for (let j = i + 1; j < ordered.length; j++) {
        const found = pairs.p(ordered[i], ordered[j]);
        if (found !== null) { p.push(found); where.push(i, j); }
      }
    }
    const adjusted = Report.holm(p), table = new Float64Array(ordered.length ** 2).fill(NaN);
    adjusted.forEach((found, k) => {
      const i = where[2 * k], j = where[2 * k + 1];
      table[i * ordered.length + j] = found;
      if (found <= ALPHA && values[i] !== values[j]) { rows[j].low += 1; rows[i].high -= 1; }
    });
    const known = (found) => (found === undefined || Number.isNaN(found) ? null : found);
    return { rows, pairs, adjusted: (i, j) => known(table[i * ordered.length + j]) };
  };

  const CHIPS = { better: "better", noise: "inside the noise", none: "no error bar", same: "the same", alone: "alone" };
  Report.chip = (kind, text) => h("span", { class: `chip ${kind}` }, text || CHIPS[kind]);

  /** Two scores without a p-value: equal wherever they were measured (the width of the interval is known), or unknown. */
  Report.withoutP = (pairs, a, b) => ((pairs?.half(a, b) ?? null) === null ? "none" : "same");

  /** Best against next of one metric in one cohort. */
  Report.bestOf = async (metric, cohort, places) => {
    const found = await Report.ranking(metric, cohort, places);
    if (!found.rows.length) return null;
    const best = found.rows[0].place, next = found.rows[1]?.place;
    const result = { metric, cohort, best, next, n: found.rows.length, kind: "alone", found };
    if (next === undefined) return result;
    result.difference = Report.value(metric, best) - Report.value(metric, next);
    result.p = found.adjusted(0, 1);
    result.half = found.pairs?.half(best, next) ?? null;
    result.kind = result.p !== null ? (result.p <= ALPHA ? "better" : "noise") : Report.withoutP(found.pairs, best, next);
    result.rivals = found.rows.filter((row) => row.low === 1).length;
    return result;
  };

  Report.verdictText = (r) => {
    if (r.kind === "alone") return "the only one shown";
    if (r.kind === "same") return "for both in every seed and text";
    const bar = Report.bar(r.metric, r.best);
    if (r.kind === "none") return `difference ${Report.num(Math.abs(r.difference))}; ${bar.reason || "no values per seed or text were kept for both"}`;
    const size = `${Report.num(r.difference)} (${Report.spread(r.difference - r.half, r.difference + r.half)}), ${Report.pText(r.p)}`;
    const rivals = r.rivals > 1 ? `; ${r.rivals} of ${r.n} could be the best` : "";
    return r.kind === "better" ? `by ${size}` : `difference ${size}${rivals}`;
  };

  const EVERY = { first: null };
  Report.renderBest = async () => {
    const ticket = (EVERY.first = {});
    const all = document.getElementById("best-all").checked;
    const seen = new Set(), metrics = [];
    for (const metric of Report.ranked()) {
      if (all || !seen.has(metric.eval)) metrics.push(metric);
      seen.add(metric.eval);
    }
    const shown = Report.rankable(Report.shown()), rows = [];
    for (const metric of metrics) {
      const entry = Report.evalOf(metric);
      for (let c = 0; c < entry.cohorts.length; c++) {
        const places = shown.filter((place) => entry.cohortOf.get(place) === c);
        const result = places.length ? await Report.bestOf(metric, c, places) : null;
        if (ticket !== EVERY.first) return;
        if (result && (c === 0 || result.n > 1)) rows.push(bestRow(result, entry));
      }
    }
    const head = ["Metric", "Best", "Score", "Next", "Is it better?"].map((text) => h("th", { scope: "col" }, text));
    const table = h("table", { class: "plain best" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
    const note = h("p", { class: "small" }, `Among the SAEs shown${shown.length < Report.shown().length ? ", baselines aside" : ""}. p is corrected (Holm) for all pairs shown on that metric; intervals are 95 %. Filter by L0 above to ask within a sparsity.`);
    Report.fill(document.getElementById("best"), rows.length ? [h("div", { class: "scroll-x" }, table), note] : h("p", {}, "No SAE passes the filters."));
  };

  function bestRow(r, entry) {
    const cohort = entry.cohorts[r.cohort];
    const apart = entry.cohorts.length > 1 ? h("div", { class: "small" }, cohort.title) : null;
    return h("tr", { "data-metric": r.metric.key, "data-verdict": r.kind },
      h("td", { "data-label": "Metric" }, h("a", { href: "#overview", title: `Plot it. ${r.metric.description || ""}`, onclick: (e) => { e.preventDefault(); Report.plotMetric(r.metric.key); } },
        Report.fullTitle(r.metric)), h("span", { title: Report.directionText(r.metric) }, Report.arrow(r.metric)), " ", Report.caveatMark(r.metric), apart),
      h("td", { "data-label": "Best" }, Report.link(r.best)),
      h("td", { "data-label": "Score", class: "num" }, Report.scoreText(r.metric, r.best)),
      h("td", { "data-label": "Next" }, r.next === undefined ? "–" : [Report.link(r.next), " ", h("span", { class: "small" }, Report.num(Report.value(r.metric, r.next)))]),
      h("td", { "data-label": "Is it better?" }, Report.chip(r.kind), " ", h("span", { class: "small" }, Report.verdictText(r))));
  }

  /** `0.787 ±0.012` */
  Report.scoreText = (metric, place) => {
    const bar = Report.bar(metric, place), value = Report.value(metric, place);
    return bar.known ? [Report.num(value), h("span", { class: "pm" }, ` ±${Report.num((bar.high - bar.low) / 2)}`)] : Report.num(value);
  };
})();
