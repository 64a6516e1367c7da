/* The bar that says which SAEs are shown; everything on the page follows it. */
(() => {
  const { h, data, state } = Report;
  const BANDS = [16, 32, 64, 128, 256, 512];
  let count, low, high, bandButtons = [];

  /** L0 values near a round one: within a factor of 1.4. */
  const band = (middle) => [middle / 1.4, middle * 1.4];

  Report.renderFilters = () => {
    const search = h("input", { type: "search", id: "search", placeholder: "Search SAEs…", "aria-label": "Search SAEs by name, architecture or source",
      oninput: (e) => { state.text = e.target.value; Report.changed(); } });
    count = h("output", { class: "small", for: "search", id: "count" });
    const body = h("div", { class: "filter-body" }, archChips(), sourceChips(), l0Controls(), widthChips(),
      h("button", { type: "button", class: "ghost", id: "reset", onclick: reset }, "Reset"));
    const more = h("details", { class: "filter-more", open: innerWidth > 720 }, h("summary", {}, "Filters"), body);
    Report.fill(document.getElementById("filters"), h("div", { class: "filter-row" }, search, count), more);
    showCount();
    Report.onChange(showCount);
  };

  function showCount() {
    count.textContent = `${Report.shown().length} of ${data.saes.length} SAEs`;
  }

  function toggles(label, entries, chosen, content) {
    if (entries.length < 2) return null;
    const buttons = entries.map((entry) => h("button", { type: "button", class: "toggle", "aria-pressed": "false", "data-value": String(entry),
      onclick: (e) => {
        if (chosen.has(entry)) chosen.delete(entry); else chosen.add(entry);
        e.currentTarget.setAttribute("aria-pressed", String(chosen.has(entry)));
        Report.changed();
      } }, content(entry)));
    return h("div", { class: "filter-group", role: "group", "aria-label": label }, h("span", { class: "label" }, label), buttons);
  }

  const archChips = () => toggles("Architecture", Object.keys(data.architectures), state.archs, (name) => {
    const arch = data.architectures[name];
    return [Report.swatch(arch), arch.title];
  });
  const sourceChips = () => toggles("Source", data.sources.map((_, i) => i), state.sources, (i) => data.sources[i].label);
  const widthChips = () => toggles("Latents", [...new Set(data.saes.map((s) => s.width).filter(Boolean))].sort((a, b) => a - b).slice(0, 12), state.widths, Report.num);

  function l0Controls() {
    const known = data.saes.map((s) => s.l0).filter((v) => v !== null);
    if (!known.length) return null;
    const input = (side, label) => h("input", { type: "number", min: "0", step: "any", class: "narrow", "aria-label": label, placeholder: label.split(" ")[0],
      oninput: (e) => { state.l0[side] = e.target.value === "" ? null : Number(e.target.value); pressBands(); Report.changed(); } });
    low = input(0, "from L0");
    high = input(1, "to L0");
    const useful = BANDS.filter((b) => known.some((v) => v >= band(b)[0] && v <= band(b)[1]));
    bandButtons = useful.map((b) => h("button", { type: "button", class: "toggle", "aria-pressed": "false", "data-band": b,
      title: `L0 from ${Report.num(band(b)[0])} to ${Report.num(band(b)[1])}`, onclick: () => setBand(b) }, `~${b}`));
    return h("div", { class: "filter-group", role: "group", "aria-label": "L0" }, h("span", { class: "label" }, "L0"), bandButtons, low, high);
  }

  function setBand(b) {
    const [from, to] = band(b), again = state.l0[0] === from && state.l0[1] === to;
    state.l0 = again ? [null, null] : [from, to];
    low.value = again ? "" : from.toFixed(1);
    high.value = again ? "" : to.toFixed(1);
    pressBands();
    Report.changed();
  }

  function pressBands() {
    for (const button of bandButtons) {
      const [from, to] = band(Number(button.dataset.band));
      button.setAttribute("aria-pressed", String(state.l0[0] === from && state.l0[1] === to));
    }
  }

  function reset() {
    Object.assign(state, { text: "", l0: [null, null] });
    for (const set of [state.archs, state.sources, state.widths]) set.clear();
    const bar = document.getElementById("filters");
    bar.querySelectorAll("input").forEach((input) => { input.value = ""; });
    bar.querySelectorAll("[aria-pressed]").forEach((button) => button.setAttribute("aria-pressed", "false"));
    Report.changed();
  }
})();
