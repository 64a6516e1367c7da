/* The page of plots: one metric against sparsity, loss, width and training, then all metrics at once. */
(() => {
  const { h, data } = Report;
  const panels = [];
  const pick = { metric: Report.firstChoice.y, sae: null, all: false };
  Report.plotsChoice = pick;

  function panel(id, title, draw, { controls, note, wide } = {}) {
    const element = h("div", { class: "plot", id: `plot-${id}` }), status = h("p", { class: "small empty", hidden: true });
    panels.push({ id, element, status, draw });
    return h("section", { class: wide ? "card wide" : "card", "aria-labelledby": `plot-${id}-title` },
      h("div", { class: "card-head" }, h("h2", { id: `plot-${id}-title` }, title), h("span", { class: "push" }, Report.saveMenu(element))),
      controls ? h("div", { class: "controls" }, controls) : null, element, status, note ? h("p", { class: "small" }, note) : null);
  }

  let latest = null;
  /** All panels, each in a task of its own, so that a click need not wait for more than one. */
  async function drawAll() {
    const ticket = (latest = {});
    for (const panel of [...panels]) {
      if (ticket !== latest || document.getElementById("page-plots").hidden) return;
      drawPanel(panel);
      await new Promise((done) => setTimeout(done));
    }
  }
  const redraw = () => Report.busyWith(drawAll());

  const choose = () => { redraw(); Report.keepAddress(); };

  function drawPanel({ id, element, status, draw }) {
    const [traces] = draw();
    const empty = !traces.some((trace) => (trace.x?.length || 0) > 0);
    status.hidden = !empty;
    element.hidden = empty;
    status.textContent = "The results shown do not say this.";
    if (!empty) Report.plot(element, draw, Report.fileName("sae_bench", id, ["l0", "loss", "width", "tokens"].includes(id) ? Report.metric(pick.metric).title : ""));
  }

  const against = (key) => (options) => {
    const x = Report.metric(key), y = Report.metric(pick.metric);
    return x && y ? Report.scatterFigure(x, y, { front: [Report.LOSS, Report.L0].includes(key), bars: true, log: true, trend: key === Report.L0 && data.saes.length >= 20, connect: key === "sae|training_tokens", ...options }) : [[], {}];
  };
  const metrics = () => (pick.all ? Report.ranked() : Report.mainMetrics());

  Report.renderPlots = () => {
    panels.length = 0;
    const metric = Report.metricOptions(h("select", { id: "plots-metric", "aria-label": "Metric of the plots", onchange: (e) => { pick.metric = e.target.value; choose(); } }), pick.metric, false);
    const saes = h("select", { id: "plots-sae", "aria-label": "SAE to highlight", onchange: (e) => { pick.sae = e.target.value === "" ? null : Number(e.target.value); choose(); } },
      h("option", { value: "" }, "none"), data.saes.map((sae) => h("option", { value: String(sae.index) }, sae.short)));
    saes.value = pick.sae === null ? "" : String(pick.sae);
    const all = h("label", { class: "inline", hidden: Report.mainMetrics().length === Report.ranked().length }, h("input", { type: "checkbox", id: "plots-all", onchange: (e) => { pick.all = e.target.checked; redraw(); } }), ` all ${Report.ranked().length} metrics`);
    Report.fill(document.getElementById("page-plots"),
      h("section", { class: "card controls" }, h("label", {}, "Metric ", metric), Report.legend()),
      h("div", { class: "grid" },
        panel("l0", "Against L0", against(Report.L0)),
        panel("loss", "Against loss recovered", against(Report.LOSS)),
        panel("width", "By width", against("sae|width")),
        panel("tokens", "By training tokens", against("sae|training_tokens"), { note: "Lines join the checkpoints of one training run." }),
        panel("strips", "One SAE against the rest", (options) => Report.stripFigure(pick.sae, metrics(), options), { wide: true, controls: [h("label", {}, "Highlight ", saes), all], note: "Every metric from its worst to its best value among the SAEs shown; lower-is-better metrics are turned. Baselines beyond the others are triangles at the edge." }),
        panel("agreement", "Do the metrics agree?", (options) => Report.agreementFigure(metrics(), options), { wide: true, note: "Spearman rank correlation over the SAEs shown, of comparable results; lower-is-better metrics are turned, so that 1 always means: they rank SAEs alike. Metrics that agree stand beside one another." })));
  };
  Report.onChange(redraw);
  Report.onPage("plots", redraw);
})();
