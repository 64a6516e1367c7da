/* The charts that an eval declares for its details (`report/charts.py`), and histograms of latents. */
(() => {
  const { h } = Report;
  const PALETTE = ["--accent", "--second", "--third", "--fourth"];
  const levelInk = (i) => Report.css(i < 2 ? "--muted" : "--third");

  /** A plot that is drawn when it is to be seen. */
  function chart(id, make, name) {
    const element = h("div", { class: "plot small-plot", id });
    element.draw = () => { if (element.offsetParent !== null) Report.plot(element, make, name); };
    return element;
  }
  Report.chart = chart;
  /** Each chart in a task of its own, so that a click need not wait for all. */
  Report.drawWithin = (box) => Report.busyWith((async () => {
    for (const element of box.querySelectorAll(".plot")) {
      if (!element.draw) continue;
      element.draw();
      await new Promise((done) => setTimeout(done));
    }
  })());

  Report.detailCharts = (entry, charts, sae) => h("div", { class: "grid" }, charts.map((found, i) => {
    const element = chart(`chart-${entry.name}-${i}`, () => figure(found), Report.fileName(sae.short, entry.name, found.title));
    return h("figure", {}, h("figcaption", { class: "card-head" }, h("h3", {}, found.title), h("span", { class: "push" }, Report.saveMenu(element))), legend(found), element);
  }));

  const color = (found, series) => Report.css(PALETTE[found.series.filter((s) => s.role !== "row").indexOf(series) % PALETTE.length] || "--muted");

  function legend(found) {
    const rows = found.series.filter((series) => series.role === "row");
    const named = found.series.filter((series) => series.name && series.role !== "row");
    const mark = (style) => h("span", { class: "line-mark", style });
    return h("div", { class: "legend small" },
      named.map((series) => {
        const ink = color(found, series), point = h("span", { class: "point-mark", style: series.role === "hollow" ? `border: 2px solid ${ink}` : `background: ${ink}` });
        return h("span", {}, found.kind === "numbers" ? mark(`border-top: 3px ${series.role === "beside" ? "dotted" : "solid"} ${ink}`) : point, series.name);
      }),
      rows.length ? h("span", {}, mark("border-top: 1px solid var(--muted)"), `each of ${rows.length} data sets`) : null,
      Object.entries(found.levels).map(([name, level], i) => h("span", {}, mark(`border-top: 2px ${i % 2 ? "dotted" : "dashed"} ${levelInk(i)}`), `${name} (${Report.num(level)})`)));
  }

  function figure(found) {
    const traces = found.series.map((series) => trace(found, series));
    const numbers = [...new Set(found.series.flatMap((series) => series.x))].sort((a, b) => a - b);
    const shapes = Object.values(found.levels).map((level, i) => ({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level, line: { color: levelInk(i), width: 1.3, dash: i % 2 ? "dot" : "dash" },
    }));
    const xaxis = {
      rows: { type: "category", tickangle: "auto", tickfont: { size: 11 }, title: { text: "" } },
      numbers: { type: "log", tickvals: numbers, ticktext: numbers.map(String), title: { text: found.x } },
      plane: { title: { text: found.x } },
    }[found.kind];
    return [traces, Report.plotLayout({ xaxis, yaxis: { title: { text: found.y } }, shapes, margin: { l: 56, r: 8, t: 8, b: 44 } })];
  }

  function trace(found, series) {
    const ink = color(found, series), bars = series.low?.some((low) => low !== null);
    const errors = bars && {
      type: "data", symmetric: false, thickness: 1.4, width: 4, color: ink,
      array: series.y.map((y, i) => (series.high[i] === null ? 0 : series.high[i] - y)), arrayminus: series.y.map((y, i) => (series.low[i] === null ? 0 : y - series.low[i])),
    };
    const said = series.y.map((y, i) => `${Report.escape(series.name)}<br>${Report.escape(series.text?.[i] || series.x[i])}: ${Report.num(y)}${bars && series.low[i] !== null ? ` (${Report.spread(series.low[i], series.high[i])})` : ""}`);
    const base = { type: "scatter", name: series.name, x: series.x, y: series.y, text: said, hovertemplate: "%{text}<extra></extra>", error_y: errors || undefined };
    if (series.role === "row") return { ...base, mode: "lines+markers", showlegend: false, opacity: 0.55, line: { color: Report.css("--muted"), width: 1 }, marker: { size: 4, color: Report.css("--muted") } };
    if (series.role === "join") return { ...base, mode: "lines", showlegend: false, hoverinfo: "skip", hovertemplate: null, line: { color: Report.css("--line"), width: 1.5 } };
    const lined = found.kind === "numbers", hollow = series.role === "hollow";
    return { ...base, mode: lined ? "lines+markers" : "markers", line: { color: ink, width: 2.2, dash: series.role === "beside" ? "dot" : "solid" }, marker: { color: ink, size: 9, symbol: hollow ? "circle-open" : "circle", line: { width: hollow ? 2 : 0 } } };
  }

  Report.histograms = (entry, list, first) => {
    const make = (found) => {
      const middle = found.counts.map((_, i) => (found.edges[i] + found.edges[i + 1]) / 2), width = found.edges[1] - found.edges[0];
      const element = chart(`histogram-${entry.name}-${found.name}`, () => [[{ type: "bar", x: middle, y: found.counts, width: middle.map(() => width * 0.94), marker: { color: Report.css("--accent") }, hovertemplate: "%{x:.3g}: %{y} latents<extra></extra>" }],
        Report.plotLayout({ xaxis: { title: { text: found.title } }, yaxis: { title: { text: "latents" } }, margin: { l: 48, r: 8, t: 6, b: 40 }, bargap: 0.02 })], Report.fileName(entry.name, found.name));
      return h("figure", {}, element, found.dead ? h("figcaption", { class: "small" }, `${found.dead} latents never fired.`) : null);
    };
    const shown = first.length ? list.filter((found) => first.includes(found.name)) : list, others = list.filter((found) => !shown.includes(found));
    return [h("div", { class: "grid" }, shown.map(make)), others.length ? Report.folded(`More histograms of latents (${others.length})`, h("div", { class: "grid" }, others.map(make))) : null];
  };

  /** How a handful of scores of latents lie. */
  Report.scoreHistogram = (id, scores, title) => {
    const element = chart(id, () => [[{ type: "histogram", x: scores, nbinsx: Math.max(5, Math.ceil(Math.sqrt(scores.length)) * 2), marker: { color: Report.css("--accent") }, hovertemplate: "%{x}: %{y} latents<extra></extra>" }],
      Report.plotLayout({ xaxis: { title: { text: title } }, yaxis: { title: { text: "latents" } }, margin: { l: 48, r: 8, t: 6, b: 40 }, bargap: 0.04 })], id);
    return h("figure", {}, element);
  };
})();
