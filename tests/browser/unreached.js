() => {
  /* What can be worked with a pointer and not with the keyboard, or without showing that it has the focus. */
  const WORKED = "a, button, input, select, textarea, summary, [tabindex], [role=button]";
  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
  const name = (element) => `${element.tagName}.${element.getAttribute("class") || ""}#${element.id} ${element.textContent.trim().slice(0, 30)}`;
  const wrong = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (!shown(element) || element.id === "main" || element.closest(".skip")) continue;
    const pointed = getComputedStyle(element).cursor === "pointer" && !element.closest(`${WORKED}, label`);
    const plot = element.dataset?.plotted && element.tabIndex < 0;
    if (pointed || plot) wrong.push(`no focus: ${name(element)}`);
    if (!element.matches(WORKED) || element.disabled || element.closest(".modebar")) continue;
    if (element.tabIndex !== 0) wrong.push(`tabindex ${element.tabIndex}: ${name(element)}`);
    element.focus({ preventScroll: true });
    const style = getComputedStyle(element);
    if (document.activeElement !== element) wrong.push(`not focused: ${name(element)}`);
    else if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) wrong.push(`focus not seen: ${name(element)}`);
  }
  return wrong;
}
