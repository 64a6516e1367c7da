/* Which is best among those shown, and whether the noise allows to say so. p-values and intervals of all pairs come
   with the page; here every SAE that is shown is compared with the best of them (Hsu's comparison with the best). */
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

  /** p-values adjusted for their number (Holm 1979); equal ones share what the first of them gets. */
  Report.holm = (pValues) => {
    const steps = new Map();
    let soFar = 0;
    Float64Array.from(pValues).sort().forEach((p, step, sorted) => {
      soFar = Math.max(soFar, Math.min(1, (sorted.length - step) * p));
      if (!steps.has(p)) steps.set(p, soFar);
    });
    return Float64Array.from(pValues, (p) => steps.get(p));
  };

  /** SAEs of one cohort on one metric, best first. `p` is for "none of the best", corrected for all that are compared;
      null where nothing is known. With 95 % confidence all that are truly the best, or as good, are candidates. */
  Report.ranking = async (metric, cohort, places) => {
    const value = (place) => Report.value(metric, place);
    const ordered = places.filter((place) => value(place) !== null).sort((a, b) => metric.better * (value(b) - value(a)));
    const pairs = ordered.length > 1 ? await Report.pairs(metric, cohort) : null;
    const rows = ordered.map((place) => ({ place, rank: 1, p: null, candidate: true }));
    for (let i = 1; i < rows.length; i++) rows[i].rank = value(ordered[i]) === value(ordered[i - 1]) ? rows[i - 1].rank : i + 1;
    if (!pairs) return { rows, pairs: null };
    for (const row of rows) {
      for (const other of rows) {
        if (other.rank >= row.rank) break;
        const found = pairs.p(other.place, row.place);
        if (found !== null && (row.p === null || found / 2 < row.p)) row.p = found / 2;
      }
    }
    let soFar = 0, left = rows.length; // stepwise: those that tie for the best are at most as many as are left
    for (const row of rows.filter((r) => r.p !== null).sort((a, b) => a.p - b.p)) {
      soFar = Math.max(soFar, Math.min(1, row.p * left * (rows.length - 1)));
      row.p = soFar;
      row.candidate = soFar > ALPHA;
      left -= 1;
    }
    return { rows, pairs };
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
    result.half = found.pairs?.half(best, next) ?? null;
    result.rivals = found.rows.filter((row) => row.candidate).length;
    result.given = Report.evalOf(metric).cohorts[cohort].given;
    const others = found.rows.slice(1).map((row) => row.p);
    result.p = found.rows[1].p === null ? null : Math.max(...others.map((p) => (p === null ? 1 : p))); // of all others together
    result.kind = result.p !== null ? (result.rivals === 1 ? "better" : "noise") : Report.withoutP(found.pairs, best, next);
    return result;
  };

  Report.verdictText = (r) => {
    if (r.kind === "alone") return "the only one shown";
    if (r.kind === "same") return "for both in every seed and text";
    const bar = Report.bar(r.metric, r.best);
    if (r.kind === "none") return `difference ${Report.num(Math.abs(r.difference))}; ${bar.reason || "no values per seed or text were kept for both"}`;
    const size = `${Report.num(r.difference)} (${Report.spread(r.difference - r.half, r.difference + r.half)}), ${Report.pText(r.p)}`;
    const rivals = r.rivals > 1 ? `; ${r.rivals} of ${r.n} could be the best` : "";
    const given = r.given ? `, given ${r.given}` : "";
    return r.kind === "better" ? `by ${size}${given}` : `difference ${size}${rivals}${given}`;
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
    const note = h("p", { class: "small" }, `Among the SAEs shown${shown.length < Report.shown().length ? ", baselines aside" : ""}. p is corrected for comparing all shown with the best; intervals are 95 %. "Given" names what all seeds share: how far other texts would be off is in no interval unless a run drew them anew (--resample-data). Filter by L0 above to ask within a sparsity.`);
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

  /** `±0.012`, or `+0.004 −0.031` where an interval is longer on one side. */
  Report.plusMinus = (bar, value) => {
    const up = bar.high - value, down = value - bar.low;
    if (Math.abs(up - down) <= 0.1 * (up + down)) return `±${Report.num((up + down) / 2)}`;
    return `+${Report.num(Math.max(up, 0))} −${Report.num(Math.max(down, 0))}`;
  };

  /** `0.787 ±0.012` */
  Report.scoreText = (metric, place) => {
    const bar = Report.bar(metric, place), value = Report.value(metric, place);
    return bar.known ? [Report.num(value), h("span", { class: "pm" }, ` ${Report.plusMinus(bar, value)}`)] : Report.num(value);
  };
})();
