/* Charts: plotly.js draws, this file says what. */
(() => {
  const { h, data } = Report;
  const choice = { y: null, x: Report.L0, front: true, bars: true, log: true };
  let ready = false;
  const drawn = new Map();

  Report.plotLayout = (more) => {
    const ink = Report.css("--ink"), grid = Report.css("--line");
    const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true, title: { standoff: 8 } };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: "system-ui, sans-serif", size: 13 },
      margin: { l: 56, r: 12, t: 12, b: 48 }, hoverlabel: { bgcolor: Report.css("--card"), bordercolor: grid, font: { color: ink } },
      legend: { orientation: "h", y: -0.18, x: 0, yanchor: "top" }, hovermode: "closest", ...more,
      xaxis: { ...axis, ...more?.xaxis }, yaxis: { ...axis, ...more?.yaxis },
    };
  };
  const config = { responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };

  /** Draw, or draw again; `make` gives [traces, layout] and is called again when the theme changes. */
  Report.plot = (element, make, name) => {
    drawn.set(element, make);
    if (!ready) return;
    const [traces, layout] = make();
    element.dataset.plotted = "yes";
    Plotly.react(element, traces, layout, { ...config, toImageButtonOptions: { filename: name || "sae_bench", format: "svg" } });
  };
  Report.redraw = () => {
    for (const [element, make] of drawn) {
      if (!element.isConnected) drawn.delete(element);
      else if (element.offsetParent !== null) Report.plot(element, make);
    }
  };
  Report.exportButtons = (element, name) => ["png", "svg"].map((format) => h("button", { type: "button", class: "ghost", "data-export": format,
    title: `Save this figure as ${format.toUpperCase()}`, onclick: () => Plotly.downloadImage(element, { format, filename: name(), width: 1000, height: 640, scale: format === "png" ? 2 : 1 }) }, format.toUpperCase()));

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
    return `<b>${escape(sae.short)}</b><br>${escape(Report.arch(sae).title)}${sae.width ? `, ${Report.num(sae.width)} latents` : ""}<br>`
      + `${escape(y.title)}: ${Report.num(Report.value(y, place))}${bar.known ? ` (${Report.spread(bar.low, bar.high)})` : ""}<br>`
      + `${escape(x.title)}: ${Report.num(Report.value(x, place))}${data.sources.length > 1 ? `<br>${escape(data.sources[sae.source].label)}` : ""}`;
  };
  const escape = (text) => String(text).replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);

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

  function scatterFigure(x, y, options) {
    const log = options.log && isLog(x.key) && points(x, y, Report.shown()).every(([a]) => a > 0);
    const narrow = innerWidth < 560;
    const ends = y.eval ? [[Report.reference(y, "floor") ?? y.chance ?? null, "dot"], [Report.reference(y, "ceiling"), "dash"]] : [];
    const isNear = (level) => level !== null && points(x, y, Report.shown()).some(([, v]) => Math.abs(v - level) < 0.25);
    const shapes = ends.filter(([level]) => isNear(level)).map(([level, dash]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level, line: { color: Report.css("--muted"), width: 1, dash } }));
    const layout = Report.plotLayout({
      xaxis: { title: { text: x.title + (x.key === Report.L0 ? " (latents per token)" : Report.arrow(x)) }, type: log ? "log" : "linear", ...(log ? logTicks(points(x, y, Report.shown()).map(([a]) => a)) : {}) },
      yaxis: { title: { text: y.title + Report.arrow(y) } }, shapes,
      ...(narrow ? { legend: { orientation: "h", y: -0.28, font: { size: 11 } }, margin: { l: 46, r: 6, t: 8, b: 44 } } : {}),
    });
    if (options.small) Object.assign(layout, { showlegend: false, margin: { l: 50, r: 8, t: 8, b: 44 } });
    return [scatterTraces(x, y, options), layout];
  }

  /** As `scatterFigure`; nothing where no result of the report has one of the two metrics. */
  const scatterOrNone = (x, y, options) => (x && y ? scatterFigure(x, y, options) : [[], {}]);

  function openOnClick(element) {
    element.on?.("plotly_click", (event) => {
      const place = event.points[0]?.customdata;
      if (place !== undefined && typeof place === "number") location.hash = `#sae/${place}`;
    });
  }

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
    const before = element.dataset.plotted;
    Report.plot(element, () => scatterFigure(x, y, choice), `${y.title}_against_${x.title}`.replace(/\W+/g, "_"));
    if (!before && element.dataset.plotted) openOnClick(element);
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
      h("span", { class: "push" }, Report.exportButtons(document.getElementById("scatter"), () => `${Report.metric(choice.y).title}_against_${Report.metric(choice.x).title}`.replace(/\W+/g, "_"))));
    Report.onChange(drawScatter);
  };

  // ---- the page of plots

  const panels = [];
  function panel(id, title, draw, { select, note, wide } = {}) {
    const element = h("div", { class: "plot", id: `plot-${id}` }), status = h("p", { class: "small empty", hidden: true });
    const entry = { id, element, status, draw };
    panels.push(entry);
    return h("section", { class: wide ? "card wide" : "card", "aria-labelledby": `plot-${id}-title` },
      h("div", { class: "card-head" }, h("h2", { id: `plot-${id}-title` }, title), h("span", { class: "push" }, Report.exportButtons(element, () => `sae_bench_${id}`))),
      select ? h("div", { class: "controls" }, select) : null, element, status, note ? h("p", { class: "small" }, note) : null);
  }

  Report.renderPlots = () => {
    const page = document.getElementById("page-plots"), ranked = Report.ranked();
    const first = ranked.find((m) => m.eval !== "core") || ranked[0];
    const pick = { metric: first?.key, sae: "" };
    const redraw = () => { if (!page.hidden) panels.forEach(drawPanel); };
    const metric = Report.metricOptions(h("select", { id: "plots-metric", "aria-label": "Metric of the plots", onchange: (e) => { pick.metric = e.target.value; redraw(); } }), pick.metric, false);
    const saes = h("select", { id: "plots-sae", "aria-label": "SAE to highlight", onchange: (e) => { pick.sae = e.target.value; redraw(); } },
      h("option", { value: "" }, "none"), data.saes.map((sae) => h("option", { value: String(sae.index) }, sae.short)));
    const against = (key) => () => scatterOrNone(Report.metric(key), Report.metric(pick.metric), { small: true, front: key === Report.LOSS || key === Report.L0, bars: true, log: true, connect: key === "sae|training_tokens" });
    Report.fill(page, h("section", { class: "card controls" }, h("label", {}, "Metric ", metric), h("span", { class: "legend", "aria-label": "Markers" }, Object.values(data.architectures).map((arch) => h("span", {}, Report.swatch(arch), arch.title)))),
      h("div", { class: "grid" },
        panel("l0", "Against L0", against(Report.L0)),
        panel("loss", "Against loss recovered", against(Report.LOSS)),
        panel("width", "By width", against("sae|width")),
        panel("tokens", "By training tokens", against("sae|training_tokens"), { note: "Lines join the checkpoints of one training run." }),
        panel("parallel", "One SAE against the rest", () => parallelFigure(pick.sae === "" ? null : Number(pick.sae)), { wide: true, select: h("label", {}, "Highlight ", saes), note: "Every metric from its worst (0) to its best (1) value among the SAEs shown; lower-is-better metrics are turned." }),
        panel("correlation", "Do the metrics agree?", correlationFigure, { wide: true, note: "Spearman rank correlation over the SAEs shown, of comparable results; lower-is-better metrics are turned, so that 1 always means: they rank SAEs alike." })));
    Report.onChange(redraw);
    Report.onPage("plots", redraw);
  };

  function drawPanel(entry) {
    const [traces] = entry.draw();
    const empty = !traces.some((trace) => (trace.x?.length || 0) > 0 || trace.z?.length);
    entry.status.hidden = !empty;
    entry.element.hidden = empty;
    entry.status.textContent = "The results shown do not say this.";
    if (empty) return;
    const before = entry.element.dataset.plotted;
    Report.plot(entry.element, entry.draw, `sae_bench_${entry.id}`);
    if (!before && entry.element.dataset.plotted) openOnClick(entry.element);
  }

  /** Values of a metric from 0 (worst shown) to 1 (best shown), in the largest group of comparable results. */
  function scaled(metric, places) {
    const kept = places.filter((place) => Report.value(metric, place) !== null && Report.cohort(metric, place) === 0);
    const values = kept.map((place) => metric.better * Report.value(metric, place));
    const low = Math.min(...values), high = Math.max(...values);
    return new Map(kept.map((place, i) => [place, high > low ? (values[i] - low) / (high - low) : 0.5]));
  }

  const shortTitle = (metric) => `${Report.evalOf(metric).title.replace(/^(\S+ \S+).*/, "$1")}<br>${metric.title}`;

  function parallelFigure(highlighted) {
    const shown = Report.shown(), columns = Report.ranked().map((metric) => [metric, scaled(metric, shown)]).filter(([, values]) => values.size > 1);
    const labels = columns.map(([metric]) => shortTitle(metric)), few = shown.length <= 40, traces = [];
    const line = (place, more) => ({ type: "scatter", mode: "lines+markers", x: labels, y: columns.map(([, values]) => values.get(place) ?? null), name: data.saes[place].short,
      customdata: labels.map(() => place), text: columns.map(([metric]) => hover(Report.metric(Report.L0) || metric, metric, place)), hovertemplate: "%{text}<extra></extra>", ...more });
    for (const place of shown) {
      if (place === highlighted) continue;
      const color = Report.arch(data.saes[place]).color;
      traces.push(line(place, { showlegend: false, opacity: highlighted === null ? (few ? 0.75 : 0.35) : 0.22, line: { color, width: few ? 1.4 : 1 }, marker: { color, size: few ? 5 : 3, symbol: Report.arch(data.saes[place]).symbol } }));
    }
    if (highlighted !== null) traces.push(line(highlighted, { showlegend: true, line: { color: Report.css("--accent"), width: 3.2 }, marker: { size: 9, color: Report.css("--accent"), symbol: Report.arch(data.saes[highlighted]).symbol } }));
    return [columns.length ? traces : [], Report.plotLayout({ xaxis: { tickangle: -40, tickfont: { size: 11 } }, yaxis: { title: { text: "worst → best shown" }, range: [-0.05, 1.05] }, legend: { orientation: "h", y: 1.12 }, margin: { l: 50, r: 16, t: 30, b: 90 } })];
  }
  Report.parallelFigure = parallelFigure;

  function ranks(values) {
    const order = values.map((v, i) => [v, i]).sort((a, b) => a[0] - b[0]), found = new Array(values.length);
    for (let i = 0; i < order.length;) {
      let j = i;
      while (j + 1 < order.length && order[j + 1][0] === order[i][0]) j += 1;
      for (let k = i; k <= j; k++) found[order[k][1]] = (i + j) / 2;
      i = j + 1;
    }
    return found;
  }

  Report.spearman = (a, b) => {
    const [x, y] = [ranks(a), ranks(b)], mean = (v) => v.reduce((s, u) => s + u, 0) / v.length, [mx, my] = [mean(x), mean(y)];
    let xy = 0, xx = 0, yy = 0;
    x.forEach((v, i) => { xy += (v - mx) * (y[i] - my); xx += (v - mx) ** 2; yy += (y[i] - my) ** 2; });
    return xx && yy ? xy / Math.sqrt(xx * yy) : null;
  };

  function correlationFigure() {
    const shown = Report.shown(), l0 = Report.metric(Report.L0);
    const metrics = [...Report.ranked(), ...(l0 ? [l0] : [])];
    const columns = metrics.map((metric) => new Map(shown.filter((place) => Report.value(metric, place) !== null && Report.cohort(metric, place) === 0).map((place) => [place, (metric.better || 1) * Report.value(metric, place)])));
    const kept = metrics.map((_, i) => i).filter((i) => new Set(columns[i].values()).size > 1);
    const n = kept.map((i) => kept.map((j) => shown.filter((place) => columns[i].has(place) && columns[j].has(place))));
    const z = kept.map((i, a) => kept.map((j, b) => (n[a][b].length < 4 ? null : Report.spearman(n[a][b].map((p) => columns[i].get(p)), n[a][b].map((p) => columns[j].get(p))))));
    const labels = kept.map((i) => shortTitle(metrics[i]));
    const trace = { type: "heatmap", x: labels, y: labels, z, zmin: -1, zmax: 1, colorscale: [[0, "#c1443c"], [0.5, Report.css("--card")], [1, "#2f6fd0"]], xgap: 1, ygap: 1,
      text: z.map((row, a) => row.map((v, b) => (v === null ? "" : `${v.toFixed(2)} over ${n[a][b].length} SAEs`))), hovertemplate: "%{y}<br>%{x}<br>%{text}<extra></extra>", colorbar: { thickness: 12, len: 0.8 } };
    if (kept.length <= 14) Object.assign(trace, { texttemplate: "%{z:.2f}", textfont: { size: 11 } });
    return [kept.length > 1 ? [trace] : [], Report.plotLayout({ xaxis: { tickangle: -45, tickfont: { size: 10 } }, yaxis: { autorange: "reversed", tickfont: { size: 10 } }, margin: { l: 120, r: 8, t: 8, b: 110 } })];
  }

  /** Run plotly.js, and in a task of its own, so that a click need not wait for both, draw what is to be seen. */
  Report.startPlots = () => {
    document.head.append(h("script", {}, document.getElementById("plotly").textContent));
    setTimeout(drawFirst);
  };

  function drawFirst() {
    ready = true;
    Report.onPage("overview", () => { if (!document.getElementById("scatter").dataset.plotted) drawScatter(); });
    Report.route();
    Report.ready = true;
    Report.drawnAfter = performance.now();
  }
})();
