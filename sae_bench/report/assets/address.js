/* The address holds what is looked at (page, filters, metrics), so that a link shows the same. */
(() => {
  const { state, data } = Report;
  const known = (key) => (key && Report.metric(key) ? key : null);

  /** [page, argument, section, parameters or null] of the address. */
  Report.address = () => {
    const [path, query] = location.hash.slice(1).split("?");
    return [...path.split("/").concat("", "").slice(0, 3), query === undefined ? null : new URLSearchParams(query)];
  };

  function parameters() {
    const params = new URLSearchParams(), { text, l0, facets, baselines } = state;
    if (text) params.set("q", text);
    for (const [name, chosen] of facets) for (const value of chosen) params.append(name, value);
    if (l0[0] !== null || l0[1] !== null) params.set("l0", `${l0[0] ?? ""}-${l0[1] ?? ""}`);
    if (baselines) params.set("baselines", "1");
    const { plotChoice: chart, plotsChoice: plots } = Report, first = Report.firstChoice;
    if (chart.y !== first.y) params.set("y", chart.y);
    if (chart.x !== first.x) params.set("x", chart.x);
    if (chart.trend) params.set("trend", "1");
    if (plots.metric && plots.metric !== first.y) params.set("metric", plots.metric);
    if (plots.sae !== null) params.set("sae", plots.sae);
    return params.toString();
  }

  /** Take over what the address says. Names that this report has not are passed over. */
  Report.readAddress = () => {
    const params = Report.address()[3];
    if (!params) return false;
    const end = (value) => (value === undefined || value.trim() === "" || Number.isNaN(Number(value)) ? null : Number(value));
    const [low, high] = (params.get("l0") || "").split("-");
    Object.assign(state, { text: params.get("q") || "", l0: [end(low), end(high)], baselines: params.get("baselines") === "1" });
    for (const [name, chosen] of state.facets) {
      chosen.clear();
      params.getAll(name).forEach((value) => chosen.add(value));
    }
    const first = Report.firstChoice, sae = end(params.get("sae") ?? undefined);
    Object.assign(Report.plotChoice, { y: known(params.get("y")) || first.y, x: known(params.get("x")) || first.x, trend: params.get("trend") === "1" });
    Object.assign(Report.plotsChoice, { metric: known(params.get("metric")) || first.y, sae: data.saes[sae] ? sae : null });
    return true;
  };

  const withQuery = (path) => { const query = parameters(); return `#${path}${query ? `?${query}` : ""}`; };
  /** Write what is looked at into the address, without a step in the history. */
  Report.keepAddress = () => {
    const [page, argument, section] = Report.address();
    const wanted = withQuery([page || "overview", argument, section].filter((part) => part !== "").join("/"));
    if (location.hash === wanted || (!location.hash && wanted === "#overview")) return;
    try { history.replaceState(null, "", wanted); } catch (error) { /* some viewers forbid it: the page works all the same */ }
  };
  Report.go = (path) => { location.hash = withQuery(path); };
})();
