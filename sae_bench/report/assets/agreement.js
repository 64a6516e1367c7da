/* All metrics at once: one SAE against the rest, and which metrics rank SAEs alike. */
(() => {
  const { data } = Report;
  const ROW = 24;

  /** SAE -> value, higher is better, among the places; only results that compare with one another. */
  const comparable = (metric, places) => new Map(places
    .filter((place) => Report.value(metric, place) !== null && Report.cohort(metric, place) === 0)
    .map((place) => [place, (metric.better || 1) * Report.value(metric, place)]));

  /** From 0 (the worst of the SAEs that are ranked) to 1 (the best); baselines beyond stay at the end, marked. */
  function scaled(metric, places) {
    const values = comparable(metric, places);
    const ranked = Report.rankable([...values.keys()]).map((place) => values.get(place));
    const low = Math.min(...ranked), high = Math.max(...ranked);
    return new Map([...values].map(([place, value]) => [place, high > low ? (value - low) / (high - low) : 0.5]));
  }

  const rowAxis = (labels, narrow) => ({
    tickmode: "array", tickvals: labels.map((_, i) => i), range: [labels.length - 0.4, -0.6], zeroline: false,
    ticktext: labels.map((label) => Report.escape(narrow ? Report.shorten(label, 24) : label)), tickfont: { size: narrow ? 10 : 12 },
  });
  const rowHeight = (n, rest) => Math.max(220, n * ROW + rest);

  /** One row per metric: every SAE a point between the worst and the best shown, the highlighted one joined by a line. */
  Report.stripFigure = (highlighted, metrics, { narrow = innerWidth < 560 } = {}) => {
    const shown = Report.shown(), places = highlighted === null || shown.includes(highlighted) ? shown : [...shown, highlighted];
    const rows = metrics.map((metric) => [metric, scaled(metric, places)]).filter(([, values]) => values.size > 1);
    const byArch = new Map();
    rows.forEach(([metric, values], row) => values.forEach((value, place) => {
      if (place === highlighted) return;
      const arch = data.saes[place].arch;
      if (!byArch.has(arch)) byArch.set(arch, []);
      byArch.get(arch).push({ x: value, y: row, place, metric });
    }));
    const few = places.length <= 40, crowded = [...byArch.values()].reduce((sum, list) => sum + list.length, 0) > MOST_POINTS;
    const traces = crowded ? [...byArch.keys()].map(legendEntry) : Object.keys(data.architectures).filter((arch) => byArch.has(arch)).map((arch) => points(byArch.get(arch), {
      name: data.architectures[arch].title, color: data.architectures[arch].color, symbol: data.architectures[arch].symbol,
      size: few ? 8 : 6, opacity: highlighted === null ? (few ? 0.85 : 0.5) : 0.4,
    }));
    if (highlighted !== null) traces.push(highlightedTrace(rows, highlighted));
    const layout = Report.plotLayout({
      height: rowHeight(rows.length, 70),
      xaxis: { title: { text: "worst → best SAE shown" }, range: [-0.06, 1.06], tickvals: [0, 0.5, 1], zeroline: false },
      yaxis: rowAxis(rows.map(([metric]) => Report.label(metric)), narrow),
      margin: { l: 60, r: 16, t: 8, b: 40 }, shapes: crowded ? [...byArch].map(([arch, list]) => ticks(list, data.architectures[arch].color)) : [],
    });
    return [rows.length ? traces : [], layout];
  };

  const LEAST = -0.04, MOST = 1.04, MOST_POINTS = 1500;
  /** Beyond `MOST_POINTS` a point takes too long to draw: a short line for each, all of an architecture in one path. */
  const ticks = (list, color) => ({
    type: "path", xref: "x", yref: "y", layer: "below", opacity: 0.6, line: { color, width: 1 },
    path: list.map(({ x, y }) => { const at = Math.min(Math.max(x, LEAST), MOST).toFixed(4); return `M${at},${(y - 0.32).toFixed(2)}L${at},${(y + 0.32).toFixed(2)}`; }).join(""),
  });
  const legendEntry = (arch) => ({ type: "scatter", mode: "markers", name: data.architectures[arch].title, x: [null], y: [null], marker: { symbol: "line-ns-open", size: 9, color: data.architectures[arch].color, line: { width: 1.5 } } });
  function points(list, { name, color, symbol, size, opacity }) {
    return {
      type: "scatter", mode: "markers", name, x: list.map((p) => Math.min(Math.max(p.x, LEAST), MOST)), y: list.map((p) => p.y),
      customdata: list.map((p) => p.place), text: list.map((p) => hover(p.metric, p.place)), hovertemplate: "%{text}<extra></extra>",
      marker: { color, opacity, size, symbol: list.map((p) => (p.x > MOST ? "triangle-right" : p.x < LEAST ? "triangle-left" : symbol)) },
    };
  }

  function highlightedTrace(rows, place) {
    const list = rows.flatMap(([metric, values], row) => (values.has(place) ? [{ x: values.get(place), y: row, place, metric }] : []));
    const accent = Report.css("--accent");
    const trace = points(list, { name: Report.shorten(data.saes[place].short, 40), color: accent, symbol: Report.arch(data.saes[place]).symbol, size: 12, opacity: 1 });
    return { ...trace, mode: "lines+markers", line: { color: accent, width: 2.5 } };
  }

  const hover = (metric, place) => `<b>${Report.escape(data.saes[place].short)}</b><br>${Report.escape(Report.label(metric))}: ${Report.num(Report.value(metric, place))}`;

  const FEWEST_SAES = 4;
  /** Rank correlations of the metrics over the SAEs shown; metrics that agree stand side by side. */
  Report.agreementFigure = (metrics, { narrow = innerWidth < 560 } = {}) => {
    const places = Report.shown();
    const columns = metrics.map((metric) => [metric, comparable(metric, places)]).filter(([, values]) => new Set(values.values()).size > 1);
    const whole = columns.map(([, a]) => (a.size === places.length ? Report.ranks(places.map((p) => a.get(p))) : null));
    const correlation = columns.map(() => []), common = columns.map(() => []);
    for (let i = 0; i < columns.length; i++) {
      for (let j = 0; j <= i; j++) {
        const [[, a], [, b]] = [columns[i], columns[j]], complete = whole[i] && whole[j];
        const both = complete ? places : places.filter((place) => a.has(place) && b.has(place));
        const r = both.length < FEWEST_SAES ? null : complete ? Report.pearson(whole[i], whole[j]) : Report.spearman(both.map((p) => a.get(p)), both.map((p) => b.get(p)));
        correlation[i][j] = correlation[j][i] = r;
        common[i][j] = common[j][i] = both.length;
      }
    }
    const order = Report.clusterOrder(correlation), labels = order.map((i) => Report.label(columns[i][0]));
    const z = order.map((i) => order.map((j) => correlation[i][j]));
    const said = order.map((i, a) => order.map((j, b) => `${Report.escape(labels[a])}<br>${Report.escape(labels[b])}<br>${z[a][b] === null ? `fewer than ${FEWEST_SAES} SAEs have both with differing values` : `${z[a][b].toFixed(2)} over ${common[i][j]} SAEs`}`));
    const trace = {
      type: "heatmap", x: order.map((_, i) => i), y: order.map((_, i) => i), z, zmin: -1, zmax: 1, xgap: 1, ygap: 1, text: said,
      colorscale: [[0, "#c1443c"], [0.5, Report.css("--card")], [1, "#2f6fd0"]], hovertemplate: "%{text}<extra></extra>",
      showscale: !narrow, colorbar: { thickness: 12, len: 0.8, title: { text: "Spearman", side: "right" }, tickvals: [-1, -0.5, 0, 0.5, 1] },
    };
    if (order.length <= 14 && !narrow) Object.assign(trace, { texttemplate: "%{z:.2f}", textfont: { size: 11 } });
    const numbered = labels.map((label, i) => `${narrow ? Report.shorten(label, 24) : label}  ${i + 1}`);
    const layout = Report.plotLayout({
      height: rowHeight(order.length, 90), margin: { l: 60, r: 8, t: 8, b: 44 }, yaxis: { ...rowAxis(numbered, false), tickfont: { size: narrow ? 10 : 12 } },
      xaxis: { title: { text: narrow ? "number of the row" : "metric, by the number of its row" }, tickvals: order.map((_, i) => i), ticktext: order.map((_, i) => String(i + 1)), tickangle: 0, zeroline: false, tickfont: { size: narrow || order.length > 24 ? 8 : 12 } },
    });
    return [order.length > 1 ? [trace] : [], layout];
  };
})();
