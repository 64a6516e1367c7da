/* The chart of the overview: any metric against any other, with what has to be known to read it. */
(() => {
  const { h, data } = Report;
  const choice = { y: null, x: null, front: true, bars: true, log: true, trend: false };
  const byId = (id) => document.getElementById(id);
  Report.plotChoice = choice;
  const firstMetric = Report.mainMetrics().find((m) => m.eval !== "core") || Report.ranked()[0] || data.metrics[0];
  /** What the charts show before anything is chosen. */
  Report.firstChoice = { y: firstMetric?.key, x: data.saes.some((sae) => sae.l0 !== null) ? Report.L0 : data.saes.some((sae) => sae.width) ? "sae|width" : data.metrics[0]?.key };
  Object.assign(choice, Report.firstChoice);

  Report.plotMetric = (key) => {
    choice.y = key;
    byId("scatter-y").value = key;
    choose();
    byId("scatter-title").scrollIntoView({ behavior: "smooth", block: "start" });
  };

  const choose = () => { draw(); Report.keepAddress(); };

  function draw() {
    const x = Report.metric(choice.x), y = Report.metric(choice.y);
    if (!x || !y) return;
    Report.plot(byId("scatter"), (options) => Report.scatterFigure(x, y, { ...choice, ...options }), Report.fileName(y.title, "against", x.title));
    notes(x, y);
  }

  function notes(x, y) {
    const points = Report.points(x, y, Report.shown()), missing = Report.shown().length - points.length;
    const barless = points.filter(([, , place]) => !Report.bar(y, place).known), groups = new Set(points.map(([, , place]) => Report.cohort(y, place)));
    const why = barless.length ? Report.bar(y, barless[0][2]).reason || "none is kept for this number" : "";
    const beside = Report.references(y).map((ref) => `${Report.referenceText(ref)} ${Report.num(ref.value)}`);
    Report.fill(byId("scatter-notes"), h("ul", { class: "small" },
      y.description ? h("li", {}, y.description) : null,
      beside.length ? h("li", {}, `Beside it: ${beside.join("; ")}.`) : null,
      y.caveats?.map((c) => h("li", { class: c.serious ? "warn" : "" }, Report.badge(c.serious), ` ${c.text}`)),
      choice.trend ? h("li", {}, "Trends: a line per architecture (from eight SAEs on a parabola) over log L0 where the axis is, fitted to at least five SAEs, with the 95 % band of its mean.") : null,
      barless.length ? h("li", {}, `${barless.length} of ${points.length} without error bar: ${why}.`) : null,
      groups.size > 1 ? h("li", {}, "Open markers are results that cannot be compared with the others (see the notes below the table); each group has a front of its own.") : null,
      missing ? h("li", {}, `${missing} SAEs shown above have no value for both.`) : null));
  }

  Report.renderScatter = () => {
    const axis = (name, label, withSpecials) => Report.metricOptions(h("select", { id: `scatter-${name}`, "aria-label": label, onchange: (e) => { choice[name] = e.target.value; choose(); } }), choice[name], withSpecials);
    const box = (name, label) => h("label", { class: "inline" }, h("input", { type: "checkbox", id: `scatter-${name}`, checked: choice[name], onchange: (e) => { choice[name] = e.target.checked; choose(); } }), ` ${label}`);
    Report.fill(byId("scatter-controls"), h("label", {}, "Metric ", axis("y", "Vertical axis", false)), h("label", {}, "against ", axis("x", "Horizontal axis", true)),
      box("front", "Pareto front"), box("trend", "trends"), box("bars", "error bars"), box("log", "log axis"), h("span", { class: "push" }, Report.saveMenu(byId("scatter"))));
  };
  byId("scatter").before(Report.legend());
  Report.onChange(draw);
  Report.onPage("overview", () => { if (!byId("scatter").dataset.plotted) draw(); });
})();
