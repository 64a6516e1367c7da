/* The bar that says which SAEs are shown; everything on the page follows it. */
(() => {
  const { h, data, state } = Report;
  const BANDS = [16, 32, 64, 128, 256, 512], MOST_BUTTONS = 12;
  const number = (a, b) => a - b;

  /** What SAEs can be chosen by: the values that one has, as texts, and how a value is shown. */
  const FACETS = [
    { name: "arch", label: "Architecture", of: (sae) => [sae.arch], order: (a, b) => Object.keys(data.architectures).indexOf(a) - Object.keys(data.architectures).indexOf(b),
      show: (name) => [Report.swatch(data.architectures[name]), data.architectures[name].title] },
    { name: "source", label: "Source", of: (sae) => [sae.source], order: number, show: (i) => data.sources[i].label },
    { name: "model", label: "Model", of: (sae) => [sae.model] },
    { name: "layer", label: "Layer", of: (sae) => [sae.layer], order: number },
    { name: "hook", label: "Hook", of: (sae) => [sae.hook] },
    { name: "width", label: "Latents", of: (sae) => [sae.width], order: number, show: (v) => Report.num(Number(v)) },
    { name: "tokens", label: "Training tokens", of: (sae) => [sae.tokens], order: number, show: (v) => Report.num(Number(v)) },
    { name: "tag", label: "Tag", of: (sae) => sae.tags },
  ];
  for (const facet of FACETS) {
    const values = data.saes.flatMap(facet.of).filter((value) => value !== null && value !== undefined && value !== "").map(String);
    facet.values = [...new Set(values)].sort(facet.order);
    state.facets.set(facet.name, new Set());
  }
  const inUse = FACETS.filter((facet) => facet.values.length > 1);

  Report.passes = (sae) => {
    const { text, l0 } = state, name = `${sae.name} ${Report.arch(sae).title} ${data.sources[sae.source].label} ${sae.model || ""} ${sae.tags.join(" ")}`.toLowerCase();
    return text.toLowerCase().split(/\s+/).filter(Boolean).every((word) => name.includes(word))
      && inUse.every(({ name: facet, of }) => { const chosen = state.facets.get(facet); return !chosen.size || of(sae).some((value) => chosen.has(String(value))); })
      && (l0[0] === null || (sae.l0 !== null && sae.l0 >= l0[0])) && (l0[1] === null || (sae.l0 !== null && sae.l0 <= l0[1]));
  };

  /** L0 values near a round one: within a factor of 1.4. */
  const band = (middle) => [Number((middle / 1.4).toPrecision(3)), Number((middle * 1.4).toPrecision(3))];

  Report.renderFilters = () => {
    const search = h("input", { type: "search", id: "search", value: state.text, placeholder: "Search SAEs…", "aria-label": "Search SAEs by name, architecture, model, tag or source",
      oninput: (e) => { state.text = e.target.value; Report.changed(); } });
    const count = h("output", { class: "small", for: "search", id: "count" });
    const more = h("details", { class: "filter-more", open: innerWidth > 720 }, h("summary", {}, "Filters"),
      h("div", { class: "filter-body" }, inUse.map(facetGroup), l0Group(), h("button", { type: "button", class: "ghost", id: "reset", onclick: reset }, "Reset")));
    Report.fill(document.getElementById("filters"), h("div", { class: "filter-row" }, search, count), more);
    Report.showCount = () => { count.textContent = `${Report.shown().length} of ${data.saes.length} SAEs`; };
    Report.showCount();
  };

  function choose(facet, value, on) {
    const chosen = state.facets.get(facet.name);
    if (on) chosen.add(value); else chosen.delete(value);
    Report.changed();
  }

  /** Buttons of a few values, a menu of many. */
  function facetGroup(facet) {
    const chosen = state.facets.get(facet.name), show = facet.show || String;
    const buttons = () => facet.values.map((value) => h("button", { type: "button", class: "toggle", "aria-pressed": String(chosen.has(value)), "data-value": value, onclick: (e) => {
      const on = !chosen.has(value);
      e.currentTarget.setAttribute("aria-pressed", String(on));
      choose(facet, value, on);
    } }, show(value)));
    const boxes = () => facet.values.map((value) => h("label", {}, h("input", { type: "checkbox", value, checked: chosen.has(value), onchange: (e) => choose(facet, value, e.target.checked) }), " ", show(value)));
    const choices = facet.values.length > MOST_BUTTONS ? Report.menu(`${facet.values.length} values`, h("fieldset", {}, boxes()), "facet-menu") : buttons();
    return h("div", { class: "filter-group", role: "group", "aria-label": facet.label, "data-facet": facet.name }, h("span", { class: "label" }, facet.label), choices);
  }

  function l0Group() {
    const known = data.saes.map((s) => s.l0).filter((v) => v !== null);
    if (!known.length) return null;
    const input = (side, label) => h("input", { type: "number", min: "0", step: "any", class: "narrow", "aria-label": label, placeholder: label.split(" ")[0], value: state.l0[side] ?? "",
      oninput: (e) => { state.l0[side] = e.target.value === "" ? null : Number(e.target.value); press(); Report.changed(); } });
    const ends = [input(0, "from L0"), input(1, "to L0")];
    const is = (b) => band(b).every((end, side) => end === state.l0[side]);
    const buttons = BANDS.filter((b) => known.some((v) => v >= band(b)[0] && v <= band(b)[1])).map((b) => h("button", { type: "button", class: "toggle", "aria-pressed": String(is(b)), "data-band": b,
      title: `L0 from ${Report.num(band(b)[0])} to ${Report.num(band(b)[1])}`, onclick: () => {
        state.l0 = is(b) ? [null, null] : band(b);
        ends.forEach((end, side) => { end.value = state.l0[side] ?? ""; });
        press();
        Report.changed();
      } }, `~${b}`));
    const press = () => buttons.forEach((button) => button.setAttribute("aria-pressed", String(is(Number(button.dataset.band)))));
    return h("div", { class: "filter-group", role: "group", "aria-label": "L0" }, h("span", { class: "label" }, "L0"), buttons, ends);
  }

  function reset() {
    Object.assign(state, { text: "", l0: [null, null] });
    for (const chosen of state.facets.values()) chosen.clear();
    Report.renderFilters();
    Report.changed();
  }
})();
