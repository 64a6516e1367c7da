/* Pages by address (#overview, #plots, #run, #sae/3/core), theme, start. */
(() => {
  const pages = ["overview", "plots", "run", "sae"], built = new Set();

  Report.route = () => {
    const [name, argument, section] = Report.address();
    const page = pages.includes(name) ? name : "overview";
    for (const other of pages) document.getElementById(`page-${other}`).hidden = other !== page;
    document.getElementById("filters").hidden = page === "run";
    document.querySelectorAll("nav a").forEach((link) => {
      if (link.dataset.page === page) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    if (page === "plots" && !built.has(page)) Report.renderPlots();
    if (page === "run" && !built.has(page)) Report.renderRun();
    built.add(page);
    document.querySelector(".filter-more").open = page !== "sae" && innerWidth > 720;
    if (page === "sae") Report.renderSae(Number(argument), section);
    Report.entered(page);
    if (page !== "overview" && !section) scrollTo(0, 0);
    else if (Report.tableBuilt && Report.ready) Report.table.redraw();
    Report.keepAddress();
  };

  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem("sae-bench-theme", next); } catch (error) { /* a file may have no storage */ }
    Report.redraw();
  });

  document.getElementById("best-all").addEventListener("change", Report.renderBest);
  const baselines = document.getElementById("best-baselines");
  baselines.parentElement.hidden = !Report.data.saes.some((sae) => sae.baseline);
  baselines.addEventListener("change", () => { Report.state.baselines = baselines.checked; Report.changed(); });
  Report.readAddress();
  baselines.checked = Report.state.baselines;
  Report.renderFilters();
  Report.onChange(() => { Report.showCount(); Report.keepAddress(); });
  Report.renderTable();
  Report.renderScatter();
  Report.renderBest();
  Report.onChange(Report.renderBest);
  Report.table.on("tableBuilt", () => {  // now table and filters can be used; they are painted before charts are drawn
    Report.usableAfter = performance.now();
    requestAnimationFrame(() => setTimeout(Report.startPlots));
    setTimeout(Report.startPlots, 2000);  // a tab in the background paints nothing
  });
  addEventListener("hashchange", () => {
    if (Report.readAddress()) {  // an address with parameters was entered, or is gone back to
      baselines.checked = Report.state.baselines;
      Report.renderFilters();
      Report.renderScatter();
      built.delete("plots");
      Report.changed();
    }
    Report.route();
  });
  let width = innerWidth;
  addEventListener("resize", () => { if (Math.abs(innerWidth - width) > 40) { width = innerWidth; Report.redraw(); } });
})();
