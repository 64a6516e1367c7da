/* Charts by keyboard: arrows go from point to point, Enter opens the page of an SAE, + and - and 0 zoom, Escape leaves. */
(() => {
  const at = new WeakMap();
  const says = Report.h("div", { class: "unseen", role: "status", id: "chart-says" });
  document.getElementById("main").after(says);

  /** What a pointer could rest on, from left to right; a map of squares row by row. */
  function stops(element) {
    const found = element.data.flatMap((trace, curveNumber) => {
      if (trace.hoverinfo === "skip") return [];
      const text = (i) => trace.hovertext?.[i] ?? (Array.isArray(trace.text) ? trace.text[i] : null) ?? `${trace.x?.[i]}: ${trace.y?.[i]}`;
      if (trace.z) return trace.z.flatMap((row, r) => row.map((_, c) => ({ curveNumber, pointNumber: [r, c], text: trace.text[r][c] })));
      return (trace.x || []).map((x, i) => ({ curveNumber, pointNumber: i, x, text: text(i), place: trace.customdata?.[i] })).filter((stop) => stop.x !== null);
    });
    return found.every((stop) => typeof stop.x === "number") ? found.sort((a, b) => a.x - b.x) : found;
  }

  function rest(element, stop) {
    Plotly.Fx.hover(element, [{ curveNumber: stop.curveNumber, pointNumber: stop.pointNumber }]);
    says.textContent = String(stop.text).replace(/<br>/g, ", ").replace(/<[^>]*>/g, "");
  }

  /** Half or twice as much of both axes around their middle. */
  function zoom(element, factor) {
    const change = {};
    for (const axis of ["xaxis", "yaxis"]) {
      const { range } = element._fullLayout[axis], [low, high] = range.map(Number), middle = (low + high) / 2;
      if (Number.isFinite(middle)) change[`${axis}.range`] = [middle + (low - middle) * factor, middle + (high - middle) * factor];
    }
    Plotly.relayout(element, change);
  }

  function pressed(event) {
    const element = event.currentTarget, all = stops(element), step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const now = at.get(element) ?? null;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step && all.length) {
      const next = now === null ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + step, 0), all.length - 1);
      at.set(element, next);
      rest(element, all[next]);
    } else if (event.key === "Enter" && typeof all[now]?.place === "number") Report.go(`sae/${all[now].place}`);
    else if (event.key === "+" || event.key === "=") zoom(element, 0.5);
    else if (event.key === "-") zoom(element, 2);
    else if (event.key === "0") Report.redrawPlot(element);
    else if (event.key === "Escape") leave(element);
    else return;
    event.preventDefault();
  }

  function leave(element) {
    at.delete(element);
    says.textContent = "";
    Plotly.Fx.unhover(element);
  }

  Report.reachByKeys = (element, name) => {
    Object.assign(element, { tabIndex: 0, role: "group" });
    element.setAttribute("aria-label", `Chart ${name.replace(/_+/g, " ")}: arrow keys go from point to point, Enter opens the SAE's page, plus and minus zoom, 0 shows all`);
    element.addEventListener("keydown", pressed);
    element.addEventListener("blur", () => leave(element));
  };
})();
