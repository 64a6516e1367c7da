/* Explained latents one by one: explanation, marked texts, what the judge was asked and what it said. */
(() => {
  const { h } = Report;

  Report.latentBrowser = (entry, found, sae) => {
    const entries = found.entries, detail = h("div", { class: "latent-detail", "aria-live": "polite" });
    const select = h("select", { class: "latent-select", "aria-label": "Latent", onchange: (e) => show(Number(e.target.value)) },
      entries.map((latent, i) => h("option", { value: String(i) }, `${latent.score.toFixed(2)} · latent ${latent.latent} · ${Report.shorten(latent.explanation, 60)}`)));
    let at = 0;
    const show = (i) => {
      at = Math.min(Math.max(i, 0), entries.length - 1);
      select.value = String(at);
      Report.fill(detail, latentDetail(entries[at], `${at + 1} of ${entries.length}`, sae));
    };
    const button = (name, text, target) => h("button", { type: "button", class: "ghost", "data-latent": name, onclick: () => show(target()) }, text);
    show(0);
    return h("div", { class: "latents" },
      entries.length > 4 ? Report.scoreHistogram(`latents-${entry.name}`, found.scores, "score of a latent") : null,
      h("div", { class: "controls" }, h("label", {}, "Latents, best first ", select), button("best", "Best", () => 0), button("previous", "←", () => at - 1), button("next", "→", () => at + 1), button("worst", "Worst", () => entries.length - 1)),
      detail);
  };

  function latentDetail(latent, position, sae) {
    const texts = latent.texts?.length ? latent.texts : markedExamples(latent.logs || "");
    const kept = latent.logs !== undefined;
    return h("article", { class: "latent" },
      h("h4", {}, `Latent ${latent.latent}`, h("span", { class: "small" }, ` · score ${latent.score.toFixed(3)} · ${position}`), sae.neuronpedia ? [" ", h("a", { class: "small", href: Report.neuronpedia(sae, latent.latent), rel: "noopener" }, "on Neuronpedia")] : null),
      h("blockquote", {}, latent.explanation || "no explanation"),
      latent.predictions ? h("p", { class: "small" }, `Judged active: ${latent.predictions.join(", ") || "none"}. Are active: ${(latent.correct || []).join(", ") || "none"}.`) : null,
      texts.length ? h("ol", { class: "texts" }, texts.map((text) => h("li", { class: text.active === false ? "off" : "" }, marked(text.text), text.activation === undefined ? null : h("span", { class: "small" }, ` ${Report.num(text.activation)}`)))) : null,
      kept ? conversations(latent.logs) : h("p", { class: "small" }, "Its texts and conversations are in the result file: a report keeps those of the best and the worst."));
  }

  /** A text with what stands between << and >> marked. */
  const marked = (text) => text.split(/(<<[\s\S]*?>>)/).map((part) => (part.startsWith("<<") ? h("mark", {}, part.slice(2, -2)) : part));

  const HEADING = /^--- (.+)$/m;
  /** Parts of a log: [heading, text]. */
  function sections(logs) {
    const parts = logs.split(HEADING), found = [];
    for (let i = 1; i < parts.length; i += 2) found.push([parts[i], parts[i + 1].trim()]);
    return found;
  }

  const EXAMPLE = /^\s*\d+\s+([\d.]+)( active)?\s+(.*)$/;
  /** The list of texts at the end of a log, with the activation of each. */
  function markedExamples(logs) {
    const part = sections(logs).find(([heading]) => heading.startsWith("examples"));
    const lines = part ? part[1].split("\n").map((line) => line.match(EXAMPLE)).filter(Boolean) : [];
    return lines.map(([, activation, active, text]) => ({ text, activation: Number(activation), active: Boolean(active) }));
  }

  /** Both conversations with the judge: the one that explained, and those that judged by the explanation. */
  function conversations(logs) {
    const parts = sections(logs).filter(([heading]) => !heading.startsWith("examples"));
    if (!parts.length) return logs ? Report.folded("Conversation with the judge", h("pre", {}, marked(logs))) : null;
    const explaining = parts.filter(([heading]) => heading === "explanation"), judging = parts.filter(([heading]) => heading !== "explanation");
    const box = (title, list) => (list.length ? Report.folded(title, list.map(([, text]) => h("pre", {}, marked(text)))) : null);
    return [box("The judge explains", explaining), box(judging.length > 1 ? `The judge judges (${judging.length} questions)` : "The judge judges", judging)];
  }
})();
