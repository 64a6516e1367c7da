/* Which is best among those shown, and whether the noise allows to say so. p-values and intervals of all pairs come
   with the page, corrected for all pairs of their cohort, so that they hold at once whichever are shown; here every SAE
   that is shown is compared with the best of them (Hsu's comparison with the best). */
(() => {
  const { h, data } = Report;
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

  let halves = null; // what every packed half width stands for: looked up, since a ranking needs all pairs
  function read(metric, cohort, bytes) {
    const numbers = new Uint16Array(bytes.buffer), half = numbers.length / 2, scale = data.pairs;
    halves ??= Float64Array.from({ length: scale.unknown }, (_, n) => 10 ** (n / scale.half - scale.shift));
    const places = Report.evalOf(metric).cohorts[cohort].members.filter((place) => Report.value(metric, place) !== null);
    const position = new Int32Array(data.saes.length);
    places.forEach((place, i) => { position[place] = i; });
    const at = (a, b) => {
      const x = position[a], y = position[b], i = Math.min(x, y), j = Math.max(x, y);
      return places.length * i - (i * (i + 1)) / 2 + (j - i - 1);
    };
    return {
      p: (a, b) => { const n = numbers[at(a, b)]; return n === scale.unknown ? null : 10 ** (-n / scale.p); },
      half: (a, b) => { const n = numbers[half + at(a, b)]; return n === scale.unknown ? null : halves[n]; },
      /** Whether both have the same values everywhere, up to rounding: nothing to test, and an interval of no width. */
      same: (a, b) => { const i = at(a, b); return numbers[i] === scale.unknown && numbers[half + i] !== scale.unknown; },
    };
  }

  /** SAEs of one cohort on one metric, best first. Of each: how far it is behind the best of the others at least
      (`least`) and at most (`most`); null where nothing, or not all, is known. Those not behind for sure are candidates. */
  Report.ranking = async (metric, cohort, places) => {
    const value = (place) => Report.value(metric, place);
    const ordered = places.filter((place) => value(place) !== null).sort((a, b) => metric.better * (value(b) - value(a)));
    const pairs = ordered.length > 1 ? await Report.pairs(metric, cohort) : null;
    const rows = ordered.map((place) => ({ place, rank: 1, least: null, most: null, p: null, candidate: true }));
    for (let i = 1; i < rows.length; i++) {
      const equal = value(ordered[i]) === value(ordered[i - 1]) || pairs?.same(ordered[i], ordered[i - 1]);
      rows[i].rank = equal ? rows[i - 1].rank : i + 1;
    }
    if (!pairs) return { rows, pairs: null };
    for (const row of rows) {
      let all = true;
      for (const other of rows) {
        if (other === row) continue;
        const half = pairs.half(other.place, row.place);
        if (half === null) { all = false; continue; }
        const same = pairs.same(other.place, row.place), ahead = same ? 0 : metric.better * (value(other.place) - value(row.place));
        row.least = Math.max(row.least ?? -Infinity, ahead - half);
        row.most = Math.max(row.most ?? -Infinity, ahead + half);
        if (ahead <= 0) continue;
        row.p = Math.min(row.p ?? 1, pairs.p(other.place, row.place)); // that none is better
        if (ahead > half) row.candidate = false;
      }
      if (!all) row.most = null;
    }
    return { rows, pairs };
  };

  const CHIPS = { better: "better", noise: "inside the noise", none: "no error bar", same: "the same", alone: "alone" };
  Report.chip = (kind, text) => h("span", { class: `chip ${kind}` }, text || CHIPS[kind]);

  /** Two scores without a p-value: equal wherever they were measured (the width of the interval is known), or unknown. */
  Report.withoutP = (pairs, a, b) => (pairs?.same(a, b) ? "same" : "none");

  /** The best of one metric in one cohort: against the next if it is better than all others, else against the first of
      those that could be the best too. */
  Report.bestOf = async (metric, cohort, places) => {
    const found = await Report.ranking(metric, cohort, places), rows = found.rows;
    if (!rows.length) return null;
    const best = rows[0].place, others = rows.slice(1), next = others[0]?.place;
    const result = { metric, cohort, best, next, n: rows.length, kind: "alone", found };
    if (next === undefined) return result;
    const rivals = others.filter((row) => row.candidate), against = rivals[0] || others[0];
    result.rivals = rivals.length + 1;
    result.given = Report.evalOf(metric).cohorts[cohort].given;
    result.against = against.place;
    result.difference = metric.better * (Report.value(metric, best) - Report.value(metric, against.place));
    const p = found.pairs?.p(best, against.place) ?? null, half = found.pairs?.half(best, against.place) ?? null;
    result.p = rivals.length ? p : against.p;
    result.least = rivals.length ? result.difference - half : against.least;
    result.most = rivals.length ? result.difference + half : against.most ?? result.difference + half;
    result.kind = !rivals.length ? "better" : p === null ? Report.withoutP(found.pairs, best, against.place) : "noise";
    return result;
  };

  Report.verdictText = (r) => {
    if (r.kind === "alone") return "the only one shown";
    const whom = r.against === r.next ? "" : ` from ${data.saes[r.against].short}`;
    const rivals = r.rivals > 1 ? `; ${r.rivals} of ${r.n} could be the best` : "";
    if (r.kind === "same") return `for both in every seed and text${r.difference ? ", up to rounding" : ""}${rivals}`;
    if (r.kind === "none") {
      const bar = Report.bar(r.metric, r.best);
      return `difference${whom} ${Report.num(r.difference)}; ${bar.reason || "too few units, or no values per seed or text were kept for both"}`;
    }
    const size = `${Report.differenceText(r.difference, r.least, r.most)}, ${Report.pText(r.p)}`;
    const given = r.given ? `, given ${r.given}` : "";
    return r.kind === "better" ? `by ${size}${given}` : `difference${whom} ${size}${rivals}${given}`;
  };

  const EVERY = { first: null };
  Report.renderBest = () => Report.busyWith(renderBest());
  async function renderBest() {
    const ticket = (EVERY.first = {});
    const all = document.getElementById("best-all").checked;
    const metrics = all ? Report.ranked() : Report.mainMetrics();
    const shown = Report.rankable(Report.shown()), rows = [];
    for (const metric of metrics) {
      const entry = Report.evalOf(metric);
      for (let c = 0; c < entry.cohorts.length; c++) {
        const places = shown.filter((place) => entry.cohortOf.get(place) === c);
        const result = places.length ? await Report.bestOf(metric, c, places) : null;
        await Report.breathe();
        if (ticket !== EVERY.first) return;
        if (result && (c === 0 || result.n > 1)) rows.push(bestRow(result, entry));
      }
    }
    const head = ["Metric", "Best", "Score", "Next", "Above floor", "Is it better?"].map((text) => h("th", { scope: "col" }, text));
    const table = h("table", { class: "plain best" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
    const note = h("p", { class: "small" }, `Among the SAEs shown${shown.length < Report.shown().length ? ", baselines aside" : ""}. Intervals and p are corrected for all pairs of SAEs on a metric: with 95 % confidence all its intervals hold at once, and a difference is inside the noise if its interval holds 0. ±: the interval of one score alone. "Given" names what all seeds share: how far other texts would be off is in no interval unless a run drew them anew (--resample-data). Filter by L0 above to ask within a sparsity.`);
    Report.fill(document.getElementById("best"), rows.length ? [h("div", { class: "scroll-x" }, table), note] : h("p", {}, "No SAE passes the filters."));
  }

  /** Whether a score is above what an SAE of no merit gets, as far as its interval tells; and the share of the way up. */
  function aboveFloor(metric, place) {
    const beside = Report.beside(metric, place);
    if (beside.above === null) return h("span", { title: beside.floor === null ? "no floor was measured" : `floor ${Report.num(beside.floor)}` }, "–");
    const kind = beside.low === null ? "none" : beside.low > 0 ? "better" : "noise";
    const said = `(score − floor) / (ceiling − floor); floor ${Report.num(beside.floor)}, ceiling ${Report.num(beside.ceiling)}`;
    return [Report.chip(kind, { better: "above", noise: "not for sure", none: "no interval" }[kind]), h("span", { title: said }, ` ${Report.aboveText(beside)}`)];
  }

  function bestRow(r, entry) {
    const cohort = entry.cohorts[r.cohort];
    const apart = entry.cohorts.length > 1 ? h("div", { class: "small" }, cohort.title) : null;
    return h("tr", { "data-metric": r.metric.key, "data-verdict": r.kind },
      h("td", { "data-label": "Metric" }, h("a", { href: "#overview", title: `Plot it. ${r.metric.description || ""}`, onclick: (e) => { e.preventDefault(); Report.plotMetric(r.metric.key); } },
        Report.fullTitle(r.metric)), h("span", { title: Report.directionText(r.metric) }, Report.arrow(r.metric)), " ", Report.caveatMark(r.metric), apart),
      h("td", { "data-label": "Best" }, Report.link(r.best)),
      h("td", { "data-label": "Score", class: "num" }, Report.scoreText(r.metric, r.best)),
      h("td", { "data-label": "Next" }, r.next === undefined ? "–" : [Report.link(r.next), " ", h("span", { class: "small" }, Report.valueAndError(r.metric, r.next)[0])]),
      h("td", { "data-label": "Above floor", class: "small" }, aboveFloor(r.metric, r.best)),
      h("td", { "data-label": "Is it better?" }, Report.chip(r.kind), " ", h("span", { class: "small" }, Report.verdictText(r))));
  }

  /** [value, what stands behind it]: `0.787`, `±0.012`, or `+0.004 −0.031` where an interval is longer on one side. */
  Report.valueAndError = (metric, place) => {
    const bar = Report.bar(metric, place), value = Report.value(metric, place);
    if (!bar.known) return [value !== null && Report.isCount(metric) ? String(value) : Report.num(value), ""];
    const up = Math.max(bar.high - value, 0), down = Math.max(value - bar.low, 0);
    if (Math.abs(up - down) <= 0.1 * (up + down)) {
      const [shown, error] = Report.withError(value, (up + down) / 2);
      return [shown, `±${error}`];
    }
    const [shown, above, below] = [value, up, down].map((v) => Report.withError(v, Math.max(up, down))[0]);
    return [shown, `+${above} −${below}`];
  };

  /** `0.787 ±0.012` */
  Report.scoreText = (metric, place) => {
    const [value, error] = Report.valueAndError(metric, place);
    return error ? [value, h("span", { class: "pm" }, ` ${error}`)] : value;
  };
})();
