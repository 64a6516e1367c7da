/* The table of all SAEs: Tabulator, one column per chosen metric. */
(() => {
  const { h, data } = Report;
  const chosen = new Set();
  let table = null, best = new Map(), stale = false; // stale: filters or metrics changed before the table was built

  function choose() {
    const perEval = new Map();
    for (const metric of [...Report.mainMetrics(), ...Report.headline()]) {
      if (chosen.has(metric.key) || (!metric.better && metric.key !== Report.L0 && data.evals.length > 1)) continue;
      const n = perEval.get(metric.eval) || 0;
      if (n < (data.evals.length > 4 ? 2 : 6) || metric.key === Report.L0) chosen.add(metric.key);
      perEval.set(metric.eval, n + 1);
    }
    if (!data.saes.some((sae) => sae.l0 !== null)) chosen.delete(Report.L0);
  }

  const rowsShown = () => Report.shown().map((place) => {
    const sae = data.saes[place], row = { id: place, name: sae.name, arch: Report.arch(sae).title, width: sae.width, tokens: sae.tokens, source: data.sources[sae.source].label };
    for (const key of chosen) row[`m${Report.metric(key).index}`] = Report.value(Report.metric(key), place);
    return row;
  });

  /** The best value of each column in each group of comparable results. */
  function findBest() {
    best = new Map();
    for (const key of chosen) {
      const metric = Report.metric(key);
      if (!metric.better) continue;
      for (const place of Report.rankable(Report.shown())) {
        const value = Report.value(metric, place), id = `${key} ${Report.cohort(metric, place)}`;
        if (value !== null && (!best.has(id) || metric.better * (value - best.get(id)) > 0)) best.set(id, value);
      }
    }
  }

  function cell(metric, place, value) {
    if (value === null || value === undefined) return h("span", { class: "none" }, "–");
    const cohort = Report.cohort(metric, place), bar = Report.bar(metric, place);
    const isBest = metric.better && !(data.saes[place].baseline && !Report.state.baselines) && best.get(`${metric.key} ${cohort}`) === value;
    const group = Report.evalOf(metric).cohorts[cohort];
    const said = bar.known ? `95 % interval ${Report.spread(bar.low, bar.high)}${bar.seeds > 1 ? `, ${bar.seeds} seeds` : ""}` : bar.reason || "no error bar is kept for this number";
    const beside = Report.beside(metric, place), ends = ["floor", "ceiling"].filter((end) => beside[end] !== null).map((end) => `; ${end} ${Report.num(beside[end])}`).join("");
    const above = beside.above === null ? "" : `; above floor ${Report.aboveText(beside)}`;
    return h("span", { class: isBest ? "cell best" : "cell", title: `${value}; ${said}${ends}${above}${cohort ? `. Not comparable with the others: ${group.differs}` : ""}` },
      valueAndHalf(metric, place, bar),
      cohort ? h("sup", {}, "abcdefghijklmnopqrstuvwxyz"[(cohort - 1) % 26]) : null);
  }

  /** The value and half its interval, with the digits that this allows. */
  function valueAndHalf(metric, place, bar) {
    const value = Report.value(metric, place);
    if (!bar.known) return Report.valueAndError(metric, place)[0];
    const [shown, error] = Report.withError(value, (bar.high - bar.low) / 2);
    return [shown, h("span", { class: "pm" }, `±${error}`)];
  }

  function metricColumn(key) {
    const metric = Report.metric(key);
    return {
      title: metric.title, field: `m${metric.index}`, hozAlign: "right", headerHozAlign: "right", width: 122, minWidth: 84, sorter: "number",
      sorterParams: { alignEmptyValues: "bottom" }, headerSortStartingDir: metric.better < 0 ? "asc" : "desc", headerWordWrap: true,
      headerTooltip: `${Report.fullTitle(metric)} (${Report.directionText(metric)}). ${metric.description || ""} ${metric.caveats.map((c) => c.text).join(" ")}`,
      titleFormatter: () => h("span", {}, metric.title, h("span", { class: "dir" }, Report.arrow(metric)), " ", Report.caveatMark(metric)),
      formatter: (c) => cell(metric, c.getRow().getData().id, c.getValue()),
    };
  }

  function columns() {
    const narrow = innerWidth < 560;
    const first = [
      { title: "SAE", field: "name", width: narrow ? 132 : 250, sorter: "string", formatter: (c) => Report.link(c.getRow().getData().id) },
      { title: "Architecture", field: "arch", width: 130, sorter: "string", visible: !narrow },
      { title: "Latents", field: "width", width: 92, hozAlign: "right", headerHozAlign: "right", sorter: "number", sorterParams: { alignEmptyValues: "bottom" }, formatter: (c) => Report.num(c.getValue()) },
    ];
    if (data.saes.some((sae) => sae.tokens)) {
      first.push({ title: "Training tokens", field: "tokens", width: 96, headerWordWrap: true, hozAlign: "right", headerHozAlign: "right", sorter: "number", sorterParams: { alignEmptyValues: "bottom" }, formatter: (c) => Report.num(c.getValue()) });
    }
    if (data.sources.length > 1) first.push({ title: "Source", field: "source", width: 120, sorter: "string" });
    const groups = data.evals.map((entry) => ({
      title: entry.title, headerHozAlign: "left",
      columns: data.metrics.filter((m) => m.eval === entry.name && chosen.has(m.key)).map((m) => metricColumn(m.key)),
    })).filter((group) => group.columns.length);
    return [{ title: "", frozen: true, columns: [first[0]] }, { title: "", columns: first.slice(1) }, ...groups];
  }

  /** Headers are reached and sorted by keyboard too. */
  function reachable() {
    document.querySelectorAll("#table .tabulator-col.tabulator-sortable").forEach((header) => {
      if (header.tabIndex === 0) return;
      header.tabIndex = 0;
      header.addEventListener("keydown", (e) => {
        if (e.target === header && (e.key === "Enter" || e.key === " ")) { e.preventDefault(); header.click(); }
      });
    });
  }

  Report.renderTable = () => {
    choose();
    findBest();
    tools();
    const height = Math.min(640, 132 + 38 * data.saes.length);
    table = new Tabulator("#table", {
      data: rowsShown(), columns: columns(), height, layout: "fitDataFill", rowHeight: 36, renderVerticalBuffer: 108, placeholder: "No SAE passes the filters.",
      rowFormatter: (row) => row.getElement().classList.toggle("baseline", data.saes[row.getData().id].baseline),
      columnHeaderVertAlign: "bottom", selectableRows: false,
    });
    table.on("tableBuilt", () => { Report.tableBuilt = true; if (stale) rebuild(); else reachable(); });
    Report.table = table;
    Report.onChange(() => { findBest(); if (Report.tableBuilt) table.replaceData(rowsShown()); else stale = true; });
    notes();
  };

  function rebuild() {
    if (!Report.tableBuilt) { stale = true; return; }
    findBest();
    table.setColumns(columns());
    table.replaceData(rowsShown());
    reachable();
    notes();
  }

  function tools() {
    const list = data.evals.map((entry) => {
      const metrics = data.metrics.filter((m) => m.eval === entry.name);
      const boxes = metrics.map((m) => h("label", { title: m.description }, h("input", { type: "checkbox", value: m.key, checked: chosen.has(m.key),
        onchange: (e) => { if (e.target.checked) chosen.add(m.key); else chosen.delete(m.key); rebuild(); } }), ` ${m.title}${Report.arrow(m)}`));
      return h("fieldset", {}, h("legend", {}, entry.title), boxes);
    });
    const menu = Report.menu("Metrics", list, "columns-menu");
    menu.id = "columns";
    Report.fill(document.getElementById("table-tools"), menu,
      Report.tableMenu(() => table.getRows("active").map((row) => row.getData().id), () => data.metrics.filter((metric) => chosen.has(metric.key))));
  }

  function notes() {
    const lines = [];
    for (const entry of data.evals) {
      entry.cohorts.forEach((cohort, c) => {
        if (c) lines.push(h("li", {}, h("sup", {}, "abcdefghijklmnopqrstuvwxyz"[(c - 1) % 26]), ` ${entry.title}: ${cohort.members.length} results of ${cohort.title} are not compared with the others: ${cohort.differs}.`));
      });
    }
    const seen = new Set();
    for (const key of chosen) {
      const metric = Report.metric(key);
      for (const caveat of metric.caveats) {
        if (seen.has(caveat.text)) continue;
        seen.add(caveat.text);
        lines.push(h("li", {}, Report.badge(caveat.serious), ` ${Report.evalOf(metric).title}: ${caveat.text}`));
      }
    }
    for (const source of data.run.sources) for (const note of source.moved) lines.push(h("li", {}, `${source.label}: ${note.value.join(": ")} (${note.n} results).`));
    for (const [reason, n] of barless()) lines.push(h("li", {}, `${n} scores without error bar: ${reason}.`));
    Report.fill(document.getElementById("table-notes"), h("p", { class: "small" }, "↑ higher is better, ↓ lower is better; ± is half the 95 % interval; bold is the best of those shown. Hover a number for its interval, click a name for the SAE's page."),
      lines.length ? h("ul", { class: "small" }, lines) : null);
  }

  /** Why headline scores have no error bar, with how many. */
  function barless() {
    const counts = new Map();
    for (const metric of Report.headline()) {
      for (const sae of data.saes) {
        const bar = Report.bar(metric, sae.index);
        if (Report.value(metric, sae.index) !== null && !bar.known && bar.reason) counts.set(bar.reason, (counts.get(bar.reason) || 0) + 1);
      }
    }
    return counts;
  }
})();
