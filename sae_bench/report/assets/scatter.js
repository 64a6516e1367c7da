/* One metric against another: points with error bars, fronts, floors and ceilings; and the chart of the overview. */
(() => {
  const { h, data } = Report;
  const choice = { y: null, x: Report.L0, front: true, bars: true, log: true };

  const isLog = (key) => [Report.L0, "sae|width", "sae|training_tokens"].includes(key);
  const xBetter = (metric) => (metric.key === Report.L0 ? -1 : metric.better);

  /** [x, y, place] of the SAEs shown that have both. */
  const points = (x, y, places) => places.map((place) => [Report.value(x, place), Report.value(y, place), place]).filter(([a, b]) => a !== null && b !== null);

  Report.paretoFront = (found, xDirection, yDirection) => {
    const sorted = [...found].sort((a, b) => xDirection * (b[0] - a[0]) || yDirection * (b[1] - a[1]));
    const front = [];
    for (const point of sorted) if (!front.length || yDirection * (point[1] - front.at(-1)[1]) > 0) front.push(point);
    return front.sort((a, b) => a[0] - b[0]);
  };

  const hover = (x, y, place) => {
    const sae = data.saes[place], bar = Report.bar(y, place);
    return `<b>${Report.escape(sae.short)}</b><br>${Report.escape(Report.arch(sae).title)}${sae.width ? `, ${Report.num(sae.width)} latents` : ""}<br>`
      + `${Report.escape(y.title)}: ${Report.num(Report.value(y, place))}${bar.known ? ` (${Report.spread(bar.low, bar.high)})` : ""}<br>`
      + `${Report.escape(x.title)}: ${Report.num(Report.value(x, place))}${data.sources.length > 1 ? `<br>${Report.escape(data.sources[sae.source].label)}` : ""}`;
  };

  /** Traces of a scatter plot: one per architecture and per group of comparable results, fronts, chance. */
  function scatterTraces(x, y, { front, bars, connect }) {
    const groups = new Map(), traces = [];
    for (const point of points(x, y, Report.shown())) {
      const sae = data.saes[point[2]], cohort = Report.cohort(y, point[2]);
      const id = `${sae.arch} ${cohort}`;
      if (!groups.has(id)) groups.set(id, { sae, cohort, points: [] });
      groups.get(id).points.push(point);
    }
    const order = Object.keys(data.architectures);
    const sorted = [...groups.values()].sort((a, b) => a.cohort - b.cohort || order.indexOf(a.sae.arch) - order.indexOf(b.sae.arch));
    if (connect) traces.push(...series(x, y));
    for (const group of sorted) {
      const arch = Report.arch(group.sae), places = group.points.map((p) => p[2]), intervals = places.map((place) => Report.bar(y, place));
      const title = group.cohort ? `${arch.title} (${Report.evalOf(y).cohorts[group.cohort].title})` : arch.title;
      const symbol = group.cohort && !arch.symbol.endsWith("-open") ? `${arch.symbol}-open` : arch.symbol;
      traces.push({
        type: "scatter", mode: "markers", name: title, x: group.points.map((p) => p[0]), y: group.points.map((p) => p[1]),
        marker: { color: arch.color, symbol, size: 10, line: { width: group.cohort ? 1.6 : 0.6, color: group.cohort ? arch.color : Report.css("--card") } },
        error_y: bars && intervals.some((i) => i.known) ? { type: "data", symmetric: false, thickness: 1.2, width: 3, color: arch.color,
          array: group.points.map((p, k) => (intervals[k].known ? intervals[k].high - p[1] : 0)), arrayminus: group.points.map((p, k) => (intervals[k].known ? p[1] - intervals[k].low : 0)) } : undefined,
        customdata: places, text: places.map((place) => hover(x, y, place)), hovertemplate: "%{text}<extra></extra>",
      });
    }
    if (front && y.better && xBetter(x)) traces.push(...fronts(x, y));
    return traces;
  }

  function fronts(x, y) {
    const groups = new Map();
    for (const point of points(x, y, Report.rankable(Report.shown()))) {
      const id = Report.cohort(y, point[2]);
      groups.set(id, [...(groups.get(id) || []), point]);
    }
    return [...groups].filter(([, found]) => found.length > 2).map(([cohort, found]) => {
      const front = Report.paretoFront(found, xBetter(x), y.better);
      return { type: "scatter", mode: "lines", name: cohort ? `Pareto front (${Report.evalOf(y).cohorts[cohort].title})` : "Pareto front", hoverinfo: "skip",
        x: front.map((p) => p[0]), y: front.map((p) => p[1]), line: { color: Report.css("--muted"), width: 1.4, dash: cohort ? "dot" : "dash" } };
    });
  }

  /** Lines through the checkpoints of one training run. */
  function series(x, y) {
    const runs = new Map();
    for (const point of points(x, y, Report.shown())) {
      const sae = data.saes[point[2]], id = `${sae.source} ${sae.release} ${sae.id.replace(/[_/-]*(step|ckpt|checkpoint)[_-]?\d+/i, "")}`;
      runs.set(id, [...(runs.get(id) || []), point]);
    }
    return [...runs.values()].filter((run) => run.length > 1).map((run) => {
      run.sort((a, b) => a[0] - b[0]);
      return { type: "scatter", mode: "lines", showlegend: false, hoverinfo: "skip", x: run.map((p) => p[0]), y: run.map((p) => p[1]),
        line: { color: Report.arch(data.saes[run[0][2]]).color, width: 1.2 }, opacity: 0.6 };
    });
  }

  /** Ticks at 1, 2 and 5 times powers of ten; at powers of two where all values are such. */
  function logTicks(values) {
    const low = Math.min(...values) / 1.3, high = Math.max(...values) * 1.3;
    let ticks = [...new Set(values)].sort((a, b) => a - b);
    if (!ticks.every((v) => Number.isInteger(Math.log2(v))) || ticks.length > 12) {
      ticks = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) for (const d of [1, 2, 5]) ticks.push(d * 10 ** power);
      ticks = ticks.filter((v) => v >= low && v <= high);
      if (ticks.length > 12) ticks = ticks.filter((v) => Number.isInteger(Math.round(Math.log10(v) * 1e6) / 1e6));
    }
    return { tickvals: ticks, ticktext: ticks.map((v) => Report.num(v).replace(/\.0$/, "")), range: [Math.log10(low), Math.log10(high)] };
  }

  Report.scatterFigure = (x, y, options) => {
    const log = options.log && isLog(x.key) && points(x, y, Report.shown()).every(([a]) => a > 0);
    const narrow = options.narrow ?? innerWidth < 560;
    const ends = y.eval ? [[Report.reference(y, "floor") ?? y.chance ?? null, "dot"], [Report.reference(y, "ceiling"), "dash"]] : [];
    const isNear = (level) => level !== null && points(x, y, Report.shown()).some(([, v]) => Math.abs(v - level) < 0.25);
    const shapes = ends.filter(([level]) => isNear(level)).map(([level, dash]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level, line: { color: Report.css("--muted"), width: 1, dash } }));
    const layout = Report.plotLayout({
      xaxis: { title: { text: x.key === Report.L0 ? "L0 (latents per token)" : Report.label(x) + Report.arrow(x) }, type: log ? "log" : "linear", ...(log ? logTicks(points(x, y, Report.shown()).map(([a]) => a)) : {}) },
      yaxis: { title: { text: Report.label(y) + Report.arrow(y) } }, shapes,
      margin: { l: narrow ? 46 : 56, r: 8, t: 8, b: 44 },
    });
    return [scatterTraces(x, y, options), layout];
  };

  // ---- the chart of the overview

  Report.plotMetric = (key) => {
    choice.y = key;
    document.getElementById("scatter-y").value = key;
    drawScatter();
    document.getElementById("scatter-title").scrollIntoView({ behavior: "smooth", block: "start" });
  };

  function drawScatter() {
    const element = document.getElementById("scatter"), x = Report.metric(choice.x), y = Report.metric(choice.y);
    if (!x || !y) return;
    Report.plot(element, (options) => Report.scatterFigure(x, y, { ...choice, ...options }), Report.fileName(y.title, "against", x.title));
    const found = points(x, y, Report.shown()), missing = Report.shown().length - found.length;
    const barless = found.filter(([, , place]) => !Report.bar(y, place).known);
    const groups = new Set(found.map(([, , place]) => Report.cohort(y, place)));
    const why = barless.length ? Report.bar(y, barless[0][2]).reason || "none is kept for this number" : "";
    Report.fill(document.getElementById("scatter-notes"), h("ul", { class: "small" },
      y.description ? h("li", {}, y.description) : null,
      y.caveats?.map((c) => h("li", { class: c.serious ? "warn" : "" }, Report.badge(c.serious), ` ${c.text}`)),
      barless.length ? h("li", {}, `${barless.length} of ${found.length} without error bar: ${why}.`) : null,
      groups.size > 1 ? h("li", {}, "Open markers are results that cannot be compared with the others (see the notes below the table); each group has a front of its own.") : null,
      missing ? h("li", {}, `${missing} SAEs shown above have no value for both.`) : null));
  }

  Report.renderScatter = () => {
    const firstOther = Report.ranked().find((m) => m.eval !== "core") || Report.ranked()[0] || data.metrics[0];
    choice.y = firstOther?.key;
    if (!data.saes.some((sae) => sae.l0 !== null)) choice.x = data.saes.some((s) => s.width) ? "sae|width" : data.metrics[0]?.key;
    const y = Report.metricOptions(h("select", { id: "scatter-y", "aria-label": "Vertical axis", onchange: (e) => { choice.y = e.target.value; drawScatter(); } }), choice.y, false);
    const x = Report.metricOptions(h("select", { id: "scatter-x", "aria-label": "Horizontal axis", onchange: (e) => { choice.x = e.target.value; drawScatter(); } }), choice.x, true);
    const box = (name, label) => h("label", { class: "inline" }, h("input", { type: "checkbox", id: `scatter-${name}`, checked: choice[name], onchange: (e) => { choice[name] = e.target.checked; drawScatter(); } }), ` ${label}`);
    Report.fill(document.getElementById("scatter-controls"), h("label", {}, "Metric ", y), h("label", {}, "against ", x), box("front", "Pareto front"), box("bars", "error bars"), box("log", "log axis"),
      h("span", { class: "push" }, Report.saveMenu(document.getElementById("scatter"))));
    document.getElementById("scatter").before(Report.legend());
    Report.onChange(drawScatter);
    Report.onPage("overview", () => { if (!document.getElementById("scatter").dataset.plotted) drawScatter(); });
  };
})();
