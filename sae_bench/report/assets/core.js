/* Data, formatting, small DOM helpers and the state that all parts share. */
"use strict";
const Report = {};
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.metrics.forEach((metric, i) => { metric.index = i; });
  data.saes.forEach((sae, i) => { sae.index = i; });
  const byKey = new Map(data.metrics.map((metric) => [metric.key, metric]));
  const evalOf = new Map(data.evals.map((entry) => [entry.name, entry]));
  for (const entry of data.evals) {
    entry.cohortOf = new Map();
    entry.cohorts.forEach((cohort, c) => cohort.members.forEach((place) => entry.cohortOf.set(place, c)));
  }

  const specials = {
    "sae|width": { key: "sae|width", title: "Latents", better: 0, values: data.saes.map((s) => s.width) },
    "sae|training_tokens": {
      key: "sae|training_tokens", title: "Training tokens", better: 0, values: data.saes.map((s) => s.tokens),
    },
  };
  Report.data = data;
  Report.L0 = "core|sparsity.l0";
  Report.LOSS = "core|model_performance_preservation.ce_loss_score";
  Report.metric = (key) => byKey.get(key) || specials[key];
  Report.evalOf = (metric) => evalOf.get(metric.eval);
  Report.column = (metric) => (metric.values ? { v: metric.values } : data.values[metric.key] || { v: [] });
  Report.value = (metric, place) => { const v = Report.column(metric).v; return v ? v[place] ?? null : null; };
  Report.cohort = (metric, place) => (metric.eval ? Report.evalOf(metric).cohortOf.get(place) ?? 0 : 0);
  Report.arch = (sae) => data.architectures[sae.arch];
  Report.arrow = (metric) => ({ 1: " ↑", "-1": " ↓", 0: "" })[metric.better];
  Report.directionText = (metric) => ({ 1: "higher is better", "-1": "lower is better", 0: "neither direction is better" })[metric.better];
  Report.fullTitle = (metric) => (metric.eval ? `${Report.evalOf(metric).title}: ${metric.title}` : metric.title);
  /** A name that no other metric of the report has, short enough for an axis. */
  Report.label = (metric) => {
    const short = metric.eval ? Report.evalOf(metric).short : "";
    return !short || metric.title.startsWith(short) ? metric.title : `${short}: ${metric.title}`;
  };
  Report.headline = () => data.metrics.filter((metric) => metric.headline);
  Report.ranked = () => Report.headline().filter((metric) => metric.better !== 0);
  const FEW_METRICS = 12;
  /** What is looked at first: of every eval the first ranked metric that has values, or all where they are few. */
  Report.mainMetrics = () => {
    const ranked = Report.ranked(), main = new Map();
    if (ranked.length <= FEW_METRICS) return ranked;
    for (const metric of ranked) if (metric.main || !main.has(metric.eval)) main.set(metric.eval, metric);
    return [...main.values()];
  };
  /** A text cut in its middle, where names differ least. */
  Report.shorten = (text, most) => {
    if (text.length <= most) return text;
    const tail = Math.floor((most - 1) / 2);
    return `${text.slice(0, most - 1 - tail)}…${text.slice(text.length - tail)}`;
  };

  Report.bar = (metric, place) => {
    const column = Report.column(metric);
    const low = column.lo?.[place] ?? null, high = column.hi?.[place] ?? null;
    const reason = column.why?.[place] ?? null;
    return {
      low, high, known: low !== null && high !== null, seeds: column.n?.[place] ?? null,
      reason: reason === null ? null : data.reasons[reason],
    };
  };

  /** Floor, ceiling and the place between them, as measured with a result; null where they are not known. */
  Report.beside = (metric, place) => {
    const column = Report.column(metric), at = (name) => column[name]?.[place] ?? null;
    return { floor: at("floor"), ceiling: at("ceiling"), above: at("above"), low: at("alo"), high: at("ahi") };
  };
  Report.aboveText = ({ above, low, high }) => (above === null ? "" : low === null || high === null ? Report.num(above) : Report.differenceText(above, low, high));
  /** Floor or ceiling of a metric where all SAEs that have one have the same. */
  Report.reference = (metric, end) => {
    const known = new Set((Report.column(metric)[end] || []).filter((value) => value !== null));
    return known.size === 1 ? [...known][0] : null;
  };

  /** Whether a metric counts: all its values are whole numbers. */
  Report.isCount = (metric) => { const column = Report.column(metric); return (column.count ??= column.v.every((v) => v === null || Number.isInteger(v))); };

  /** A value and its error with the digits that two places of the error give: ["0.00182", "0.00002"]. */
  Report.withError = (value, error) => {
    const decimals = error > 0 ? Math.min(Math.max(1 - Math.floor(Math.log10(error)), 0), 9) : 3;
    return [value, error].map((v) => { const text = v.toFixed(decimals); return (Number(text) === 0 ? text.replace("-", "") : text).replace(/^-/, "−"); });
  };

  /** `0.061 (−0.095 to 0.217)` with the digits that two places of the interval's half width give. */
  Report.differenceText = (value, low, high) => {
    if (low === null || high === null || Number.isNaN(high - low)) return Report.num(value);
    const [shown, from, to] = [value, low, high].map((v) => Report.withError(v, (high - low) / 2)[0]);
    return `${shown} (${from} to ${to})`;
  };

  Report.num = (value) => plain(value).replace(/^-/, "−");
  const plain = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size >= 1e6) return `${trim((value / 1e6).toPrecision(3))}M`;
    if (size >= 1e4) return `${trim((value / 1e3).toPrecision(3))}k`;
    if (size >= 1000) return String(Math.round(value));
    if (Number.isInteger(value) && size > 1) return String(value);
    if (size >= 10) return value.toFixed(1);
    return size >= 0.1 ? value.toFixed(3) : size >= 0.0001 ? trim(value.toPrecision(3)) : value.toExponential(1);
  };
  const trim = (text) => text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  Report.pText = (p) => (p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`);
  Report.spread = (low, high) => [low, high].map((v) => Report.withError(v, (high - low) / 2)[0]).join(" to ");

  /** An element; text is always text, never markup. */
  Report.h = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "class") element.className = value;
      else if (name in element && typeof value === "boolean") element[name] = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  };
  /** A button that opens a list; Escape and a click elsewhere close it. */
  Report.menu = (title, content, name) => {
    const menu = Report.h("details", { class: `menu ${name}` }, Report.h("summary", {}, title), Report.h("div", { class: "menu-body" }, content));
    menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { menu.open = false; menu.querySelector("summary").focus(); } });
    return menu;
  };
  document.addEventListener("click", (event) => document.querySelectorAll("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; }));
  Report.fill = (element, ...children) => element.replaceChildren(...children.flat().filter(Boolean));
  Report.css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** Those that are ranked: baselines (PCA, random, ...) only where they are asked for, or where there is nothing else. */
  Report.rankable = (places) => {
    const proper = places.filter((place) => !data.saes[place].baseline);
    return Report.state.baselines || !proper.length ? places : proper;
  };

  /** When the whole file is read; what stands behind the scripts is cut off before. */
  Report.parsed = new Promise((done) => {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", done);
    else done();
  });
  /** A packed part of the page: base64 of deflated bytes. These parts stand at its end, behind all scripts. */
  Report.unpack = (id) => Report.busyWith(unpacked(id));
  async function unpacked(id) {
    await Report.parsed;
    const element = document.getElementById(id);
    if (!element) return null;
    const text = atob(element.textContent), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }
  let pending = 0;
  /** While parts of the page are unpacked or ranked, `main` says so (`aria-busy`). */
  Report.busyWith = async (work) => {
    const main = document.getElementById("main");
    pending += 1;
    main.setAttribute("aria-busy", "true");
    try {
      return await work;
    } finally {
      pending -= 1;
      setTimeout(() => { if (!pending) main.removeAttribute("aria-busy"); }); // after what waited for it
    }
  };
  const BREATH_MS = 40;
  let breathed = 0;
  /** In a long calculation: let clicks and frames come in between, if there were none for a while. */
  Report.breathe = async () => {
    if (performance.now() - breathed < BREATH_MS) return;
    await new Promise((done) => setTimeout(done));
    breathed = performance.now();
  };
  Report.unpackJson = async (id) => {
    const bytes = await Report.unpack(id);
    return bytes && JSON.parse(new TextDecoder().decode(bytes));
  };

  const onPage = new Map();
  Report.onPage = (name, listener) => onPage.set(name, listener);
  Report.entered = (name) => onPage.get(name)?.();
  const listeners = [];
  Report.state = { text: "", baselines: false, facets: new Map(), l0: [null, null] };
  Report.onChange = (listener) => listeners.push(listener);
  Report.changed = () => { shown = null; listeners.forEach((listener) => listener()); };
  let shown = null;
  /** Places of the SAEs that pass the filters. */
  Report.shown = () => {
    if (shown) return shown;
    shown = data.saes.filter(Report.passes).map((sae) => sae.index);
    return shown;
  };

  const OUTLINES = {
    circle: "M6 1.5a4.5 4.5 0 1 0 .01 0z", "circle-open": "M6 1.5a4.5 4.5 0 1 0 .01 0zM6 3.5a2.5 2.5 0 1 1-.01 0z", square: "M2 2h8v8H2z", diamond: "M6 .5 11.5 6 6 11.5.5 6z",
    "triangle-up": "M6 1 11.2 10.5H.8z", "triangle-down": "M6 11 .8 1.5h10.4z", "triangle-left": "M1 6 10.5.8v10.4z", "triangle-right": "M11 6 1.5.8v10.4z", cross: "M4.3 1h3.4v3.3H11v3.4H7.7V11H4.3V7.7H1V4.3h3.3z",
    x: "M3 .8 6 3.8l3-3L11.2 3l-3 3 3 3L9 11.2l-3-3-3 3L.8 9l3-3-3-3z", star: "M6 .3l1.6 3.9 4.2.3-3.2 2.7 1 4.1L6 9.1l-3.6 2.2 1-4.1L.2 4.5l4.2-.3z",
    pentagon: "M6 .8 11.3 4.7 9.3 11H2.7L.7 4.7z", hexagon: "M3.2 1.2h5.6L11.6 6l-2.8 4.8H3.2L.4 6z", hourglass: "M1.5 1h9L6 6l4.5 5h-9L6 6z", octagon: "M4 1h4l3 3v4l-3 3H4L1 8V4z", hexagon2: "M6 .4 10.9 3.2v5.6L6 11.6 1.1 8.8V3.2z",
    "diamond-tall": "M6 0 9.5 6 6 12 2.5 6z", "diamond-wide": "M0 6l6-3.5L12 6l-6 3.5z", "triangle-ne": "M1 1h10v10z", "triangle-nw": "M1 1h10L1 11z", "triangle-se": "M11 1v10H1z", "triangle-sw": "M1 1l10 10H1z",
    "arrow-right": "M1 1l10 5-10 5 3-5z", "star-square": "M1 1l5 2 5-2-2 5 2 5-5-2-5 2 2-5z", "star-diamond": "M6 0l1.6 4.4L12 6 7.6 7.6 6 12 4.4 7.6 0 6l4.4-1.6z",
    "star-triangle-up": "M6 0l1.8 6.2L11.2 10.5 6 8.6.8 10.5 4.2 6.2z", "star-triangle-down": "M6 12 4.2 5.8.8 1.5 6 3.4l5.2-1.9-3.4 4.3z", hexagram: "M6 0l1.8 3h3.4L9.5 6l1.7 3H7.8L6 12 4.2 9H.8l1.7-3L.8 3h3.4z", bowtie: "M1 1.5 6 6l5-4.5v9L6 6l-5 4.5z",
  };
  /** The marker of an architecture, as large as text. */
  Report.swatch = (arch) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 12 12");
    svg.setAttribute("class", "swatch");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", OUTLINES[arch.symbol] || OUTLINES.circle);
    path.setAttribute("fill", arch.color);
    path.setAttribute("fill-rule", "evenodd");
    svg.append(path);
    return svg;
  };
  const { h } = Report, TAIL = 12;
  /** A name that the page cuts in its middle where there is no room; copied, it is the whole name. */
  Report.nameParts = (sae) => {
    const from = sae.name.length - sae.short.length, hidden = sae.name.endsWith(sae.short) ? sae.name.slice(0, from) : "";
    const cut = Math.max(sae.short.length - TAIL, 0);
    return [h("span", { class: "name-hidden" }, hidden), h("span", { class: "name-head" }, sae.short.slice(0, cut)), h("span", { class: "name-tail" }, sae.short.slice(cut))];
  };
  Report.link = (place) => {
    const sae = data.saes[place];
    return h("a", { href: `#sae/${place}`, title: sae.name, class: "sae-link" }, Report.swatch(Report.arch(sae)), Report.nameParts(sae));
  };
  Report.caveatMark = (metric) => {
    if (!metric.caveats?.length) return null;
    const text = metric.caveats.map((caveat) => caveat.text).join(" ");
    const serious = metric.caveats.some((caveat) => caveat.serious);
    return Report.badge(serious, text);
  };
  /** A small round mark: ! for what puts a number in doubt, i for what is good to know. */
  Report.badge = (serious, text) => Report.h("span", { class: serious ? "badge serious" : "badge", title: text, role: text && "img", "aria-label": text, "aria-hidden": text ? null : "true" }, serious ? "!" : "i");
  /** Groups of options: one per eval, and one for the SAEs' own numbers. */
  Report.metricOptions = (select, chosen, withSpecials) => {
    const groups = data.evals.map((entry) => Report.h("optgroup", { label: entry.title },
      data.metrics.filter((m) => m.eval === entry.name).map((m) => Report.h("option", { value: m.key }, m.title + Report.arrow(m)))));
    if (withSpecials) {
      groups.unshift(Report.h("optgroup", { label: "SAE" }, Object.values(specials)
        .filter((m) => m.values.some((v) => v !== null)).map((m) => Report.h("option", { value: m.key }, m.title))));
    }
    Report.fill(select, groups);
    select.value = chosen;
    return select;
  };
})();
