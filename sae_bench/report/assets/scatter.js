/* One metric against another: points with error bars, fronts, trends, and the lines that scores are read by. */
(() => {
  const { data } = Report;

  const isLog = (key) => [Report.L0, "sae|width", "sae|training_tokens"].includes(key);
  const xBetter = (metric) => (metric.key === Report.L0 ? -1 : metric.better);
  const isBaseline = (place) => data.saes[place].baseline;

  /** [x, y, place] of the SAEs that have both. */
  Report.points = (x, y, places) => places.map((place) => [Report.value(x, place), Report.value(y, place), place]).filter(([a, b]) => a !== null && b !== null);

  Report.paretoFront = (points, xDirection, yDirection) => {
    const sorted = [...points].sort((a, b) => xDirection * (b[0] - a[0]) || yDirection * (b[1] - a[1]));
    const front = [];
    for (const point of sorted) if (!front.length || yDirection * (point[1] - front.at(-1)[1]) > 0) front.push(point);
    return front.sort((a, b) => a[0] - b[0]);
  };

  function groupBy(list, key) {
    const groups = new Map();
    for (const item of list) groups.set(key(item), [...(groups.get(key(item)) || []), item]);
    return [...groups.values()];
  }

  const hover = (x, y, place) => {
    const sae = data.saes[place], bar = Report.bar(y, place);
    return `<b>${Report.escape(sae.short)}</b><br>${Report.escape(Report.arch(sae).title)}${sae.width ? `, ${Report.num(sae.width)} latents` : ""}<br>`
      + `${Report.escape(y.title)}: ${Report.num(Report.value(y, place))}${bar.known ? ` (${Report.spread(bar.low, bar.high)})` : ""}<br>`
      + `${Report.escape(x.title)}: ${Report.num(Report.value(x, place))}${data.sources.length > 1 ? `<br>${Report.escape(data.sources[sae.source].label)}` : ""}`;
  };

  /** Where an axis ends: at the SAEs that are ranked if a baseline would more than double it, else nowhere in particular.
      Points beyond are drawn at the end, as triangles with their value. */
  function axisEnds(points, at, log) {
    const scale = (v) => (log ? Math.log10(v) : v), all = points.map((p) => scale(at(p)));
    const ranked = points.filter((p) => !isBaseline(p[2])).map((p) => scale(at(p)));
    if (ranked.length < 2 || ranked.length === all.length) return null;
    const [low, high] = [Math.min(...ranked), Math.max(...ranked)], span = high - low;
    if (!span || Math.max(...all) - Math.min(...all) < 2.5 * span) return null;
    return { low: low - 0.35 * span, high: high + 0.35 * span, scale, back: (v) => (log ? 10 ** v : v) };
  }

  /** A value within the ends of an axis: [shown value, -1 | 0 | 1]. */
  const clip = (ends, value) => {
    if (!ends) return [value, 0];
    const v = ends.scale(value), inset = 0.03 * (ends.high - ends.low);
    if (v < ends.low) return [ends.back(ends.low + inset), -1];
    return v > ends.high ? [ends.back(ends.high - inset), 1] : [value, 0];
  };

  /** Side of the plot -> its points beyond the end, where there are several: their values stand in one note. */
  function crowds(points, ends) {
    const sides = new Map();
    for (const [a, b] of points) {
      const h = clip(ends.x, a)[1], v = clip(ends.y, b)[1];
      if (h || v) sides.set(`${h} ${v}`, [...(sides.get(`${h} ${v}`) || []), h ? a : b]);
    }
    return new Map([...sides].filter(([, values]) => values.length > 1));
  }

  const crowdNotes = (crowd) => [...crowd].map(([side, values]) => {
    const [h, v] = side.split(" ").map(Number), ends = [Math.min(...values), Math.max(...values)].map(Report.num);
    const arrow = h > 0 ? "▸" : h < 0 ? "◂" : v > 0 ? "▴" : "▾";
    return { xref: "paper", yref: "paper", x: h > 0 ? 1 : 0, xanchor: h > 0 ? "right" : "left", y: v > 0 ? 1 : 0.09, yanchor: v > 0 ? "top" : "bottom", showarrow: false, text: `${arrow} ${values.length} at ${ends.join(" to ")}`, font: { size: 11, color: Report.css("--muted") } };
  });

  function pointTraces(x, y, points, ends, { bars }, crowd) {
    const order = Object.keys(data.architectures);
    const groups = groupBy(points, (p) => `${data.saes[p[2]].arch} ${Report.cohort(y, p[2])}`)
      .map((group) => ({ group, sae: data.saes[group[0][2]], cohort: Report.cohort(y, group[0][2]) }))
      .sort((a, b) => a.cohort - b.cohort || order.indexOf(a.sae.arch) - order.indexOf(b.sae.arch));
    return groups.map(({ group, sae, cohort }) => {
      const arch = Report.arch(sae), shown = group.map(([a, b]) => [clip(ends.x, a), clip(ends.y, b)]);
      const open = cohort && !arch.symbol.endsWith("-open") ? `${arch.symbol}-open` : arch.symbol;
      const symbol = shown.map(([[, h], [, v]]) => (h ? `triangle-${h > 0 ? "right" : "left"}` : v ? `triangle-${v > 0 ? "up" : "down"}` : open));
      const beyond = shown.map(([[, h], [, v]], i) => ((h || v) && !crowd.has(`${h} ${v}`) ? Report.num(h ? group[i][0] : group[i][1]) : ""));
      const intervals = group.map(([, , place], i) => (shown[i][1][1] ? { known: false } : Report.bar(y, place)));
      return {
        type: "scatter", mode: beyond.some(Boolean) ? "markers+text" : "markers", name: cohort ? `${arch.title} (${Report.evalOf(y).cohorts[cohort].title})` : arch.title,
        x: shown.map(([a]) => a[0]), y: shown.map(([, b]) => b[0]),
        marker: { opacity: sae.baseline ? 0.65 : 1, color: arch.color, symbol, size: 10, line: { width: cohort ? 1.6 : 0.6, color: cohort ? arch.color : Report.css("--card") } },
        text: beyond, textposition: shown.map(([[, h]]) => (h > 0 ? "middle left" : h < 0 ? "middle right" : "top center")), textfont: { size: 11, color: Report.css("--muted") },
        error_y: bars && intervals.some((i) => i.known) ? { type: "data", symmetric: false, thickness: 1.2, width: 3, color: arch.color,
          array: intervals.map((i, k) => (i.known ? i.high - group[k][1] : 0)), arrayminus: intervals.map((i, k) => (i.known ? group[k][1] - i.low : 0)) } : undefined,
        customdata: group.map((p) => p[2]), hovertext: group.map(([, , place]) => hover(x, y, place)), hovertemplate: "%{hovertext}<extra></extra>",
      };
    });
  }

  function frontTraces(x, y) {
    const points = Report.points(x, y, Report.rankable(Report.shown()));
    return groupBy(points, (p) => Report.cohort(y, p[2])).filter((group) => group.length > 2).map((group) => {
      const front = Report.paretoFront(group, xBetter(x), y.better), cohort = Report.cohort(y, group[0][2]);
      return { type: "scatter", mode: "lines", name: cohort ? `Pareto front (${Report.evalOf(y).cohorts[cohort].title})` : "Pareto front", hoverinfo: "skip",
        x: front.map((p) => p[0]), y: front.map((p) => p[1]), line: { color: Report.css("--muted"), width: 1.4, dash: cohort ? "dot" : "dash" } };
    });
  }

  /** Lines through the checkpoints of one training run. */
  function runTraces(x, y) {
    const run = ([, , place]) => `${data.saes[place].source} ${data.saes[place].release} ${data.saes[place].id.replace(/[_/-]*(step|ckpt|checkpoint)[_-]?\d+/i, "")}`;
    return groupBy(Report.points(x, y, Report.shown()), run).filter((group) => group.length > 1).map((group) => {
      group.sort((a, b) => a[0] - b[0]);
      return { type: "scatter", mode: "lines", showlegend: false, hoverinfo: "skip", x: group.map((p) => p[0]), y: group.map((p) => p[1]), line: { color: Report.arch(data.saes[group[0][2]]).color, width: 1.2 }, opacity: 0.6 };
    });
  }

  const STEPS = 24;
  /** The trend of every architecture in a group of comparable results, with the band of its mean. */
  function trendTraces(x, y, points, log) {
    const u = (v) => (log ? Math.log10(v) : v);
    return groupBy(points.filter((p) => !isBaseline(p[2])), (p) => `${data.saes[p[2]].arch} ${Report.cohort(y, p[2])}`).flatMap((group) => {
      const trend = Report.trend(group.map(([a, b]) => [u(a), b])), arch = Report.arch(data.saes[group[0][2]]);
      if (!trend) return [];
      const us = group.map(([a]) => u(a)), low = Math.min(...us), high = Math.max(...us);
      const grid = Array.from({ length: STEPS + 1 }, (_, i) => low + ((high - low) * i) / STEPS), fit = grid.map(trend), xs = grid.map((v) => (log ? 10 ** v : v));
      const common = { type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false };
      return [
        { ...common, x: [...xs, ...[...xs].reverse()], y: [...fit.map((f) => f.y + f.half), ...fit.map((f) => f.y - f.half).reverse()], fill: "toself", fillcolor: `${arch.color}22`, line: { width: 0 } },
        { ...common, name: `trend of ${arch.title}`, x: xs, y: fit.map((f) => f.y), line: { color: arch.color, width: 2 } },
      ];
    });
  }

  /** Ticks at 1, 2 and 5 times powers of ten, at more of them in a short range; at powers of two where all values are such. */
  function logTicks(low, high, values) {
    let ticks = [...new Set(values)].sort((a, b) => a - b);
    if (!ticks.every((v) => Number.isInteger(Math.log2(v))) || ticks.length > 12) {
      const within = (digits) => {
        const list = [];
        for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) for (const d of digits) list.push(d * 10 ** power);
        return list.filter((v) => v >= low && v <= high);
      };
      ticks = within([1, 2, 5]);
      if (ticks.length < 4) ticks = within([1, 2, 3, 4, 5, 6, 7, 8, 9]);
      if (ticks.length > 7) ticks = within([1, 2, 3, 5]);
      if (ticks.length > 12) ticks = ticks.filter((v) => Number.isInteger(Math.round(Math.log10(v) * 1e6) / 1e6));
    }
    return { tickvals: ticks, ticktext: ticks.map((v) => Report.num(v).replace(/\.0+$/, "")), range: [Math.log10(low), Math.log10(high)] };
  }

  /** What was measured beside a metric with one value for all SAEs; chance in the place of a floor that is not known. */
  Report.references = (metric) => {
    if (!metric.eval) return [];
    const known = Report.column(metric).refs || [];
    const chance = metric.chance !== null && !known.some((ref) => ref.role === "floor") ? [{ role: "floor", name: "chance", value: metric.chance }] : [];
    return [...known, ...chance];
  };
  Report.referenceText = (ref) => (["floor", "ceiling"].includes(ref.role) && ref.name !== "chance" ? `${ref.role}: ${ref.name}` : ref.name);

  /** Named lines at the references that are about as far off as the points are from one another. */
  function referenceLines(y, points, narrow) {
    const scores = points.flatMap(([, v, place]) => { const bar = Report.bar(y, place); return isBaseline(place) ? [v] : bar.known ? [v, bar.low, bar.high] : [v]; });
    const low = Math.min(...scores), high = Math.max(...scores), margin = Math.max(high - low, 0.05 * Math.abs(high));
    const near = Report.references(y).filter(({ value }) => value >= low - margin && value <= high + margin).sort((a, b) => a.value - b.value);
    const crowded = (i) => i > 0 && near[i].value - near[i - 1].value < 0.1 * margin;
    return {
      shapes: near.map(({ role, value }) => ({ type: "line", layer: "below", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line: { color: Report.css("--muted"), width: 1, dash: role === "ceiling" ? "dash" : "dot" } })),
      annotations: near.filter((_, i) => !crowded(i)).map((ref) => ({ xref: "paper", x: 1, xanchor: "right", y: ref.value, yanchor: "bottom", showarrow: false, text: Report.escape(Report.shorten(Report.referenceText(ref), narrow ? 30 : 60)), font: { size: 11, color: Report.css("--muted") } })),
    };
  }

  Report.axisTitle = (metric) => ({ [Report.L0]: "L0 (latents per token)", "sae|width": "latents in the SAE", "sae|training_tokens": "training tokens" })[metric.key] || Report.label(metric) + Report.arrow(metric);

  /** [traces, layout] of y against x. Options: front, bars, log, trend, connect (checkpoints of a run), narrow. */
  Report.scatterFigure = (x, y, options) => {
    const points = Report.points(x, y, Report.shown()), log = options.log && isLog(x.key) && points.every(([a]) => a > 0);
    const narrow = options.narrow ?? innerWidth < 560, inside = points.filter((p) => !isBaseline(p[2]));
    const ends = { x: axisEnds(points, (p) => p[0], log), y: axisEnds(points, (p) => p[1], false) };
    const lines = points.length ? referenceLines(y, ends.y ? inside : points, narrow) : {}, crowd = crowds(points, ends);
    if (crowd.size) lines.annotations.push(...crowdNotes(crowd));
    const traces = [
      ...(options.connect ? runTraces(x, y) : []), ...(options.trend ? trendTraces(x, y, points, log) : []), ...pointTraces(x, y, points, ends, options, crowd),
      ...(options.front && y.better && xBetter(x) ? frontTraces(x, y) : []),
    ];
    const xs = points.map(([a]) => a), xaxis = { title: { text: Report.axisTitle(x) }, type: log ? "log" : "linear" };
    if (log) Object.assign(xaxis, ends.x ? logTicks(10 ** ends.x.low, 10 ** ends.x.high, inside.map(([a]) => a)) : logTicks(Math.min(...xs) / 1.3, Math.max(...xs) * 1.3, xs));
    else if (ends.x) xaxis.range = [ends.x.low, ends.x.high];
    const yaxis = { title: { text: Report.axisTitle(y) } };
    if (ends.y) yaxis.range = [ends.y.low, ends.y.high];
    return [traces, Report.plotLayout({ xaxis, yaxis, ...lines, margin: { l: narrow ? 46 : 56, r: 8, t: 14, b: 44 } })];
  };
})();
