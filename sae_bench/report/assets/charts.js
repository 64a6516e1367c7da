/* Plotly behind one door: a common layout, drawing again when theme or size change, saving a figure. */
(() => {
  const { h } = Report;
  const drawn = new Map(); // element -> { make, name }
  const config = {
    responsive: true, displaylogo: false, displayModeBar: "hover",
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d", "toImage"],
  };
  let ready = false, started = false;

  Report.escape = (text) => String(text).replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
  Report.fileName = (...parts) => parts.join("_").replace(/\W+/g, "_");

  /** A plot takes the width of its place, also if that changed while its page was hidden. */
  const widths = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.offsetParent && Math.abs(target.clientWidth - target._fullLayout.width) > 1) Plotly.Plots.resize(target);
    }
  });

  Report.plotLayout = (more) => {
    const ink = Report.css("--ink"), grid = Report.css("--line");
    const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true, title: { standoff: 8 } };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 56, r: 12, t: 12, b: 48 },
      font: { color: ink, family: "system-ui, sans-serif", size: 13 }, hovermode: "closest",
      hoverlabel: { bgcolor: Report.css("--card"), bordercolor: grid, font: { color: ink }, align: "left" },
      showlegend: false, ...more, // the page has legends of its own (`Report.legend`)
      xaxis: { ...axis, ...more?.xaxis }, yaxis: { ...axis, ...more?.yaxis },
    };
  };

  /** Draw, or draw again; `make` gives [traces, layout] and is called again when the theme changes. */
  Report.plot = (element, make, name) => {
    drawn.set(element, { make, name: name || drawn.get(element)?.name || "sae_bench" });
    if (!ready) return;
    const [traces, layout] = make();
    if (layout.height) element.style.height = `${layout.height}px`;
    const isFirst = !element.dataset.plotted;
    element.dataset.plotted = "yes";
    Plotly.react(element, traces, layout, config);
    if (!isFirst) return;
    openOnClick(element);
    Report.reachByKeys(element, drawn.get(element).name);
    widths.observe(element);
  };

  Report.redraw = () => {
    for (const [element, { make }] of drawn) {
      if (!element.isConnected) drawn.delete(element);
      else if (element.offsetParent !== null) Report.plot(element, make);
    }
  };

  /** As it was made, whatever was zoomed. */
  Report.redrawPlot = (element) => Report.plot(element, drawn.get(element).make);

  /** A click on a point of an SAE opens its page. */
  function openOnClick(element) {
    element.on("plotly_click", (event) => {
      const place = event.points[0]?.customdata;
      if (typeof place === "number") Report.go(`sae/${place}`);
    });
  }

  const PAPER = [
    { columns: 1, width: 336, font: 10.5, text: "one column, 89 mm" },
    { columns: 2, width: 680, font: 10.5, text: "two columns, 180 mm" },
  ];

  /** The figure as it goes to print: light, without a title, as wide as columns of a paper, in letters of 8 points. */
  function paperFigure({ make }, { width, font }) {
    const root = document.documentElement, theme = root.dataset.theme;
    root.dataset.theme = "light";
    const [data, layout] = make({ narrow: width < 500 });
    root.dataset.theme = theme;
    const shrink = (axis) => ({ ...axis, tickfont: { size: font }, title: { ...axis?.title, font: { size: font + 1 } } });
    const traces = data.map((trace) => (typeof trace.marker?.size === "number" ? { ...trace, marker: { ...trace.marker, size: Math.min(trace.marker.size, 7) } } : trace));
    const entries = traces.filter((trace) => trace.name && trace.showlegend !== false).length, below = width < 500;
    const plotHeight = layout.height || Math.round(width * (below ? 0.8 : 0.5)), legendHeight = below ? 30 + 15 * Math.ceil(entries / 2) : 0;
    return {
      data: traces,
      layout: {
        ...layout, width, height: plotHeight + legendHeight, paper_bgcolor: "#fff", font: { ...layout.font, size: font },
        xaxis: shrink(layout.xaxis), yaxis: shrink(layout.yaxis), showlegend: entries > 1, annotations: layout.annotations?.map((a) => ({ ...a, font: { ...a.font, size: font - 1 } })),
        legend: { font: { size: font - 1 }, ...(below ? { orientation: "h", y: -55 / plotHeight, yanchor: "top", x: 0 } : { x: 1.02, y: 1 }) },
        margin: { l: 44, r: 8, t: 8, b: 40 + legendHeight },
      },
    };
  }

  /** A menu that saves a figure as PNG or SVG, one or two columns wide. */
  Report.saveMenu = (element) => {
    const save = (format, paper) => {
      const entry = drawn.get(element), figure = paperFigure(entry, paper), { width, height } = figure.layout;
      const options = { format, width, height, filename: entry.name, scale: format === "png" ? 4 : 1 };
      Plotly.downloadImage(figure, options);
    };
    const buttons = PAPER.flatMap((paper) => ["png", "svg"].map((format) => h("button", {
      type: "button", class: "ghost", "data-export": `${format}-${paper.columns}`,
      onclick: (event) => { save(format, paper); event.target.closest("details").open = false; },
    }, `${format.toUpperCase()}, ${paper.text}`)));
    return Report.menu("Save figure", buttons, "save-menu");
  };

  /** The markers of the architectures. */
  Report.legend = () => h("div", { class: "legend", "aria-label": "Markers" }, Object.values(Report.data.architectures).map((arch) => h("span", {}, Report.swatch(arch), arch.title)));

  /** Run plotly.js, once, and in a task of its own, so that a click need not wait for both, draw what is to be seen. */
  Report.startPlots = async () => {
    await Report.parsed;
    if (started) return;
    started = true;
    const code = document.getElementById("plotly").textContent, inline = () => { document.head.append(h("script", {}, code)); draw(); };
    // A script with an address of its own is compiled beside the page; some viewers forbid such addresses.
    document.head.append(h("script", { src: URL.createObjectURL(new Blob([code], { type: "text/javascript" })), onload: draw, onerror: inline }));
  };

  function draw() {
    setTimeout(() => {
      ready = true;
      Report.route();
      for (const [element, { make }] of drawn) if (!element.dataset.plotted && element.offsetParent) Report.plot(element, make);
      Report.ready = true;
      Report.drawnAfter = performance.now();
    });
  }
})();
